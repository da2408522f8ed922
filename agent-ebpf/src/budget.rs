//! What one event may cost: tokens for the walk, and how much is accounted at all.

use bytemuck::{Pod, Zeroable};

/// Run-queue time that earns one token, nanoseconds, as a power of two.
const EARN_SHIFT: u32 = 7;
/// Tokens that can be saved.
const SAVED: u64 = 4_096;
/// Tokens that one event may spend.
pub const STEPS_PER_EVENT: u64 = 96;

/// How much the programs account, from the dearest to the cheapest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u32)]
pub enum Detail {
    /// Causes and culprits.
    #[default]
    Full = 0,
    /// Causes and culprits of the latest slices of each wait; the rest has no cause.
    Short = 1,
    /// Totals and histograms only.
    Totals = 2,
}

impl Detail {
    /// Steps that one walk may take.
    #[inline(always)]
    pub fn steps(detail: u32) -> u64 {
        match detail {
            0 => STEPS_PER_EVENT,
            1 => 8,
            _ => 0,
        }
    }
}

/// A token bucket in run-queue time: a step of a walk costs one token.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Tokens {
    left: u64,
    earned_at: u64,
}

impl Tokens {
    /// Tokens for one event at `now`, at most `wanted`.
    #[inline(always)]
    pub fn offer(&mut self, now: u64, wanted: u64) -> u64 {
        let earned = now.saturating_sub(self.earned_at) >> EARN_SHIFT;
        self.earned_at += earned << EARN_SHIFT;
        self.left += if earned > SAVED { SAVED } else { earned };
        if self.left > SAVED {
            self.left = SAVED;
        }
        if self.left < wanted {
            self.left
        } else {
            wanted
        }
    }

    /// Takes what was spent.
    #[inline(always)]
    pub fn spend(&mut self, spent: u64) {
        self.left = self.left.saturating_sub(spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_spends_more_than_it_earned(
            gaps in prop::collection::vec(0u64..100_000, 1..100),
            wanted in 0u64..600,
        ) {
            let mut tokens = Tokens::default();
            let start = 1_000_000_000;
            tokens.offer(start, 0);
            let (mut now, mut spent) = (start, 0);
            for gap in gaps {
                now += gap;
                let offered = tokens.offer(now, wanted);
                prop_assert!(offered <= wanted);
                tokens.spend(offered);
                spent += offered;
                prop_assert!(spent <= SAVED + ((now - start) >> EARN_SHIFT));
            }
        }
    }
}
