//! Who ran while a task waited: the way back through a CPU's history.

use crate::{
    history::{Block, FAN_SHIFT, Head, History, LEVELS, SHARES, Share},
    opaque,
    owner::Owner,
    throttle::{Interval, Windows},
};

/// A wait's parts by what the CPU did meanwhile, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Steps that the walk took.
    pub steps: u64,
    /// Whether it had to end before the wait's start for want of steps.
    pub cut_short: bool,
}

impl Tally {
    /// What is accounted for.
    #[inline(always)]
    pub fn total(&self) -> u64 {
        self.neighbor + self.own + self.kernel + self.steal + self.irq + self.idle
    }
}

/// The part of a block's amounts that counts.
#[derive(Clone, Copy)]
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
            fraction: (part << Self::SHIFT) / whole,
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
    #[inline(always)]
    fn add_owner(&mut self, victim: Owner, owner: u32, ns: u64, blame: &mut impl FnMut(u32, u64)) {
        if owner == victim.0 {
            self.own += ns;
            return;
        }
        if Owner(owner).is_kernel() {
            self.kernel += ns;
        } else {
            self.neighbor += ns;
        }
        blame(owner, ns);
    }

    /// A slice, or the part of it that lasts `overlap`: what is not stolen or interrupts is the
    /// runner's, to the nanosecond.
    #[inline(always)]
    fn add_slice(
        &mut self,
        victim: Owner,
        slice: &Block,
        scale: Scale,
        overlap: u64,
        blame: &mut impl FnMut(u32, u64),
    ) {
        let (steal, irq) = (scale.of(slice.head.steal), scale.of(slice.head.irq));
        let ran = overlap.saturating_sub(steal + irq);
        self.steal += steal;
        self.irq += irq;
        let owner = slice.shares[0].owner;
        if owner == Owner::IDLE.0 {
            self.idle += ran;
        } else {
            self.add_owner(victim, owner, ran, blame);
        }
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

/// Walks back over the windows of a wait of `victim` and tallies what the CPU did. `blame` gets
/// each culprit, cgroup or kernel family, with its nanoseconds; a culprit may come several times.
/// At most `steps` steps, and never more than `MOST`.
#[inline(always)]
pub fn walk<const MOST: u64>(
    history: &History,
    windows: &Windows,
    victim: Owner,
    steps: u64,
    mut blame: impl FnMut(u32, u64),
) -> Tally {
    let mut tally = Tally::default();
    let mut level = 0;
    // Slices from this one on are done.
    let mut cursor = history.closed(0) + 1;
    let mut window = windows.part(0);
    let mut window_index = 0;
    let mut last_window = false;
    // The next share of the block in work; SHARES is none.
    let mut share = SHARES;
    let mut block = history.block(0, 0);
    let mut scale = Scale::WHOLE;

    let mut step = 0;
    while step < MOST {
        if step >= steps {
            tally.cut_short = true;
            break;
        }
        step += 1;
        if share < SHARES {
            let next = share_at(block, share);
            if next.owner == Owner::IDLE.0 {
                share = SHARES;
            } else {
                tally.add_owner(victim, next.owner, scale.of(next.ns), &mut blame);
                share += 1;
                continue;
            }
        }
        if last_window || cursor == 0 {
            break;
        }
        let index = (cursor >> (FAN_SHIFT * level)) - 1;
        if !history.has(level, index) {
            break;
        }
        if climbs(history, level, index, window) {
            level += 1;
            continue;
        }
        block = history.block(level, index);
        let head = block.head;
        let from = if head.start > window.start {
            head.start
        } else {
            window.start
        };
        let until = if head.end < window.end {
            head.end
        } else {
            window.end
        };
        if from < until {
            let whole = from == head.start && until == head.end;
            if !whole && level > 0 && history.has(level - 1, index << FAN_SHIFT) {
                level -= 1;
                continue;
            }
            let overlap = until - from;
            scale = if whole {
                Scale::WHOLE
            } else {
                Scale::ratio(overlap, head.end - head.start)
            };
            if level == 0 {
                tally.add_slice(victim, block, scale, overlap, &mut blame);
            } else {
                tally.add_head(&head, scale);
                share = 0;
                if !whole {
                    tally.estimated += overlap;
                }
            }
        }
        if head.start > window.start {
            cursor = index << (FAN_SHIFT * level);
            continue;
        }
        // The same block may reach into the window before this one.
        window_index += 1;
        window = windows.part(window_index);
        last_window = window_index >= windows.count;
    }
    tally.steps = step;
    tally
}

#[inline(always)]
fn share_at(block: &Block, index: usize) -> Share {
    let index = opaque(index);
    if index < SHARES {
        block.shares[index]
    } else {
        Share::default()
    }
}

/// Whether block `index` ends a summary of the next level that lies wholly in the window, or
/// wholly after it: then one step does for all its blocks.
#[inline(always)]
fn climbs(history: &History, level: u64, index: u64, window: Interval) -> bool {
    let above = index >> FAN_SHIFT;
    if (index + 1) & ((1 << FAN_SHIFT) - 1) != 0
        || level + 1 >= LEVELS
        || !history.has_summary(level + 1, above)
    {
        return false;
    }
    let head = &history.block(level + 1, above).head;
    head.start >= window.start && (head.end <= window.end || head.start >= window.end)
}
