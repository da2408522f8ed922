//! What ran on one CPU: slices, and summaries of 8, 64, 512 … slices for the way back in time.
//!
//! Level 0 holds slices, the newest still growing while its owner stays. Eight closed blocks of a
//! level make one block of the next. Each event closes at most one slice and folds at most eight
//! slices or one summary, so that the work is bounded; [`RETAIN`] blocks of each level reach back
//! 260,000 slices, exact within the last 56.

use bytemuck::{Pod, Zeroable};

use crate::{opaque, owner::Owner};

/// Levels: slices and four kinds of summaries.
pub const LEVELS: u64 = 5;
/// Blocks kept of each level.
pub const RETAIN: u64 = 64;
/// Owners that a summary can tell apart.
pub const SHARES: usize = 13;
/// A block of the next level is 2^3 blocks of this one.
pub const FAN_SHIFT: u64 = 3;
const FAN_MASK: u64 = (1 << FAN_SHIFT) - 1;
/// Summaries of all levels: a power of two, so that the verifier sees a mask.
const SUMMARIES: usize = ((LEVELS - 1) * RETAIN) as usize;
/// Room for [`LEVELS`] counters: a power of two likewise.
const COUNTERS: usize = 8;

/// What one owner ran in a summary.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Share {
    /// Nanoseconds without steal and interrupts.
    pub ns: u64,
    /// The owner; the idle task marks the end of the list.
    pub owner: u32,
    /// Reserved.
    pub _pad: u32,
}

/// `start..end` in the run queue's clock, and what of it nobody's share holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Head {
    /// Start.
    pub start: u64,
    /// End.
    pub end: u64,
    /// Idle, nanoseconds.
    pub idle: u64,
    /// Stolen, nanoseconds.
    pub steal: u64,
    /// Interrupts, nanoseconds.
    pub irq: u64,
    /// Owners that found no share, nanoseconds.
    pub other: u64,
}

/// A summary of several slices.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Block {
    /// When, and what is not in the shares.
    pub head: Head,
    /// Who ran.
    pub shares: [Share; SHARES],
}

/// A stay of one owner on the CPU, or a part of it, from the end of the one before to `end`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Slice {
    /// End, in the run queue's clock.
    pub end: u64,
    /// Stolen within, nanoseconds.
    pub steal: u64,
    /// Interrupts within, nanoseconds.
    pub irq: u64,
    /// Who ran: an [`Owner`].
    pub owner: u32,
    /// Reserved.
    pub _pad: u32,
}

/// Two summaries, of which the shares of one are to be added to the other's.
#[derive(Clone, Copy, Debug)]
pub struct Merge {
    /// The one, by its place.
    pub from: u32,
    /// The other.
    pub to: u32,
}

/// The history of a CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct History {
    /// Start of the first slice.
    pub started: u64,
    /// Bit `level`: its newest closed summary, or group of slices, is not yet folded into the next
    /// level.
    unfolded: u64,
    /// Closed blocks of each level so far; the next one is open.
    closed: [u64; COUNTERS],
    _pad: [u64; 6],
    slices: [Slice; RETAIN as usize],
    summaries: [Block; SUMMARIES],
}

impl Block {
    #[inline(always)]
    fn reset(&mut self, start: u64) {
        self.head = Head {
            start,
            end: start,
            ..Head::default()
        };
        self.shares[0].owner = Owner::IDLE.0;
    }

    #[inline(always)]
    fn add_head(&mut self, child: &Head) {
        self.head.end = child.end;
        self.head.idle += child.idle;
        self.head.steal += child.steal;
        self.head.irq += child.irq;
        self.head.other += child.other;
    }

    #[inline(always)]
    fn add_share(&mut self, owner: u32, ns: u64) {
        for i in 0..SHARES {
            let share = &mut self.shares[i];
            if share.owner == owner {
                share.ns += ns;
                return;
            }
            if share.owner == Owner::IDLE.0 {
                share.ns = ns;
                share.owner = owner;
                if i + 1 < SHARES {
                    self.shares[i + 1].owner = Owner::IDLE.0;
                }
                return;
            }
        }
        self.head.other += ns;
    }
}

/// A place in a ring, in a form whose bound the verifier sees.
#[inline(always)]
fn place(index: u64) -> usize {
    opaque(index as usize) & (RETAIN as usize - 1)
}

#[inline(always)]
fn summary_place(level: u64, index: u64) -> usize {
    let place = (level.wrapping_sub(1) * RETAIN) | (index & (RETAIN - 1));
    opaque(place as usize) & (SUMMARIES - 1)
}

impl History {
    /// Summary `index` of a level from 1 on, as far as it is retained.
    #[inline(always)]
    pub fn summary(&self, level: u64, index: u64) -> &Block {
        &self.summaries[summary_place(level, index)]
    }

    /// Slice `index`, as far as it is retained; the last one is open.
    #[inline(always)]
    pub fn slice(&self, index: u64) -> &Slice {
        &self.slices[place(index)]
    }

    #[inline(always)]
    fn slice_mut(&mut self, index: u64) -> &mut Slice {
        &mut self.slices[place(index)]
    }

    /// When slice `index` started: the end of the one before it.
    #[inline(always)]
    pub fn slice_start(&self, index: u64) -> u64 {
        self.slice(index.wrapping_sub(1)).end
    }

    /// Number of the open slice.
    #[inline(always)]
    pub fn open(&self) -> u64 {
        self.closed[0]
    }

    /// Closed blocks of a level.
    #[inline(always)]
    pub fn closed(&self, level: u64) -> u64 {
        self.closed[opaque(level as usize) & (COUNTERS - 1)]
    }

    /// Whether block `index` of a level is closed, for slices or open, and not overwritten.
    #[inline(always)]
    pub fn has(&self, level: u64, index: u64) -> bool {
        // The open summary takes one place of the ring; so does the end before the oldest slice.
        let open = u64::from(level > 0);
        self.closed(level).wrapping_sub(index).wrapping_sub(open) < RETAIN - 1
    }

    /// Records what ran from the last end to `slice.end`, whoever ran before.
    #[inline(always)]
    pub fn record(&mut self, slice: Slice) {
        let index = self.open();
        let open = self.slice_mut(index);
        if open.owner == slice.owner {
            open.end = slice.end;
            if slice.steal | slice.irq != 0 {
                open.steal += slice.steal;
                open.irq += slice.irq;
            }
            return;
        }
        self.close();
        *self.slice_mut(index + 1) = slice;
    }

    #[inline(always)]
    fn close(&mut self) {
        let index = self.open();
        self.closed[0] = index + 1;
        if index & FAN_MASK == FAN_MASK {
            self.unfolded |= 1;
        }
    }

    /// Starts at `now`: what ran before is not known.
    #[inline(always)]
    pub fn start(&mut self, now: u64) {
        self.started = now;
        self.close();
        let index = self.open();
        *self.slice_mut(index) = Slice {
            end: now,
            owner: Owner::UNKNOWN.0,
            ..Slice::default()
        };
    }

    /// Whether [`History::fold`] has work. It is to be called after each [`History::record`] then,
    /// or blocks are overwritten before they were folded.
    #[inline(always)]
    pub fn is_unfolded(&self) -> bool {
        self.unfolded != 0
    }

    /// Folds a group of slices, or one summary, into the next level: the lowest first, for it is
    /// the one that is soonest overwritten. What is left of it to do: [`History::merge`] for
    /// shares from 0 on until it says that there are no more.
    #[inline(always)]
    pub fn fold(&mut self) -> Option<Merge> {
        if self.unfolded & 1 != 0 {
            self.fold_slices();
            None
        } else {
            Some(self.fold_summary())
        }
    }

    /// Adds a share of a summary to that of the next level. A step of its own: the verifier would
    /// go through all ways of one share for each way of the one before.
    #[inline(always)]
    pub fn merge(&mut self, Merge { from, to }: Merge, share: u32) -> bool {
        let place = |place: u32| opaque(place as usize) & (SUMMARIES - 1);
        let shares = &self.summaries[place(from)].shares;
        let Some(&Share { owner, ns, .. }) = shares.get(opaque(share as usize)) else {
            return false;
        };
        if owner == Owner::IDLE.0 {
            return false;
        }
        self.summaries[place(to)].add_share(owner, ns);
        true
    }

    #[inline(always)]
    fn fold_slices(&mut self) {
        self.unfolded &= !1;
        let group = (self.open() >> FAN_SHIFT).wrapping_sub(1);
        let first = group << FAN_SHIFT;
        let mut start = self.slice_start(first);
        let to = &mut self.summaries[summary_place(1, group)];
        to.reset(start);
        for i in 0..=FAN_MASK {
            let slice = self.slices[place(first | i)];
            let mut ran = slice.end.wrapping_sub(start);
            start = slice.end;
            if slice.steal | slice.irq != 0 {
                to.head.steal += slice.steal;
                to.head.irq += slice.irq;
                ran = ran.wrapping_sub(slice.steal + slice.irq);
            }
            if slice.owner == Owner::IDLE.0 {
                to.head.idle += ran;
            } else if slice.owner == Owner::UNKNOWN.0 {
                to.reset(start);
            } else {
                to.add_share(slice.owner, ran);
            }
        }
        to.head.end = start;
        self.close_summary(1, group);
    }

    #[inline(always)]
    fn fold_summary(&mut self) -> Merge {
        let mut level = 1;
        while level < LEVELS - 2 {
            if self.unfolded & (1 << level) != 0 {
                break;
            }
            level += 1;
        }
        let level = opaque(level as usize) as u64;
        self.unfolded &= !(1 << (level & 63));
        let index = self.closed(level).wrapping_sub(1);
        let parent = index >> FAN_SHIFT;
        let (from, to) = (
            summary_place(level, index),
            summary_place(level + 1, parent),
        );
        let head = self.summaries[from].head;
        if index & FAN_MASK == 0 {
            self.summaries[to].reset(head.start);
        }
        self.summaries[to].add_head(&head);
        if index & FAN_MASK == FAN_MASK {
            self.close_summary(level + 1, parent);
        }
        Merge {
            from: from as u32,
            to: to as u32,
        }
    }

    #[inline(always)]
    fn close_summary(&mut self, level: u64, index: u64) {
        self.closed[opaque(level as usize) & (COUNTERS - 1)] = index + 1;
        if level < LEVELS - 1 {
            self.unfolded |= 1 << (level & 63);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        owner::KernelFamily,
        throttle::{Interval, Windows},
        walk::{Found, Tally, Walk},
    };
    use proptest::prelude::*;

    /// A slice as the naive list keeps it.
    #[derive(Clone, Copy, Debug)]
    struct Ran {
        owner: Owner,
        length: u64,
        steal: u64,
    }

    fn fold(history: &mut History) {
        if let Some(merge) = history.fold() {
            let mut shares = 0..;
            while shares
                .next()
                .is_some_and(|share| history.merge(merge, share))
            {}
        }
    }

    fn history_of(slices: &[Ran]) -> Box<History> {
        let mut history: Box<History> = bytemuck::allocation::zeroed_box();
        let mut now = 1_000;
        history.start(now);
        for slice in slices {
            now += slice.length;
            history.record(Slice {
                owner: slice.owner.0,
                end: now,
                steal: slice.steal,
                ..Slice::default()
            });
            if history.is_unfolded() {
                fold(&mut history);
            }
        }
        history
    }

    fn now(history: &History) -> u64 {
        history.slice(history.open()).end
    }

    fn owner(number: u32) -> Owner {
        match number {
            0 => Owner::IDLE,
            1 => Owner::kernel(KernelFamily::Kworker),
            n => Owner::new(40 + n, 1),
        }
    }

    /// Slices of one owner in a row are one slice: that is how the history keeps them.
    fn slices(owners: u32, count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<Ran>> {
        prop::collection::vec(slice(owners), count).prop_map(|all| {
            let mut merged: Vec<Ran> = Vec::new();
            for next in all {
                match merged.last_mut() {
                    Some(last) if last.owner == next.owner => {
                        last.length += next.length;
                        last.steal += next.steal;
                    }
                    _ => merged.push(next),
                }
            }
            merged
        })
    }

    fn slice(owners: u32) -> impl Strategy<Value = Ran> {
        (0..owners, 1u64..5_000, 0u64..100).prop_map(|(number, length, steal)| Ran {
            owner: owner(number),
            length,
            steal: steal.min(length) / 2,
        })
    }

    /// Exact amounts by owner over a window, with steal apart.
    fn naive(slices: &[Ran], window: Interval) -> (BTreeMap<u32, f64>, f64) {
        let (mut by_owner, mut steal, mut start) = (BTreeMap::new(), 0.0, 1_000);
        for slice in slices {
            let end = start + slice.length;
            let overlap = end.min(window.end).saturating_sub(start.max(window.start)) as f64;
            let share = overlap / slice.length as f64;
            steal += slice.steal as f64 * share;
            *by_owner.entry(slice.owner.0).or_default() += overlap - slice.steal as f64 * share;
            start = end;
        }
        (by_owner, steal)
    }

    /// What a walk found, and its steps.
    struct Walked {
        tally: Tally,
        blame: BTreeMap<u32, u64>,
        steps: u64,
    }

    fn walked(history: &History, parts: &[Interval], victim: Owner) -> Walked {
        let mut windows: Windows = Zeroable::zeroed();
        windows.count = parts.len() as u64;
        windows.parts[..parts.len()].copy_from_slice(parts);
        let (mut walk, mut blame, mut steps) = (Walk::default(), BTreeMap::new(), 0);
        walk.start(history.open() + 1, &windows);
        while !walk.is_done() {
            let mut blame = |owner, ns| *blame.entry(owner).or_default() += ns;
            match walk.step(history, &windows, victim) {
                Found::Nothing => {}
                Found::Culprit => blame(walk.culprit.owner, walk.culprit.ns),
                Found::Summary => walk.add_shares(history, victim, &mut blame),
            }
            steps += 1;
            assert!(steps < 4096, "a walk without end");
        }
        Walked {
            tally: walk.tally,
            blame,
            steps,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn recent_waits_are_exact(
            slices in slices(8, 80..600),
            back in 1usize..56,
            cut in 0u64..5_000,
        ) {
            let history = history_of(&slices);
            let now = now(&history);
            let reach: u64 = slices[slices.len() - back..].iter().map(|s| s.length).sum();
            let window = Interval { start: now - reach + cut.min(reach - 1), end: now };
            let Walked { tally, blame, .. } = walked(&history, &[window], owner(2));
            let (by_owner, steal) = naive(&slices, window);
            prop_assert_eq!(tally.total(), window.end - window.start);
            prop_assert_eq!(tally.estimated, 0);
            prop_assert!((tally.steal as f64 - steal).abs() <= 2.0);
            for (owner, ns) in by_owner {
                let ours = match owner {
                    o if o == Owner::IDLE.0 => tally.idle,
                    o if o == tests::owner(2).0 => tally.own,
                    o => blame.get(&o).copied().unwrap_or(0),
                };
                prop_assert!((ours as f64 - ns).abs() <= 3.0, "owner {owner}: {ours}, exact {ns}");
            }
        }

        #[test]
        fn long_waits_add_up_and_stay_near(
            slices in slices(10, 100..4_000),
            part in 0.05f64..1.0,
        ) {
            let history = history_of(&slices);
            let length = ((now(&history) - 1_000) as f64 * part) as u64;
            let window = Interval { start: now(&history) - length, end: now(&history) };
            let Walked { tally, blame, .. } = walked(&history, &[window], owner(3));
            let (by_owner, _) = naive(&slices, window);
            let missing = length - tally.total();
            prop_assert!(missing as f64 <= 1e-4 * length as f64 + 20.0, "missing {missing} of {length}");
            // What is estimated is at most one summary at the far end.
            prop_assert!(tally.estimated as f64 <= 0.5 * length as f64);
            let kernel = by_owner.get(&owner(1).0).copied().unwrap_or(0.0);
            let slack = tally.estimated as f64 + 50.0;
            prop_assert!((tally.kernel as f64 - kernel).abs() <= slack);
            let neighbors: u64 = blame.values().sum();
            prop_assert_eq!(neighbors, tally.neighbor + tally.kernel);
        }

        #[test]
        fn windows_leave_out_what_is_between(
            slices in slices(6, 60..400),
            cuts in prop::collection::btree_set(1u64..40_000, 2..12),
        ) {
            let history = history_of(&slices);
            let now = now(&history);
            let cuts: Vec<u64> = cuts.into_iter().filter(|cut| now - cut > 1_000).collect();
            let parts: Vec<Interval> = cuts
                .chunks_exact(2)
                .map(|pair| Interval { start: now - pair[1], end: now - pair[0] })
                .collect();
            prop_assume!(!parts.is_empty());
            let Walked { tally, .. } = walked(&history, &parts, owner(2));
            let wanted: u64 = parts.iter().map(|part| part.end - part.start).sum();
            let missing = wanted.abs_diff(tally.total());
            prop_assert!(missing as f64 <= 1e-4 * wanted as f64 + 40.0, "missing {missing} of {wanted}");
            if tally.estimated == 0 {
                let own: f64 = parts
                    .iter()
                    .map(|part| naive(&slices, *part).0.get(&owner(2).0).copied().unwrap_or(0.0))
                    .sum();
                prop_assert!((tally.own as f64 - own).abs() <= 3.0 * cuts.len() as f64);
            }
        }
    }

    #[test]
    fn a_storm_of_two_owners_is_known_far_back() {
        let slices: Vec<Ran> = (0..300_000)
            .map(|i| Ran {
                owner: owner(2 + i % 2),
                length: 3,
                steal: 0,
            })
            .collect();
        let history = history_of(&slices);
        let window = Interval {
            start: now(&history) - 700_000,
            end: now(&history),
        };
        let Walked {
            tally,
            blame,
            steps,
        } = walked(&history, &[window], owner(4));
        assert!(tally.total().abs_diff(700_000) < 50);
        assert!(steps < 160, "{steps} steps");
        for culprit in [owner(2), owner(3)] {
            assert!(blame[&culprit.0].abs_diff(350_000) < 1_000, "{blame:?}");
        }
    }

    #[test]
    fn more_owners_than_shares_keep_the_cause() {
        let slices: Vec<Ran> = (0..10_000)
            .map(|i| Ran {
                owner: owner(2 + i % 40),
                length: 100,
                steal: 0,
            })
            .collect();
        let history = history_of(&slices);
        let window = Interval {
            start: now(&history) - 500_000,
            end: now(&history),
        };
        let Walked { tally, blame, .. } = walked(&history, &[window], owner(90));
        assert!(tally.total().abs_diff(500_000) < 50);
        assert_eq!(tally.total(), tally.neighbor);
        assert!(blame.values().sum::<u64>() < tally.neighbor);
    }

    #[test]
    fn time_before_the_first_slice_is_not_invented() {
        let history = history_of(&[Ran {
            owner: owner(2),
            length: 500,
            steal: 0,
        }]);
        let Walked { tally, .. } = walked(
            &history,
            &[Interval {
                start: 0,
                end: 1_500,
            }],
            owner(3),
        );
        assert_eq!(tally.total(), 500);
        let empty: Box<History> = bytemuck::allocation::zeroed_box();
        let Walked { tally, .. } = walked(
            &empty,
            &[Interval {
                start: 0,
                end: 1_500,
            }],
            owner(3),
        );
        assert_eq!(tally.total(), 0);
    }
}
