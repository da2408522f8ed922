//! How waits are counted by their run-queue delay.
//!
//! Not a histogram for each slot, but a row of all slots for each bucket: most waits are in one of
//! a few buckets, so that many cgroups that take turns touch few pages of memory.

use bytemuck::{Pod, Zeroable};

use crate::{bucket::LAST_BUCKET, layout::PAGE_BYTES};

/// Slots in a [`Line`].
pub const SLOTS_IN_LINE: usize = 16;
/// Lines in a page of memory.
const LINES_IN_PAGE: u32 = PAGE_BYTES / size_of::<Line>() as u32;
/// Slots in a page of lines.
const SLOTS_IN_PAGE: u32 = LINES_IN_PAGE * SLOTS_IN_LINE as u32;

/// Rows of a shard: one for each bucket in use.
pub const ROWS: u32 = LAST_BUCKET as u32 + 1;

/// Counts of several slots in one bucket; they wrap at 2^32.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Zeroable, Pod)]
pub struct Line {
    /// By the place of a slot: [`Place::of`].
    pub counts: [u32; SLOTS_IN_LINE],
}

/// Where a slot is in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, numbered as in the first row.
    pub line: u32,
    /// The count of the line.
    pub count: usize,
}

impl Place {
    /// The slot there: the other way round.
    pub fn slot(self) -> u32 {
        let page = self.line / LINES_IN_PAGE * SLOTS_IN_PAGE;
        page + self.count as u32 * LINES_IN_PAGE + self.line % LINES_IN_PAGE
    }

    /// Slots that follow each other are in lines of their own: CPUs that share a shard seldom share
    /// a line.
    #[inline(always)]
    pub fn of(slot: u32) -> Place {
        let count = (slot / LINES_IN_PAGE) as usize % SLOTS_IN_LINE;
        Place {
            line: slot / SLOTS_IN_PAGE * LINES_IN_PAGE + slot % LINES_IN_PAGE,
            count,
        }
    }
}

/// Lines of a row for so many slots.
#[inline(always)]
pub fn lines(slots: u32) -> u32 {
    slots.div_ceil(SLOTS_IN_PAGE) * LINES_IN_PAGE
}

/// Lines of so many shards.
#[inline(always)]
pub fn size(shards: u32, slots: u32) -> u32 {
    shards * ROWS * lines(slots)
}

/// A line of a row. In each row a slot is one line further: at the same place of every page its
/// counts would compete for the same few lines of the CPU's cache.
#[inline(always)]
pub fn index(shard: u32, bucket: u32, line: u32, slots: u32) -> u32 {
    let row = (shard * ROWS + bucket) * lines(slots);
    let page = line / LINES_IN_PAGE * LINES_IN_PAGE;
    row + page + (line + bucket) % LINES_IN_PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        for slots in [1, 1024, 5000] {
            for slot in 0..slots {
                let place = Place::of(slot);
                assert!(place.line < lines(slots) && place.count < SLOTS_IN_LINE);
                assert_eq!(place.slot(), slot);
            }
        }
    }

    #[test]
    fn lines_are_those_of_their_row_each_once() {
        let slots = 2000;
        for bucket in 0..ROWS {
            let row = 3 * size(1, slots) + bucket * lines(slots);
            let indexes: HashSet<_> = (0..lines(slots))
                .map(|line| index(3, bucket, line, slots))
                .collect();
            assert_eq!(indexes, (row..row + lines(slots)).collect());
        }
    }

    #[test]
    fn a_row_of_a_thousand_slots_is_a_page_and_neighbours_share_no_line() {
        assert_eq!(lines(1024) as usize * size_of::<Line>(), 4096);
        let lines: HashSet<_> = (500..500 + LINES_IN_PAGE)
            .map(|slot| Place::of(slot).line)
            .collect();
        assert_eq!(lines.len(), LINES_IN_PAGE as usize);
    }
}
