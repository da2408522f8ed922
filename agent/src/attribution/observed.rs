//! The time that is observed in detail.

use agent_ebpf::block::PIECE_BITS;

/// Every 2^k-th piece of time; requests that touch none of them are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// k.
    pub sampled: u32,
}

impl Observed {
    /// How much of the time before `time` was observed, nanoseconds: what was not has no length.
    pub(super) fn before(self, time: u64) -> u64 {
        let bits = PIECE_BITS + self.sampled;
        let within = time & ((1 << bits) - 1);
        (time >> bits << PIECE_BITS) + within.min(1 << PIECE_BITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_ebpf::block::in_observed_piece;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_is_known_where_it_has_length(
            start in 0u64..1 << 40, length in 1u64..1 << 34, sampled in 0u32..7
        ) {
            let observed = Observed { sampled };
            let done = start + length;
            let seen = observed.before(done) - observed.before(start);
            prop_assert!(seen <= length);
            prop_assert!(sampled != 0 || seen == length);
            prop_assert!(seen == 0 || in_observed_piece(start, done, sampled));
        }
    }
}
