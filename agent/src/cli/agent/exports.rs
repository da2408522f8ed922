//! When the readings of an agent are exported.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use crate::{cli::agent::watch::Watch, otlp::delivery::Shared, otlp::resource::Host};

/// Between readings.
const SECOND: Duration = Duration::from_secs(1);

/// The intervals of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    length: Duration,
    phase: Duration,
}

impl Intervals {
    pub(super) fn new(length: Duration, host: &Host) -> Intervals {
        let phase = phase(host.id.as_ref().unwrap_or(&host.name), length);
        Intervals { length, phase }
    }

    /// Between readings.
    pub(super) fn period(self) -> Duration {
        SECOND.min(self.length)
    }

    /// From `now` to the next reading.
    pub(super) fn to_reading(self, now: Duration) -> Duration {
        let period = self.period();
        let since = now.saturating_sub(self.phase).as_nanos() % period.as_nanos();
        period.saturating_sub(Duration::from_nanos(since as u64))
    }

    /// Whether an interval ended between two readings. They come a little late, never early.
    pub(super) fn is_boundary_between(self, earlier: Duration, later: Duration) -> bool {
        let number =
            |at: Duration| at.saturating_sub(self.phase).as_nanos() / self.length.as_nanos();
        number(earlier) != number(later)
    }
}

/// Ends the interval with the latest reading, and begins the next.
pub(super) fn publish(watch: &mut Watch, shared: &Shared) {
    match watch.interval() {
        Some(model) => shared.add(&model, watch.names()),
        None => shared.skip(),
    }
    shared.publish();
}

/// Where in an interval this host reads: many of them do not come at once.
fn phase(host: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    interval.mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_has_one_boundary_and_hosts_have_theirs() {
        let host = |name: &str| Host {
            name: name.into(),
            ..Host::default()
        };
        let length = Duration::from_secs(10);
        let (one, other) = ("web-1", "web-2");
        let intervals = [one, other].map(|name| Intervals::new(length, &host(name)));
        assert_ne!(intervals[0].phase, intervals[1].phase);
        for intervals in intervals {
            let start = Duration::from_secs(100);
            let mut at = start + intervals.to_reading(start);
            let mut boundaries = 0;
            for _ in 0..100 {
                let late = at + Duration::from_millis(3);
                let next = at + intervals.period() + Duration::from_millis(7);
                boundaries += u32::from(intervals.is_boundary_between(late, next));
                at += intervals.period();
            }
            assert_eq!(boundaries, 10);
        }
    }
}
