//! How long a device had requests in flight.

use std::time::Duration;

use crate::sample::disk::InFlight;

/// Time of an interval in which a device had requests in flight; `None` where that is not known.
///
/// The kernel counts whole ticks of its clock, and below 6.10 one for each in which a request began:
/// then single short requests seem to keep a device busy. So it is no more than all of them took
/// together, where that is known (`waited_ns`) and none is in flight still.
pub(super) fn busy(
    before: Option<InFlight>,
    after: Option<InFlight>,
    waited_ns: Option<u64>,
) -> Option<Duration> {
    let (before, after) = (before?, after?);
    let ticks = after.time.checked_sub(before.time)?;
    let most = waited_ns.filter(|_| after.requests == 0);
    Some(most.map_or(ticks, |most| ticks.min(Duration::from_nanos(most))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a device that is there, as told")]
    fn at(time: u64, requests: u64) -> Option<InFlight> {
        let time = ms(time);
        Some(InFlight { time, requests })
    }

    #[test]
    fn ticks_count_up_to_what_all_requests_took() {
        let took = |ms: u64| Some(ms * 1_000_000);
        for (before, after, waited, expected) in [
            (at(100, 0), at(900, 0), None, Some(ms(800))),
            (at(100, 0), at(900, 0), took(5_000), Some(ms(800))),
            (at(100, 0), at(900, 0), took(30), Some(ms(30))),
            (at(100, 3), at(900, 0), took(30), Some(ms(30))),
            (at(100, 0), at(900, 1), took(0), Some(ms(800))),
            (at(900, 0), at(100, 0), None, None),
            (None, at(900, 0), took(1), None),
            (at(100, 0), None, took(1), None),
        ] {
            assert_eq!(
                busy(before, after, waited),
                expected,
                "{before:?} {after:?}"
            );
        }
    }
}
