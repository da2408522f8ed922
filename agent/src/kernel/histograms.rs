//! Histograms, whose counts wrap at 2^32: differences modulo that.

use agent_ebpf::{bucket::BUCKETS, cause::Cause, layout::Cell};

use super::{
    accounts::{Accounts, Kind, WORDS},
    delays::Delays,
    maps::Maps,
};
use crate::sample::Party;

/// Readings in which a histogram is read after waits were counted: a program counts the wait
/// before its place in the histogram.
const READINGS: u8 = 2;

/// For how many readings each slot's histogram is still to be read.
#[derive(Debug)]
struct Due(Vec<u8>);

/// Both histograms of each slot.
#[derive(Debug)]
pub(crate) struct Histograms {
    delays: Delays,
    delays_due: Due,
    /// By slot, at the last reading.
    throttled: Vec<[u32; BUCKETS]>,
    throttled_due: Due,
}

impl Histograms {
    pub(crate) fn new(maps: &Maps) -> Histograms {
        let slots = maps.shape.slots as usize;
        Histograms {
            delays: Delays::new(maps),
            delays_due: Due(vec![0; slots]),
            throttled: vec![[0; BUCKETS]; slots],
            throttled_due: Due(vec![0; slots]),
        }
    }

    /// A slot's cells grew so.
    pub(crate) fn note(&mut self, slot: u32, grown: &[u64; WORDS]) {
        let grown: Cell = bytemuck::cast(*grown);
        self.delays_due.note(slot, grown.waits != 0);
        let throttled = grown.wait_ns[Cause::Throttled as usize] != 0;
        self.throttled_due.note(slot, throttled);
    }

    /// Adds what the histograms of these slots grew by, where their cells say that they did.
    pub(crate) fn read(&mut self, maps: &Maps, slots: &[(u32, Party)], accounts: &mut Accounts) {
        let due = slots.iter().filter(|(slot, _)| self.delays_due.take(*slot));
        let due: Vec<(u32, Party)> = due.copied().collect();
        self.delays.read(maps, due.iter().map(|(slot, _)| *slot));
        for (slot, party) in due {
            accounts.count(party, Kind::Delay, &self.delays.take(slot));
        }
        for (slot, party) in slots {
            if self.throttled_due.take(*slot) {
                let now = maps.throttled.halves(*slot);
                let last = std::mem::replace(&mut self.throttled[*slot as usize], now);
                let grown = std::array::from_fn(|at| now[at].wrapping_sub(last[at]));
                accounts.count(*party, Kind::Throttled, &grown);
            }
        }
    }

    /// The slot is another's from now on, and its histogram of throttled time is empty.
    pub(crate) fn retire(&mut self, slot: u32) {
        self.throttled[slot as usize] = [0; BUCKETS];
        for due in [&mut self.delays_due, &mut self.throttled_due] {
            due.0[slot as usize] = 0;
        }
    }
}

impl Due {
    fn note(&mut self, slot: u32, moved: bool) {
        if moved {
            self.0[slot as usize] = READINGS;
        }
    }

    fn take(&mut self, slot: u32) -> bool {
        let readings = &mut self.0[slot as usize];
        let is_due = *readings > 0;
        *readings = readings.saturating_sub(1);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::maps::Shape, sample::CgroupId};
    use agent_ebpf::delays::{self, Place};
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
            histograms.note(3, &waited(waits));
            histograms.read(&maps, &[(3, party)], &mut accounts);
            let (reported, _) = accounts.report(&BTreeMap::new(), std::time::Duration::ZERO);
            reported.get(&party).map_or(0, |account| account.delay[5])
        };
        let set = |shard, count| {
            let place = Place::of(3);
            let index = delays::index(shard, 5, place.line, SHAPE.slots);
            maps.delays.set_half(index, 4 * place.count, count);
        };
        set(0, u32::MAX);
        assert_eq!(read(1), u64::from(u32::MAX));
        set(0, 4);
        set(1, 7);
        assert_eq!(read(0), u64::from(u32::MAX) + 5 + 7);
        set(0, 5);
        // Nothing was counted for two readings: not looked at.
        assert_eq!(read(0), u64::from(u32::MAX) + 12);
        assert_eq!(read(1), u64::from(u32::MAX) + 13);
    }
}
