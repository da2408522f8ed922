//! How long to wait until the next try: full jitter, so that many agents do not come at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// A receiver that asks for more gets so much.
const MOST_ASKED: Duration = Duration::from_hours(1);

/// Tries so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait; `asked` is what the receiver wants, `dice` is between 0 and 1.
    pub(crate) fn next(&mut self, asked: Option<Duration>, dice: f64) -> Duration {
        let most = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let jitter = most.mul_f64(dice.clamp(0.0, 1.0));
        match asked {
            // Not before, and not all at the same moment.
            Some(asked) => asked.min(MOST_ASKED) + jitter,
            None => jitter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_minute_and_never_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..100)
            .map(|_| backoff.next(None, 1.0).as_secs())
            .collect();
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(waits[99], 60);
    }

    #[test]
    fn a_receiver_gets_the_time_that_it_asks_for() {
        let asked = Duration::from_secs(7);
        assert_eq!(Backoff::default().next(Some(asked), 0.0), asked);
        assert_eq!(Backoff::default().next(Some(asked), 1.0), asked + FIRST);
        assert_eq!(
            Backoff::default().next(Some(Duration::MAX), 0.0),
            MOST_ASKED
        );
    }
}
