//! Who waited while who ran: pairs of owners, by difference to the last reading.

use agent_ebpf::{
    layout::{PAIR_WAYS, Pair, PairSet},
    owner::Owner,
};

use super::{maps::Maps, memory::Mapped};

/// Readings after a slot was given back in which pairs that name it are cleared: histories of CPUs
/// still name it for a while.
const SWEEPS: u32 = 64;

const KEY: usize = std::mem::offset_of!(Pair, key);
const NS: usize = std::mem::offset_of!(Pair, ns);

/// The pairs at the last reading, in the order of the map.
#[derive(Debug)]
pub(crate) struct Pairs {
    last: Vec<Pair>,
    sweeps: u32,
}

/// What becomes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its growth is noted.
    Counted,
    /// Its owners are not known yet: it counts at the next reading.
    Later,
}

impl Pairs {
    pub(crate) fn new(maps: &Maps) -> Pairs {
        let pairs = maps.pairs.len() as usize * PAIR_WAYS;
        Pairs {
            last: vec![Pair::default(); pairs],
            sweeps: 0,
        }
    }

    /// A slot was given back.
    pub(crate) fn expect_stale(&mut self) {
        self.sweeps = SWEEPS;
    }

    /// Calls `grew` with victim, culprit and nanoseconds for each pair that grew, and clears those
    /// that did not and that name an owner which `is_stale`.
    pub(crate) fn read(
        &mut self,
        maps: &Maps,
        is_stale: impl Fn(Owner) -> bool,
        mut grew: impl FnMut(Owner, Owner, u64) -> Fate,
    ) {
        let sweeps = self.sweeps > 0;
        self.sweeps = self.sweeps.saturating_sub(1);
        for (set, last) in (0..).zip(self.last.chunks_exact_mut(PAIR_WAYS)) {
            let now: [u64; 2 * PAIR_WAYS] = maps.pairs.words(set);
            for (way, last) in last.iter_mut().enumerate() {
                let now = Pair {
                    key: now[2 * way],
                    ns: now[2 * way + 1],
                };
                if now.key == 0 {
                    continue;
                }
                if now.key != last.key {
                    *last = Pair {
                        key: now.key,
                        ns: 0,
                    };
                }
                let (victim, culprit) = owners(now.key);
                let grown = now.ns.saturating_sub(last.ns);
                if grown != 0 {
                    if grew(victim, culprit, grown) == Fate::Counted {
                        last.ns = now.ns;
                    }
                } else if sweeps && (is_stale(victim) || is_stale(culprit)) {
                    clear(&maps.pairs, set, way);
                    *last = Pair::default();
                }
            }
        }
    }
}

fn owners(key: u64) -> (Owner, Owner) {
    (Owner((key >> 32) as u32), Owner(key as u32))
}

/// The programs take a pair without key for a new one, wherever it stands in its set.
fn clear(pairs: &Mapped<PairSet>, set: u32, way: usize) {
    let at = way * size_of::<Pair>();
    pairs.set_word(set, at + NS, 0);
    pairs.set_word(set, at + KEY, 0);
}

#[cfg(test)]
mod tests {
    use agent_ebpf::layout::pair_key;

    use super::*;
    use crate::kernel::maps::Shape;

    const SHAPE: Shape = Shape {
        cpus: 1,
        slots: 64,
        shards: 1,
    };

    fn put(maps: &Maps, set: u32, way: usize, victim: u32, culprit: u32, ns: u64) {
        maps.pairs
            .set_word(set, way * 16, pair_key(victim, culprit));
        maps.pairs.set_word(set, way * 16 + 8, ns);
    }

    fn read(pairs: &mut Pairs, maps: &Maps, stale: u32, fate: Fate) -> Vec<(u32, u32, u64)> {
        let mut grown = Vec::new();
        pairs.read(
            maps,
            |owner| owner.0 == stale,
            |victim, culprit, ns| {
                grown.push((victim.0, culprit.0, ns));
                fate
            },
        );
        grown
    }

    #[test]
    fn growth_counts_once() {
        let maps = Maps::private(SHAPE);
        let mut pairs = Pairs::new(&maps);
        put(&maps, 9, 1, 40, 41, 100);
        assert_eq!(read(&mut pairs, &maps, 0, Fate::Later), [(40, 41, 100)]);
        assert_eq!(read(&mut pairs, &maps, 0, Fate::Counted), [(40, 41, 100)]);
        put(&maps, 9, 1, 40, 41, 130);
        assert_eq!(read(&mut pairs, &maps, 0, Fate::Counted), [(40, 41, 30)]);
        assert_eq!(read(&mut pairs, &maps, 0, Fate::Counted), []);
    }

    #[test]
    fn a_place_of_a_stale_pair_is_used_again() {
        let maps = Maps::private(SHAPE);
        let mut pairs = Pairs::new(&maps);
        put(&maps, 3, 0, 40, 41, 100);
        put(&maps, 3, 1, 42, 43, 50);
        read(&mut pairs, &maps, 0, Fate::Counted);
        assert_eq!(read(&mut pairs, &maps, 41, Fate::Counted), []);
        assert_eq!(maps.pairs.word(3, 0), pair_key(40, 41));
        pairs.expect_stale();
        assert_eq!(read(&mut pairs, &maps, 41, Fate::Counted), []);
        assert_eq!((maps.pairs.word(3, 0), maps.pairs.word(3, 8)), (0, 0));
        put(&maps, 3, 0, 44, 45, 7);
        assert_eq!(read(&mut pairs, &maps, 41, Fate::Counted), [(44, 45, 7)]);
        assert_eq!(maps.pairs.word(3, 24), 50);
    }
}
