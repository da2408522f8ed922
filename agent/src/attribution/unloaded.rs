//! What a device takes for a request when it serves nothing else, learned while it works.

use agent_ebpf::{
    block::{OPERATIONS, Operation},
    bucket::{self, BUCKETS, FIRST_INDEX, LAST_BUCKET},
};

/// Upper bounds of the classes of size, bytes; the last class has none.
const SIZES: [u32; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];
const CLASSES: usize = SIZES.len() + 1;
/// From so many requests on a class is believed.
const ENOUGH: u32 = 16;
/// With so many, all counts are halved: what is older weighs less.
const MANY: u32 = 4096;
/// Of requests that were served alone, the time of the middle one.
const OF_ALONE: f64 = 0.5;
/// Where none ever was: mere concurrency must not look like harm.
const OF_ALL: f64 = 0.1;

#[derive(Debug, Default)]
pub(super) struct Unloaded {
    classes: [[Class; CLASSES]; OPERATIONS],
}

#[derive(Debug, Default)]
struct Class {
    alone: Times,
    all: Times,
}

#[derive(Debug)]
struct Times {
    counts: [u32; BUCKETS],
    number: u32,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            counts: [0; BUCKETS],
            number: 0,
        }
    }
}

impl Unloaded {
    /// A request took so long in service.
    pub(super) fn learn(&mut self, operation: Operation, bytes: u32, ns: u64, was_alone: bool) {
        let class = &mut self.classes[operation as usize][class(bytes)];
        class.all.add(ns);
        if was_alone {
            class.alone.add(ns);
        }
    }

    /// What the device takes for such a request alone; `None` while that is not known.
    pub(super) fn ns(&self, operation: Operation, bytes: u32) -> Option<u64> {
        let class = &self.classes[operation as usize][class(bytes)];
        class
            .alone
            .quantile(OF_ALONE)
            .or_else(|| class.all.quantile(OF_ALL))
    }
}

fn class(bytes: u32) -> usize {
    SIZES.iter().take_while(|size| bytes > **size).count()
}

impl Times {
    fn add(&mut self, ns: u64) {
        if self.number >= MANY {
            for count in &mut self.counts {
                *count /= 2;
            }
            self.number = self.counts.iter().sum();
        }
        self.counts[bucket::of_ns(ns)] += 1;
        self.number += 1;
    }

    /// The upper bound of the bucket where the quantile lies, nanoseconds.
    fn quantile(&self, quantile: f64) -> Option<u64> {
        if self.number < ENOUGH {
            return None;
        }
        let rank = f64::from(self.number) * quantile;
        let mut sum = 0;
        let bucket = self.counts.iter().position(|count| {
            sum += count;
            f64::from(sum) >= rank
        })?;
        let octaves = (bucket.min(LAST_BUCKET) as f64 + f64::from(FIRST_INDEX)) / 4.0;
        Some((octaves.exp2() * 1e9) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_served_alone_tells() {
        let mut unloaded = Unloaded::default();
        assert_eq!(unloaded.ns(Operation::Read, 4096), None);
        for _ in 0..ENOUGH {
            unloaded.learn(Operation::Read, 4096, 900_000, false);
        }
        let loaded = unloaded.ns(Operation::Read, 4096).unwrap();
        assert!((900_000..1_100_000).contains(&loaded), "{loaded}");
        for _ in 0..ENOUGH {
            unloaded.learn(Operation::Read, 4096, 100_000, true);
        }
        let alone = unloaded.ns(Operation::Read, 100).unwrap();
        assert!((100_000..120_000).contains(&alone), "{alone}");
        assert_eq!(unloaded.ns(Operation::Read, 4097), None);
        assert_eq!(unloaded.ns(Operation::Write, 4096), None);
    }

    #[test]
    fn what_is_old_weighs_less() {
        let mut unloaded = Unloaded::default();
        for _ in 0..MANY {
            unloaded.learn(Operation::Write, 1 << 20, 1_000_000, true);
        }
        for _ in 0..2 * MANY {
            unloaded.learn(Operation::Write, 1 << 20, 50_000, true);
        }
        assert!(unloaded.ns(Operation::Write, 1 << 20).unwrap() < 60_000);
    }
}
