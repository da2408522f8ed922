//! One segment of a wait, on one run queue: its causes and culprits.
//!
//! Most waits end within the newest slices, and are told on the spot or by [`recent_slices`]. The rest,
//! and what a quota may have held back, goes through a value of a map, step by step.

use core::hint::cold_path;

use agent_ebpf::{
    budget::{Detail, STEPS_PER_EVENT},
    cause::Cause,
    layout::{Cell, Cpu, FAIR_PRIO, Reason, Segment, ThrottleMethod},
    owner::Owner,
    throttle::Interval,
    walk::{Culprit, Found, Tally, recent},
};

use crate::{
    kernel::{Task, host},
    maps::{self, Value},
    quota::{split_by_hooks, split_by_sum},
};

/// A wait's length without, and by, quotas.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wait {
    pub(crate) contention: u64,
    pub(crate) throttled: u64,
}

/// A part of a wait whose cause is not known.
#[inline(always)]
pub(crate) fn leave_open(mut cpu: Value<Cpu>, mut cell: Value<Cell>, reason: Reason, ns: u64) {
    cell.add_wait(Cause::Unattributed, ns);
    cpu.reasons_ns[reason as usize] += ns;
}

/// Accounts a segment that a task waited on CPU `number`, up to the end of its history. `is_held`
/// tells whether a quota may have held the task back, as [`prepare_split`] does.
#[inline(always)]
pub(crate) fn account(
    mut cpu: Value<Cpu>,
    cell: Value<Cell>,
    number: u32,
    owner: Owner,
    interval: Interval,
    is_held: bool,
    wait: &mut Wait,
) {
    if is_held {
        cold_path();
        cpu.segment.interval = interval;
        cpu.segment.owner = owner.0;
        if split_segment(number) != 0 {
            attribute_segment(number);
        }
        wait.contention += cpu.segment.contention_ns;
        wait.throttled += cpu.segment.throttled_ns;
        return;
    }
    wait.contention += interval.end - interval.start;
    let until = account_newest(cpu, cell, number, owner, interval);
    if until <= interval.start {
        return;
    }
    cold_path();
    let until = recent_slices(number, owner.0, interval.start, until);
    if until > interval.start {
        let rest = Interval {
            start: interval.start,
            end: until,
        };
        cpu.windows.whole(rest);
        cpu.segment.interval = rest;
        cpu.segment.contention_ns = until - interval.start;
        cpu.segment.owner = owner.0;
        attribute_segment(number);
    }
}

/// Slices that are looked at on the spot.
const NEWEST: usize = 3;

/// Accounts what of a segment lies within the newest slices: most lie there wholly. Returns the time
/// from which on it is told, and leaves the cursor there.
#[inline(always)]
fn account_newest(
    mut cpu: Value<Cpu>,
    mut cell: Value<Cell>,
    number: u32,
    owner: Owner,
    interval: Interval,
) -> u64 {
    let mut until = interval.end;
    let mut index = cpu.history.open();
    let mut slice = *cpu.history.slice(index);
    for _ in 0..NEWEST {
        let ran = Owner(slice.owner);
        if slice.steal | slice.irq != 0 || ran.0 == Owner::UNKNOWN.0 {
            cold_path();
            break;
        }
        let older = *cpu.history.slice(index.wrapping_sub(1));
        let start = older.end;
        let from = if start > interval.start {
            start
        } else {
            interval.start
        };
        // Slices follow each other, and the wait reaches into this one.
        let length = until.wrapping_sub(from);
        until = from;
        index = index.wrapping_sub(1);
        if ran.0 == owner.0 {
            cell.add_wait(Cause::SelfInflicted, length);
        } else if ran.is_idle() {
            cell.add_wait(Cause::Idle, length);
        } else {
            if ran.is_kernel() {
                cell.add_wait(Cause::Kernel, length);
            } else {
                cell.add_wait(Cause::Neighbor, length);
            }
            if !maps::add_blame(number, owner, ran.0, length) {
                cpu.pairs_full_ns += length;
            }
        }
        if until <= interval.start {
            return until;
        }
        slice = older;
    }
    cpu.segment.cursor = index.wrapping_add(1);
    until
}

/// Whether a quota may have held the task back since `start`; if so the segment is prepared. A task
/// that is `moving` may be held back still.
#[inline(always)]
pub(crate) fn prepare_split(mut cpu: Value<Cpu>, task: Task, start: u64, moving: bool) -> bool {
    if task.prio() < FAIR_PRIO {
        return false;
    }
    let method = host!(SETTINGS.throttle);
    let mut segment = Segment::default();
    if method == ThrottleMethod::SelfTime as u32 {
        let queue = task.cfs_rq();
        segment.throttled_self_time = queue.throttled_self_time();
        if moving {
            segment.throttled_since = queue.throttled_since();
        }
        if segment.throttled_self_time | segment.throttled_since == 0 {
            return false;
        }
        segment.cfs_rq = queue.mark(&mut cpu.address);
    } else if method == ThrottleMethod::Hooks as u32 {
        if cpu.throttles_open == 0 && start >= cpu.throttle_end {
            return false;
        }
        let queue = task.cfs_rq();
        segment.cfs_rq = queue.mark(&mut cpu.address);
        segment.throttled_since = u64::from(queue.throttle_count() != 0);
    } else if method != ThrottleMethod::Unknown as u32 || !task.has_quota() {
        return false;
    }
    cpu.segment = segment;
    true
}

/// Tallies the slices before the cursor of a wait; returns the time from which on it is told. A global function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn recent_slices(number: u32, victim: u32, start: u64, end: u64) -> u64 {
    let owner = Owner(victim);
    let (Some(mut cpu), Some(mut cell)) = (maps::cpu(number), maps::cell(number, owner)) else {
        return start;
    };
    if maps::detail() == Detail::Totals as u32 {
        return end;
    }
    let mut no_room = 0;
    let found = recent(
        &cpu.history,
        cpu.segment.cursor,
        owner,
        Interval { start, end },
        &mut |cause, ns| cell.add_wait(cause, ns),
        &mut |culprit, ns| no_room += blame(number, victim, culprit, ns),
    );
    cpu.pairs_full_ns += no_room;
    cpu.segment.cursor = found.cursor;
    found.until
}

/// Splits off what a quota held back of the segment in work on CPU `number`; 0 when nothing is left
/// to attribute. A global function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn split_segment(number: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 0;
    };
    let Segment {
        interval, owner, ..
    } = cpu.segment;
    let Some(mut cell) = maps::cell(number, Owner(owner)) else {
        return 0;
    };
    let length = interval.end.saturating_sub(interval.start);
    cpu.windows.whole(interval);
    cpu.segment.cursor = cpu.history.open() + 1;
    let method = host!(SETTINGS.throttle);
    let throttled = if method == ThrottleMethod::SelfTime as u32 {
        split_by_sum(cpu, number)
    } else if method == ThrottleMethod::Hooks as u32 {
        split_by_hooks(cpu, number)
    } else {
        None
    };
    let Some(throttled) = throttled else {
        cpu.segment.contention_ns = length;
        cpu.segment.throttled_ns = 0;
        leave_open(cpu, cell, Reason::ThrottleUnknown, length);
        return 0;
    };
    let contention = length.saturating_sub(throttled);
    cpu.segment.contention_ns = contention;
    cpu.segment.throttled_ns = throttled;
    cell.add_wait(Cause::Throttled, throttled);
    u32::from(contention != 0)
}

/// Finds who ran in the windows of the segment in work on CPU `number`, before its cursor. A global
/// function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn attribute_segment(number: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 1;
    };
    let Segment {
        interval,
        owner,
        cursor,
        contention_ns,
        ..
    } = cpu.segment;
    let Some(cell) = maps::cell(number, Owner(owner)) else {
        return 1;
    };
    let detail = maps::detail();
    let steps = cpu.tokens.offer(interval.end, Detail::steps(detail));
    start_walk(&mut cpu, cursor);
    let mut step = 0;
    while step < STEPS_PER_EVENT {
        if step >= steps || walk_on(number, owner) != 0 {
            break;
        }
        step += 1;
    }
    cpu.tokens.spend(step);
    cpu.walk_steps += step;
    let tally = cpu.walk.tally;
    cpu.estimated_ns += tally.estimated;
    add_tally(cell, &tally);
    let open = contention_ns.saturating_sub(tally.total());
    if open == 0 {
        return 0;
    }
    let cut_short = !cpu.walk.is_done();
    let reason = if cut_short && detail != Detail::Full as u32 {
        Reason::SteppedDown
    } else if cut_short {
        Reason::Budget
    } else if interval.start < cpu.history.started {
        Reason::BeforeStart
    } else {
        Reason::History
    };
    leave_open(cpu, cell, reason, open);
    0
}

#[inline(always)]
fn start_walk(cpu: &mut Cpu, cursor: u64) {
    cpu.walk.start(cursor, &cpu.windows);
}

/// One step of the walk in work on CPU `number`, and who is to blame by it; not 0 when it was done
/// before. A global function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_on(number: u32, victim: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 1;
    };
    if cpu.walk.is_done() {
        return 1;
    }
    let found = walk_step(number, victim);
    if found == Found::Culprit as u32 {
        let Culprit { owner, ns, .. } = cpu.walk.culprit;
        cpu.pairs_full_ns += blame(number, victim, owner, ns);
    } else if found == Found::Summary as u32 {
        walk_shares(number, victim);
    }
    0
}

/// What a step of the walk finds: [`Found`]. A global function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_step(number: u32, victim: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return Found::Nothing as u32;
    };
    let Cpu {
        walk,
        history,
        windows,
        ..
    } = &mut *cpu;
    walk.step(history, windows, Owner(victim)) as u32
}

/// Adds the shares of the summary that the walk took. A global function, as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_shares(number: u32, victim: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 1;
    };
    let mut no_room = 0;
    let Cpu { walk, history, .. } = &mut *cpu;
    walk.add_shares(history, Owner(victim), &mut |culprit, ns| {
        no_room += blame(number, victim, culprit, ns);
    });
    cpu.pairs_full_ns += no_room;
    0
}

/// Adds to what `victim` waited while `culprit` ran; returns what found no room. A global function,
/// as [`crate::sched::fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn blame(number: u32, victim: u32, culprit: u32, ns: u64) -> u64 {
    if maps::add_blame(number, Owner(victim), culprit, ns) {
        0
    } else {
        ns
    }
}

#[inline(always)]
fn add_tally(mut cell: Value<Cell>, tally: &Tally) {
    cell.add_wait(Cause::Neighbor, tally.neighbor);
    cell.add_wait(Cause::SelfInflicted, tally.own);
    cell.add_wait(Cause::Kernel, tally.kernel);
    cell.add_wait(Cause::Steal, tally.steal);
    cell.add_wait(Cause::Irq, tally.irq);
    cell.add_wait(Cause::Idle, tally.idle);
}
