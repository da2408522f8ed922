//! Records of single requests, out of the ring of each CPU.

use std::mem::offset_of;

use agent_ebpf::block::{BlockCpu, Record};

use super::maps::BlockMaps;

const WORDS: usize = size_of::<Record>() / size_of::<u64>();

/// Where the last reading ended.
#[derive(Debug)]
pub(super) struct Rings {
    heads: Vec<u64>,
    /// Overwritten before they were read.
    pub(super) lost: u64,
}

impl Rings {
    pub(super) fn new(maps: &BlockMaps) -> Rings {
        Rings {
            heads: vec![0; maps.shape.cpus as usize],
            lost: 0,
        }
    }

    /// Adds the records that were written since the last reading.
    pub(super) fn read(&mut self, maps: &BlockMaps, records: &mut Vec<Record>) {
        for cpu in 0..maps.shape.cpus {
            self.read_cpu(maps, cpu, records);
        }
    }

    fn read_cpu(&mut self, maps: &BlockMaps, cpu: u32, records: &mut Vec<Record>) {
        let length = u64::from(maps.shape.records);
        let head = head(maps, cpu);
        let last = std::mem::replace(&mut self.heads[cpu as usize], head);
        let first = last.max(head.saturating_sub(length));
        let kept = records.len();
        for number in first..head {
            let place = cpu * maps.shape.records + (number % length) as u32;
            let words: [u64; WORDS] = maps.records.words(place);
            records.push(bytemuck::cast(words));
        }
        // What the program wrote meanwhile may have torn the oldest, and one more is in work.
        let written = self::head(maps, cpu) + 1;
        let torn = written.saturating_sub(length).saturating_sub(first);
        let torn = torn.min(head - first);
        records.drain(kept..kept + torn as usize);
        self.lost += first - last + torn;
    }
}

fn head(maps: &BlockMaps, cpu: u32) -> u64 {
    maps.cpus.word(cpu, offset_of!(BlockCpu, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::block::maps::Shape;

    fn write(maps: &BlockMaps, cpu: u32, number: u64) {
        let place = cpu * 8 + (number % 8) as u32;
        maps.records.set_word(place, 0, number);
        maps.cpus
            .set_word(cpu, offset_of!(BlockCpu, head), number + 1);
    }

    #[test]
    fn each_record_is_read_once_or_counted_as_lost() {
        let maps = BlockMaps::private(Shape {
            cpus: 2,
            shards: 2,
            records: 8,
        });
        let mut rings = Rings::new(&maps);
        let mut read = || {
            let mut records = Vec::new();
            rings.read(&maps, &mut records);
            let starts: Vec<u64> = records.iter().map(|record| record.start).collect();
            (starts, rings.lost)
        };
        for number in 0..5 {
            write(&maps, 1, number);
        }
        assert_eq!(read(), ((0..5).collect(), 0));
        for number in 5..20 {
            write(&maps, 1, number);
        }
        // The oldest place is the next to be written.
        assert_eq!(read(), ((13..20).collect(), 8));
        assert_eq!(read(), (vec![], 8));
    }
}
