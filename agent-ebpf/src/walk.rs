//! Who ran while a task waited: the way back through a CPU's history.

use bytemuck::{Pod, Zeroable};

use crate::{
    cause::Cause,
    history::{FAN_SHIFT, Head, History, LEVELS, Slice},
    owner::Owner,
    throttle::{Interval, Windows},
};

/// A wait's parts by what the CPU did meanwhile, nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Zeroable, Pod)]
pub struct Tally {
    /// Other cgroups ran.
    pub neighbor: u64,
    /// The same cgroup ran.
    pub own: u64,
    /// Kernel threads ran.
    pub kernel: u64,
    /// Stolen by the hypervisor.
    pub steal: u64,
    /// Interrupts.
    pub irq: u64,
    /// Idle.
    pub idle: u64,
    /// Of all these, taken in proportion from a summary.
    pub estimated: u64,
}

impl Tally {
    /// What is accounted for.
    #[inline(always)]
    pub fn total(&self) -> u64 {
        self.neighbor + self.own + self.kernel + self.steal + self.irq + self.idle
    }
}

/// What the latest slices tell of a wait, without the walk's machinery: most waits end there.
#[derive(Clone, Copy, Debug)]
pub struct Recent {
    /// From here on the wait is told; at the wait's start all of it is.
    pub until: u64,
    /// The slice before which a walk goes on.
    pub cursor: u64,
}

/// Slices that [`recent`] looks at.
pub const RECENT: u64 = 4;

/// Tallies the slices before `cursor` of a wait of `victim`; at most [`RECENT`].
#[inline(always)]
pub fn recent(
    history: &History,
    mut cursor: u64,
    victim: Owner,
    wait: Interval,
    tally: &mut impl FnMut(Cause, u64),
    blame: &mut impl FnMut(u32, u64),
) -> Recent {
    let mut until = wait.end;
    // Mostly two take turns: one note for several slices of one culprit.
    let (mut culprit, mut blamed) = (Owner::IDLE.0, 0);
    for _ in 0..RECENT {
        let slice = history.slice(cursor - 1);
        if until <= wait.start || slice.owner == Owner::UNKNOWN.0 {
            break;
        }
        cursor -= 1;
        let start = history.slice_start(cursor);
        let from = if start > wait.start {
            start
        } else {
            wait.start
        };
        let overlap = until.saturating_sub(from);
        let mut ran = overlap;
        if slice.steal | slice.irq != 0 {
            let scale = Scale::ratio(overlap, slice.end.saturating_sub(start));
            let (steal, irq) = (scale.of(slice.steal), scale.of(slice.irq));
            ran = overlap.saturating_sub(steal + irq);
            tally(Cause::Steal, steal);
            tally(Cause::Irq, irq);
        }
        until = from;
        let owner = slice.owner;
        if owner == victim.0 {
            tally(Cause::SelfInflicted, ran);
        } else if owner == Owner::IDLE.0 {
            tally(Cause::Idle, ran);
        } else {
            let kernel = Owner(owner).is_kernel();
            tally(
                if kernel {
                    Cause::Kernel
                } else {
                    Cause::Neighbor
                },
                ran,
            );
            if owner != culprit {
                if blamed != 0 {
                    blame(culprit, blamed);
                }
                culprit = owner;
                blamed = 0;
            }
            blamed += ran;
        }
    }
    if blamed != 0 {
        blame(culprit, blamed);
    }
    // The last slice may begin before the wait: a walk would go on in it.
    Recent { until, cursor }
}

/// What a step found, besides what it tallied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Found {
    /// Nothing.
    Nothing = 0,
    /// The [`Culprit`] of a slice.
    Culprit = 1,
    /// A summary: [`Walk::add_shares`] is to follow.
    Summary = 2,
}

/// Who ran a slice.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Culprit {
    /// A cgroup or kernel family.
    pub owner: u32,
    /// Reserved.
    pub _pad: u32,
    /// For how long it ran, nanoseconds.
    pub ns: u64,
}

/// A summary that a step took.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
struct Taken {
    level: u64,
    index: u64,
    scale: Scale,
}

/// The part of a block's amounts that counts.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
struct Scale {
    /// In 1/2^20; [`Scale::WHOLE`] is all of it.
    fraction: u64,
}

impl Scale {
    const SHIFT: u64 = 20;
    const WHOLE: Scale = Scale {
        fraction: 1 << Self::SHIFT,
    };

    #[inline(always)]
    fn ratio(part: u64, whole: u64) -> Scale {
        Scale {
            // Never 0; a check, for the program must not hold a panic.
            fraction: (part << Self::SHIFT).checked_div(whole).unwrap_or(0),
        }
    }

    #[inline(always)]
    fn of(self, ns: u64) -> u64 {
        if self.fraction == Self::WHOLE.fraction {
            return ns;
        }
        // Up to 2.4 h without overflow.
        (ns & ((1 << 43) - 1)).wrapping_mul(self.fraction) >> Self::SHIFT
    }
}

impl Tally {
    /// Whether the owner is to blame.
    #[inline(always)]
    fn add_owner(&mut self, victim: Owner, owner: u32, ns: u64) -> bool {
        if owner == victim.0 {
            self.own += ns;
            return false;
        }
        if Owner(owner).is_kernel() {
            self.kernel += ns;
        } else {
            self.neighbor += ns;
        }
        true
    }

    /// A slice, or the part of it that lasts `overlap`: what is not stolen or interrupts is the
    /// runner's, to the nanosecond. What the runner is to blame for, if it is.
    #[inline(always)]
    fn add_slice(
        &mut self,
        victim: Owner,
        slice: &Slice,
        scale: Scale,
        overlap: u64,
    ) -> Option<u64> {
        let (steal, irq) = (scale.of(slice.steal), scale.of(slice.irq));
        let ran = overlap.saturating_sub(steal + irq);
        self.steal += steal;
        self.irq += irq;
        if slice.owner == Owner::IDLE.0 {
            self.idle += ran;
            return None;
        }
        self.add_owner(victim, slice.owner, ran).then_some(ran)
    }

    /// A summary but for its shares. Owners without a share are neighbours without a name.
    #[inline(always)]
    fn add_head(&mut self, head: &Head, scale: Scale) {
        self.steal += scale.of(head.steal);
        self.irq += scale.of(head.irq);
        self.idle += scale.of(head.idle);
        self.neighbor += scale.of(head.other);
    }
}

/// Where a walk is, and what it found. It lives in a map, so that a step can be a function that the
/// verifier checks once, knowing nothing of the steps before it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Walk {
    /// What was found so far.
    pub tally: Tally,
    /// Level of the blocks that are looked at.
    level: u64,
    /// Slices from this one on are done.
    cursor: u64,
    /// The window in work.
    window: Interval,
    /// Its number.
    window_index: u64,
    /// 1 once there is nothing left to find.
    ended: u64,
    /// What the last step found, after [`Found::Culprit`].
    pub culprit: Culprit,
    /// What it took, after [`Found::Summary`].
    taken: Taken,
}

impl Walk {
    /// Starts before slice `cursor` of the history; the one behind the open slice is its end.
    #[inline(always)]
    pub fn start(&mut self, cursor: u64, windows: &Windows) {
        *self = Walk {
            cursor,
            window: windows.part(0),
            ..Walk::default()
        };
    }

    /// Whether all was found that there is.
    #[inline(always)]
    pub fn is_done(&self) -> bool {
        self.ended != 0 || self.cursor == 0
    }

    /// One step back over the windows of a wait of `victim`: takes the block before the cursor, or
    /// goes to a level where it can be taken. A culprit may be found several times.
    #[inline(always)]
    pub fn step(&mut self, history: &History, windows: &Windows, victim: Owner) -> Found {
        let (level, window) = (self.level, self.window);
        let index = (self.cursor >> (FAN_SHIFT * (level & 7))).wrapping_sub(1);
        if !history.has(level, index) {
            self.ended = 1;
            return Found::Nothing;
        }
        if climbs(history, level, index, window) {
            self.level = level + 1;
            return Found::Nothing;
        }
        let mut found = Found::Nothing;
        let (start, end) = if level == 0 {
            if history.slice(index).owner == Owner::UNKNOWN.0 {
                self.ended = 1;
                return Found::Nothing;
            }
            (history.slice_start(index), history.slice(index).end)
        } else {
            let head = &history.summary(level, index).head;
            (head.start, head.end)
        };
        let from = if start > window.start {
            start
        } else {
            window.start
        };
        let until = if end < window.end { end } else { window.end };
        if from < until {
            let whole = from == start && until == end;
            if !whole && level > 0 && history.has(level - 1, index << FAN_SHIFT) {
                self.level = level - 1;
                return Found::Nothing;
            }
            let overlap = until - from;
            let scale = if whole {
                Scale::WHOLE
            } else {
                Scale::ratio(overlap, end - start)
            };
            if level == 0 {
                let slice = history.slice(index);
                if let Some(ns) = self.tally.add_slice(victim, slice, scale, overlap) {
                    self.culprit = Culprit {
                        owner: slice.owner,
                        ns,
                        ..Culprit::default()
                    };
                    found = Found::Culprit;
                }
            } else {
                let head = &history.summary(level, index).head;
                self.tally.add_head(head, scale);
                self.tally.estimated += if whole { 0 } else { overlap };
                self.taken = Taken {
                    level,
                    index,
                    scale,
                };
                found = Found::Summary;
            }
        }
        if start > window.start {
            self.cursor = index << (FAN_SHIFT * (level & 7));
            return found;
        }
        // The same block may reach into the window before this one.
        self.window_index += 1;
        self.window = windows.part(self.window_index);
        self.ended = u64::from(self.window_index >= windows.count);
        found
    }

    /// Adds the shares of the summary that the last step took. A step of its own, or the verifier
    /// would go through them for each way in which it can be taken. `blame` gets culprits with
    /// nanoseconds.
    #[inline(always)]
    pub fn add_shares(
        &mut self,
        history: &History,
        victim: Owner,
        blame: &mut impl FnMut(u32, u64),
    ) {
        let Taken {
            level,
            index,
            scale,
        } = self.taken;
        for share in &history.summary(level, index).shares {
            if share.owner == Owner::IDLE.0 {
                break;
            }
            let ns = scale.of(share.ns);
            if self.tally.add_owner(victim, share.owner, ns) {
                blame(share.owner, ns);
            }
        }
    }
}

/// Whether block `index` ends a summary of the next level that lies wholly in the window, or
/// wholly after it: then one step does for all its blocks.
#[inline(always)]
fn climbs(history: &History, level: u64, index: u64, window: Interval) -> bool {
    let above = index >> FAN_SHIFT;
    if (index + 1) & ((1 << FAN_SHIFT) - 1) != 0
        || level + 1 >= LEVELS
        || !history.has(level + 1, above)
    {
        return false;
    }
    let head = &history.summary(level + 1, above).head;
    head.start >= window.start && (head.end <= window.end || head.start >= window.end)
}
