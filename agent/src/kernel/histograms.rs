//! Histograms, whose counts wrap at 2^32: differences modulo that.

use agent_ebpf::{
    bucket::BUCKETS,
    cause::Cause,
    layout::{Cell, Histogram},
};

use super::{
    accounts::{Accounts, Kind, WORDS},
    maps::Maps,
    memory::Mapped,
};
use crate::sample::Party;

/// Readings in which a histogram is read after waits were counted: a program counts the wait
/// before its place in the histogram.
const READINGS: u8 = 2;

/// The counts of one kind at the last reading, by slot.
#[derive(Debug)]
struct Counts {
    last: Vec<[u32; BUCKETS]>,
    due: Vec<u8>,
}

/// Both histograms of each slot.
#[derive(Debug)]
pub(crate) struct Histograms {
    delay: Counts,
    throttled: Counts,
}

impl Histograms {
    pub(crate) fn new(maps: &Maps) -> Histograms {
        let slots = maps.shape.slots as usize;
        let counts = || Counts {
            last: vec![[0; BUCKETS]; slots],
            due: vec![0; slots],
        };
        Histograms {
            delay: counts(),
            throttled: counts(),
        }
    }

    /// Adds what a party's histograms grew by, where its cells say that they did.
    pub(crate) fn read(
        &mut self,
        maps: &Maps,
        slot: u32,
        party: Party,
        grown: &[u64; WORDS],
        accounts: &mut Accounts,
    ) {
        let grown: Cell = bytemuck::cast(*grown);
        if self.delay.is_due(slot, grown.waits != 0) {
            let shards = (0..maps.shape.shards).map(|shard| shard * maps.shape.slots + slot);
            let counts = self.delay.advance(slot, &sum(&maps.delays, shards));
            accounts.count(party, Kind::Delay, &counts);
        }
        let throttled = grown.wait_ns[Cause::Throttled as usize] != 0;
        if self.throttled.is_due(slot, throttled) {
            let counts = self
                .throttled
                .advance(slot, &sum(&maps.throttled, [slot].into_iter()));
            accounts.count(party, Kind::Throttled, &counts);
        }
    }

    /// The slot's histograms were emptied.
    pub(crate) fn retire(&mut self, slot: u32) {
        for counts in [&mut self.delay, &mut self.throttled] {
            counts.last[slot as usize] = [0; BUCKETS];
            counts.due[slot as usize] = 0;
        }
    }
}

impl Counts {
    fn is_due(&mut self, slot: u32, moved: bool) -> bool {
        let due = &mut self.due[slot as usize];
        if moved {
            *due = READINGS;
        }
        let is_due = *due > 0;
        *due = due.saturating_sub(1);
        is_due
    }

    fn advance(&mut self, slot: u32, now: &[u32; BUCKETS]) -> [u32; BUCKETS] {
        let last = &mut self.last[slot as usize];
        let grown = std::array::from_fn(|at| now[at].wrapping_sub(last[at]));
        *last = *now;
        grown
    }
}

fn sum(map: &Mapped<Histogram>, indexes: impl Iterator<Item = u32>) -> [u32; BUCKETS] {
    let mut counts = [0u32; BUCKETS];
    for index in indexes {
        let words: [u64; BUCKETS / 2] = map.words(index);
        for (pair, word) in counts.chunks_exact_mut(2).zip(words) {
            // The low half comes first, as in `Header::open_owner`.
            pair[0] = pair[0].wrapping_add(word as u32);
            pair[1] = pair[1].wrapping_add((word >> 32) as u32);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::maps::Shape, sample::CgroupId};
    use std::collections::BTreeMap;

    const SHAPE: Shape = Shape {
        cpus: 2,
        slots: 4,
        shards: 2,
    };

    fn waited(waits: u64) -> [u64; WORDS] {
        bytemuck::cast(Cell {
            waits,
            ..Cell::default()
        })
    }

    #[test]
    fn counts_of_all_shards_add_up_beyond_their_width() {
        let maps = Maps::private(SHAPE);
        let mut histograms = Histograms::new(&maps);
        let mut accounts = Accounts::default();
        let party = Party::Cgroup(CgroupId(9));
        let mut read = |waits| {
            histograms.read(&maps, 3, party, &waited(waits), &mut accounts);
            let (reported, _) = accounts.report(&BTreeMap::new(), std::time::Duration::ZERO);
            reported.get(&party).map_or(0, |account| account.delay[5])
        };
        maps.delays.set_half(3, 20, u32::MAX);
        assert_eq!(read(1), u64::from(u32::MAX));
        maps.delays.set_half(3, 20, 4);
        maps.delays.set_half(4 + 3, 20, 7);
        assert_eq!(read(0), u64::from(u32::MAX) + 5 + 7);
        maps.delays.set_half(3, 20, 5);
        // Nothing was counted for two readings: not looked at.
        assert_eq!(read(0), u64::from(u32::MAX) + 12);
        assert_eq!(read(1), u64::from(u32::MAX) + 13);
    }
}
