//! The run queue's clock, told from the monotonic one.

/// Both clocks at one instant, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) rq_clock: u64,
    pub(crate) monotonic: u64,
}

/// The run queue's clock when the monotonic clock says `now`: both advance alike.
pub(crate) fn rq_clock_at(pair: Pair, now: u64) -> u64 {
    pair.rq_clock
        .saturating_add(now.saturating_sub(pair.monotonic))
}

/// How long the slice that began at `start`, in the run queue's clock, has lasted at `now`.
pub(crate) fn open_for(pair: Pair, start: u64, now: u64) -> u64 {
    // Before the first pair nothing is known.
    if pair.monotonic == 0 || start == 0 {
        return 0;
    }
    rq_clock_at(pair, now).saturating_sub(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_as_long_as_both_clocks_say() {
        let pair = Pair {
            rq_clock: 1_000,
            monotonic: 50,
        };
        assert_eq!(open_for(pair, 1_500, 950), 400);
        // It began after the reading.
        assert_eq!(open_for(pair, 2_500, 950), 0);
        assert_eq!(open_for(pair, 0, 950), 0);
        let none = Pair {
            rq_clock: 0,
            monotonic: 0,
        };
        assert_eq!(open_for(none, 7, 950), 0);
    }
}
