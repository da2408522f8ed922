//! Run-queue delay by slot and bucket, as [`agent_ebpf::delays`] lays it out.

use agent_ebpf::{
    bucket::BUCKETS,
    delays::{self, Place, ROWS, SLOTS_IN_LINE},
};

use super::maps::Maps;

/// The counts at the last reading, and what they grew by.
#[derive(Debug)]
pub(crate) struct Delays {
    /// By row and line, over all shards.
    last: Vec<[u32; SLOTS_IN_LINE]>,
    /// By slot; taken after each reading.
    grown: Vec<[u32; BUCKETS]>,
}

impl Delays {
    pub(crate) fn new(maps: &Maps) -> Delays {
        Delays {
            last: vec![[0; SLOTS_IN_LINE]; delays::size(1, maps.shape.slots) as usize],
            grown: vec![[0; BUCKETS]; maps.shape.slots as usize],
        }
    }

    /// Reads the counts of these slots, row by row.
    pub(crate) fn read(&mut self, maps: &Maps, slots: impl Iterator<Item = u32>) {
        let mut wanted = vec![0u16; delays::lines(maps.shape.slots) as usize];
        for slot in slots {
            let place = Place::of(slot);
            wanted[place.line as usize] |= 1 << place.count;
        }
        let wanted: Vec<(u32, u16)> = (0..).zip(wanted).filter(|(_, slots)| *slots != 0).collect();
        for bucket in 0..ROWS {
            for &(line, slots) in &wanted {
                self.read_line(maps, bucket, line, slots);
            }
        }
    }

    fn read_line(&mut self, maps: &Maps, bucket: u32, line: u32, slots: u16) {
        let index = |shard| delays::index(shard, bucket, line, maps.shape.slots);
        let mut now = [0u32; SLOTS_IN_LINE];
        for shard in 0..maps.shape.shards {
            let part: [u32; SLOTS_IN_LINE] = maps.delays.halves(index(shard));
            for (sum, part) in now.iter_mut().zip(part) {
                *sum = sum.wrapping_add(part);
            }
        }
        let last = &mut self.last[index(0) as usize];
        if now == *last {
            return;
        }
        for (count, (last, now)) in last.iter_mut().zip(now).enumerate() {
            if slots & (1 << count) != 0 {
                let slot = Place { line, count }.slot();
                self.grown[slot as usize][bucket as usize] = now.wrapping_sub(*last);
                *last = now;
            }
        }
    }

    /// What the counts of a slot grew by in the last reading.
    pub(crate) fn take(&mut self, slot: u32) -> [u32; BUCKETS] {
        std::mem::replace(&mut self.grown[slot as usize], [0; BUCKETS])
    }
}
