//! What ran on one CPU: slices, and summaries of 8, 64, 512 … slices for the way back in time.
//!
//! Level 0 holds slices, the newest still growing while its owner stays. Eight closed blocks of a
//! level make one block of the next. Each event closes at most one slice and folds at most eight
//! slices or one summary (the eight into two levels where two took turns), so that the work is
//! bounded; [`RETAIN`] blocks of each level reach back 260,000 slices, exact within the last 56.

use bytemuck::{Pod, Zeroable};

use crate::{opaque, opaque_place, owner::Owner, turns::Turns};

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

impl Share {
    #[inline(always)]
    fn of(owner: u32, ns: u64) -> Share {
        Share { ns, owner, _pad: 0 }
    }
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

/// What [`History::fold`] leaves to do. Steps of their own: the verifier would go through all ways
/// of one for each way of the one before.
#[derive(Clone, Copy, Debug)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// [`History::fold_slices`].
    Slices,
    /// [`History::merge`] for shares from 0 on, until it says that there are no more.
    Shares(Merge),
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
    /// the one that is soonest overwritten. What it returns is to be done before the next slice.
    #[inline(always)]
    pub fn fold(&mut self) -> Rest {
        if self.unfolded & 1 == 0 {
            Rest::Shares(self.fold_summary())
        } else if self.fold_turns() {
            Rest::Nothing
        } else {
            Rest::Slices
        }
    }

    /// Adds a share of a summary to that of the next level; `false` when there is none.
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

    /// The newest whole group of slices.
    #[inline(always)]
    fn group(&self) -> u64 {
        (self.open() >> FAN_SHIFT).wrapping_sub(1)
    }

    /// Folds a group of slices in which two took turns; `false` if others ran, or something was
    /// taken from them.
    #[inline(always)]
    fn fold_turns(&mut self) -> bool {
        let group = self.group();
        let start = self.slice_start(group << FAN_SHIFT);
        let (groups, _) = self.slices.as_chunks::<{ 1 << FAN_SHIFT }>();
        let slices = opaque_place(&groups[opaque(group as usize) & (groups.len() - 1)]);
        let (one, other) = (slices[0].owner, slices[1].owner);
        if slices[2].owner != one {
            return false;
        }
        let (mut end, mut one_ns, mut other_ns, mut odd) = (start, 0u64, 0u64, 0);
        let (pairs, _) = slices.as_chunks::<2>();
        for [a, b] in pairs {
            odd |= u64::from((a.owner ^ one) | (b.owner ^ other));
            odd |= a.steal | a.irq | b.steal | b.irq;
            one_ns = one_ns.wrapping_add(a.end.wrapping_sub(end));
            other_ns = other_ns.wrapping_add(b.end.wrapping_sub(a.end));
            end = b.end;
        }
        let unknown = Owner::UNKNOWN.0;
        if odd != 0 || one == other || one == unknown || other == unknown {
            return false;
        }
        let turns = Turns::of(
            start,
            end,
            Share::of(one, one_ns),
            Share::of(other, other_ns),
        );
        self.unfolded &= !1;
        turns.begin(&mut self.summaries[summary_place(1, group)]);
        // Into the summary above at once, where the same two are the first.
        let above = group >> FAN_SHIFT;
        let parent = &mut self.summaries[summary_place(2, above)];
        if group & FAN_MASK == 0 {
            turns.begin(parent);
        } else if !turns.add_to(parent) {
            self.close_summary(1, group);
            return true;
        }
        self.closed[1] = group + 1;
        if group & FAN_MASK == FAN_MASK {
            self.close_summary(2, above);
        }
        true
    }

    /// Folds a group of slices, whatever they are.
    #[inline(always)]
    pub fn fold_slices(&mut self) {
        self.unfolded &= !1;
        let group = self.group();
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
#[path = "history_tests.rs"]
mod tests;
