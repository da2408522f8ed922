//! Groups of slices in which two took turns: most of them, and cheap to fold.

use crate::{
    history::{Block, Head, Share},
    owner::Owner,
};

/// Slices in which two took turns, with nothing taken from them.
pub(crate) struct Turns {
    start: u64,
    end: u64,
    idle: u64,
    /// Those who ran; the idle task second, as the mark of the end.
    shares: [Share; 2],
}

impl Turns {
    /// In the order of their owners: whoever came first, it is the same two.
    #[inline(always)]
    pub(crate) fn of(start: u64, end: u64, one: Share, other: Share) -> Turns {
        let (low, high) = if one.owner < other.owner {
            (one, other)
        } else {
            (other, one)
        };
        let is_idle = low.owner == Owner::IDLE.0;
        Turns {
            start,
            end,
            idle: if is_idle { low.ns } else { 0 },
            shares: if is_idle { [high, low] } else { [low, high] },
        }
    }

    /// A block of nothing else.
    #[inline(always)]
    pub(crate) fn begin(&self, block: &mut Block) {
        block.head = Head {
            start: self.start,
            end: self.end,
            idle: self.idle,
            ..Head::default()
        };
        block.shares[0] = self.shares[0];
        block.shares[1] = self.shares[1];
        block.shares[2].owner = Owner::IDLE.0;
    }

    /// Adds them to a block whose first shares are theirs, in this order; `false` for any other.
    #[inline(always)]
    pub(crate) fn add_to(&self, block: &mut Block) -> bool {
        let [first, second] = self.shares;
        let is_alone = second.owner == Owner::IDLE.0;
        if block.shares[0].owner != first.owner
            || !is_alone && block.shares[1].owner != second.owner
        {
            return false;
        }
        block.head.end = self.end;
        block.head.idle += self.idle;
        block.shares[0].ns += first.ns;
        if !is_alone {
            block.shares[1].ns += second.ns;
        }
        true
    }
}
