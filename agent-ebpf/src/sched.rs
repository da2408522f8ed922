//! Scheduler accounting: who ran, who waited, and who ran meanwhile.
//!
//! Both tracepoints fire with a run queue's lock held and interrupts off, and write that run
//! queue's values alone, so that plain additions are whole. All times are the run queue's clock.

use core::hint::cold_path;

use agent_ebpf::{
    baseline::{self, MOVED, SEEN, SUSPECT},
    history::{Merge, Rest, SHARES, Slice},
    layout::{CARRY, Cell, Cpu, Drop, Late, ON_RQ_MIGRATING, Reason, TASK_DEAD},
    owner::Owner,
    throttle::Interval,
};
use aya_ebpf::programs::BtfTracePointContext;

use crate::{
    clock,
    kernel::{RunQueue, Task, argument, has, host},
    maps::{self, Value, bucket_of},
    segment::{self, Wait, leave_open},
    whose,
};

/// `sched_switch(preempt, prev, next[, prev_state])`.
#[inline(always)]
pub(crate) fn switch(ctx: &BtfTracePointContext) {
    let next = Task::second_or_third(ctx, host!(OFFSETS.arg_next));
    let rq = next.cfs_rq().run_queue();
    let number = rq.cpu();
    let Some(mut cpu) = maps::cpu(number) else {
        cold_path();
        maps::count_stray();
        return;
    };
    let now = rq.clock();
    cpu.seen += 1;
    let timed = clock::start(cpu, now);
    // First, so that what is to be fetched for it comes while the open slice is accounted.
    let pid = next.pid();
    let known = if pid == 0 { None } else { maps::baselines(pid) };
    let owner = match known {
        Some(set) => whose::owner_of(next, set, cpu, number, pid),
        None => Owner::IDLE,
    };
    let prev = Task::second_or_third(ctx, host!(OFFSETS.arg_prev));
    if prev.last_arrival() > cpu.last_switch {
        cold_path();
        catch_up(cpu, number, prev);
    }
    match advance(cpu, number, rq, now) {
        Ok(cell) => {
            leave(ctx, cell, Owner(cpu.open_owner), prev);
            if let Some(set) = known {
                enter(cpu, number, next, set, pid, owner, now);
            }
            cpu.accounted += 1;
        }
        Err(reason) => {
            cold_path();
            count_drop(cpu, reason);
        }
    }
    cpu.open_owner = owner.0;
    clock::stop(cpu, timed);
}

#[inline(always)]
fn count_drop(mut cpu: Value<Cpu>, reason: Drop) {
    // A checked index: the program must not hold a panic.
    if let Some(count) = cpu.drops.get_mut(reason as usize) {
        *count += 1;
    }
}

/// The task that leaves came in a switch for which the kernel skipped the program, as it may do
/// silently. Its arrival is known, and how long it waited; whoever ran before is taken to have run
/// until then.
#[inline(always)]
fn catch_up(mut cpu: Value<Cpu>, number: u32, prev: Task) {
    if cpu.last_switch == 0 {
        return;
    }
    cpu.missed += 1;
    let pid = prev.pid();
    cpu.late = Late {
        arrived: prev.last_arrival(),
        run_delay: prev.run_delay(),
        pid,
        owner: maps::baselines(pid)
            .map_or(Owner::IDLE, |set| {
                whose::owner_of(prev, set, cpu, number, pid)
            })
            .0,
        is_new: u32::from(prev.run_count() <= 1),
        is_held: u32::from(segment::prepare_split(cpu, prev, 0, false)),
    };
    arrive_late(number);
}

/// Accounts the late arrival in work on CPU `number`. A global function, as [`fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn arrive_late(number: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 1;
    };
    let late = cpu.late;
    close(cpu, number, late.arrived, 0, 0);
    cpu.open_owner = late.owner;
    let arrival = Arrival {
        pid: late.pid,
        task: None,
        owner: Owner(late.owner),
        at: late.arrived,
        total: late.run_delay,
        here: None,
        is_queued: false,
        is_new: late.is_new != 0,
    };
    if let Some(set) = maps::baselines(late.pid) {
        arrive(cpu, number, set, arrival, |_| late.is_held != 0);
    }
    0
}

/// Accounts the open slice up to `now`, in the cell that it gives.
#[inline(always)]
fn advance(
    mut cpu: Value<Cpu>,
    number: u32,
    rq: RunQueue,
    now: u64,
) -> Result<Option<Value<Cell>>, Drop> {
    let start = cpu.last_switch;
    if start == 0 || now < start {
        cold_path();
        cpu.last_switch = now;
        cpu.steal_clock = rq.steal_clock();
        cpu.irq_clock = rq.irq_clock();
        cpu.history.start(now);
        return Err(if start == 0 {
            Drop::FirstSwitch
        } else {
            Drop::ClockBackwards
        });
    }
    let length = now - start;
    let (mut steal, mut irq) = (0, 0);
    if has!(OFFSETS.rq_steal) {
        steal = part_of(length, rq.steal_clock(), &mut *cpu, |cpu| {
            (&mut cpu.steal_clock, &mut cpu.steal_carry)
        });
    }
    if has!(OFFSETS.rq_irq) {
        irq = part_of(length - steal, rq.irq_clock(), &mut *cpu, |cpu| {
            (&mut cpu.irq_clock, &mut cpu.irq_carry)
        });
    }
    Ok(close(cpu, number, now, steal, irq))
}

/// Closes the open slice at `end`, in the cell that it gives: `steal` and `irq` of it are not the
/// owner's.
#[inline(always)]
fn close(mut cpu: Value<Cpu>, number: u32, end: u64, steal: u64, irq: u64) -> Option<Value<Cell>> {
    let length = end.wrapping_sub(cpu.last_switch);
    let owner = cpu.open_owner;
    cpu.last_switch = end;
    let mut cell = maps::cell(number, Owner(owner));
    if let Some(cell) = &mut cell {
        cell.run_ns += length - steal - irq;
        if steal | irq != 0 {
            cold_path();
            cell.steal_ns += steal;
            cell.irq_ns += irq;
        }
    }
    if length != 0 {
        cpu.history.record(Slice {
            end,
            steal,
            irq,
            owner,
            _pad: 0,
        });
        if cpu.history.is_unfolded() {
            cold_path();
            fold(number);
        }
    }
    cell
}

/// Folds a part of the history of CPU `number`.
///
/// A global function: the verifier checks it once for all values of its arguments, not once for
/// each way into it.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fold(number: u32) -> u32 {
    if fold_block(number) != 0 {
        fold_slices(number);
    }
    0
}

/// Folds a group of slices in which two took turns, or a summary; not 0 where [`fold_slices`] is to
/// follow. A global function, as [`fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fold_block(number: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 0;
    };
    match cpu.history.fold() {
        Rest::Nothing => 0,
        Rest::Slices => 1,
        Rest::Shares(Merge { from, to }) => {
            for share in 0..SHARES as u32 {
                if merge_share(number, from, to, share) == 0 {
                    break;
                }
            }
            0
        }
    }
}

/// Folds the newest group of slices of CPU `number`. A global function, as [`fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fold_slices(number: u32) -> u32 {
    let Some(mut cpu) = maps::cpu(number) else {
        return 1;
    };
    cpu.history.fold_slices();
    0
}

/// Merges a share of a summary; 0 when there are no more. A global function, as [`fold`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn merge_share(number: u32, from: u32, to: u32, share: u32) -> u32 {
    let merge = Merge { from, to };
    maps::cpu(number).is_some_and(|mut cpu| cpu.history.merge(merge, share)) as u32
}

/// What a clock that runs beside the CPU's took of a slice. What does not fit is carried over: a
/// clock that moves with the tick is late.
#[inline(always)]
fn part_of(
    length: u64,
    clock: u64,
    cpu: &mut Cpu,
    state: impl FnOnce(&mut Cpu) -> (&mut u64, &mut u64),
) -> u64 {
    let (last, carry) = state(cpu);
    if (clock ^ *last) | *carry == 0 {
        return 0;
    }
    cold_path();
    // Some kernels set the clock back when a CPU or a virtual machine comes back.
    let due = clock.saturating_sub(*last) + *carry;
    *last = clock;
    let part = if due < length { due } else { length };
    let left = due - part;
    *carry = if left < CARRY { left } else { CARRY };
    cpu.unplaced_ns += left.saturating_sub(CARRY);
    part
}

/// The task leaves: as the kernel counts `nvcsw` and `nivcsw` (kernel/sched/core.c, `__schedule`).
#[inline(always)]
fn leave(ctx: &BtfTracePointContext, cell: Option<Value<Cell>>, owner: Owner, prev: Task) {
    if owner.is_idle() {
        return;
    }
    let Some(mut cell) = cell else {
        return;
    };
    let state = if has!(OFFSETS.arg_prev_state) {
        argument::<3>(ctx) as u32
    } else {
        prev.state()
    };
    let preempted = argument::<0>(ctx) & 0xff != 0;
    if !preempted && state != 0 {
        cell.switches_voluntary += 1;
        if state & TASK_DEAD != 0
            && let Some(mut set) = maps::baselines(prev.pid())
        {
            cold_path();
            set.remove(prev.pid());
        }
    } else {
        cell.switches_involuntary += 1;
    }
}

/// Accounts the wait of the task that enters.
#[inline(always)]
fn enter(
    cpu: Value<Cpu>,
    number: u32,
    next: Task,
    set: Value<baseline::Set>,
    pid: u32,
    owner: Owner,
    now: u64,
) {
    let queued = next.last_queued();
    let here = if queued != 0 && queued < now {
        now - queued
    } else {
        0
    };
    let arrival = Arrival {
        pid,
        task: Some(next),
        owner,
        at: now,
        total: next.run_delay() + here,
        here: Some(here),
        is_queued: queued != 0,
        is_new: next.run_count() == 0,
    };
    arrive(cpu, number, set, arrival, |start| {
        segment::prepare_split(cpu, next, start, false)
    });
}

/// A task that comes to run on a CPU.
struct Arrival {
    pid: u32,
    /// Where it is at hand.
    task: Option<Task>,
    owner: Owner,
    /// When, in the run queue's clock.
    at: u64,
    /// Its run-queue delay, with this wait.
    total: u64,
    /// The part of it that it waited on this CPU until now; `None`: all that was not accounted.
    here: Option<u64>,
    /// Whether it waited at all; else only what was not accounted tells.
    is_queued: bool,
    /// Whether it never ran before.
    is_new: bool,
}

/// Accounts the wait of a task that comes to run. `is_held` tells whether a quota may have held it
/// back since a time.
#[inline(always)]
fn arrive(
    mut cpu: Value<Cpu>,
    number: u32,
    mut set: Value<baseline::Set>,
    arrival: Arrival,
    is_held: impl FnOnce(u64) -> bool,
) {
    let Arrival {
        pid,
        owner,
        at,
        total,
        ..
    } = arrival;
    let before = total - arrival.here.unwrap_or(0);
    let Some(mut cell) = maps::cell(number, owner) else {
        return;
    };
    let replaced = set.replace(pid, total, before);
    if replaced.evicts {
        cold_path();
        cpu.baselines_lost += 1;
    }
    if replaced.old.is_none()
        && let Some(task) = arrival.task
    {
        cold_path();
        whose::find_and_keep(&mut set, cpu, task, number, pid);
    }
    let baseline = baseline_or_first(replaced.old, arrival.is_new, before);
    if baseline & (SUSPECT | MOVED) == 0 && !arrival.is_queued && before == baseline {
        return;
    }
    let seen = baseline & SEEN;
    if baseline & SUSPECT != 0 {
        cold_path();
        cell.phantom_ns += total.saturating_sub(seen);
        cpu.phantoms += 1;
        return;
    }
    cell.waits += 1;
    let mut wait = Wait::default();
    let here = match arrival.here {
        None => total.saturating_sub(seen),
        Some(here) => {
            if before > seen {
                cold_path();
                // Spent on other CPUs, and the move was not seen.
                wait.contention = before - seen;
                leave_open(cpu, cell, Reason::Migrated, before - seen);
            }
            here
        }
    };
    if baseline & MOVED != 0 {
        cold_path();
        take_moved(cpu, pid, &mut wait);
    }
    if here != 0 {
        let start = at.saturating_sub(here);
        let interval = Interval { start, end: at };
        segment::account(
            cpu,
            cell,
            number,
            owner,
            interval,
            is_held(start),
            &mut wait,
        );
    }
    maps::count_delay(number, owner, bucket_of(wait.contention) as u32);
    if wait.throttled != 0 {
        cold_path();
        maps::count_throttled(owner, bucket_of(wait.throttled) as usize);
    }
}

/// What of the task's run-queue delay is accounted already.
#[inline(always)]
fn baseline_or_first(known: Option<u64>, is_new: bool, run_delay: u64) -> u64 {
    match known {
        // What a task that never ran finds, but for a move, is that of another before it.
        Some(baseline) if !is_new || baseline & MOVED != 0 => baseline,
        // It starts from nothing; of any other only the present is known.
        _ if is_new => 0,
        _ => run_delay,
    }
}

/// Adds what the task waited on the CPUs that it was moved away from.
#[inline(always)]
fn take_moved(mut cpu: Value<Cpu>, pid: u32, wait: &mut Wait) {
    if let Some(mut moved) = maps::moved(pid)
        && moved.pid == pid
    {
        wait.contention += moved.contention_ns;
        wait.throttled += moved.throttled_ns;
        moved.pid = 0;
    } else {
        cpu.moved_lost += 1;
    }
}

/// `sched_migrate_task(task, dest_cpu)`: a queued task leaves a run queue, whose lock is held. Its
/// wait so far is accounted here, with the history of the CPU that it waited for.
#[inline(always)]
pub(crate) fn migrate(ctx: &BtfTracePointContext) {
    let task = Task::first(ctx);
    if task.on_rq() != ON_RQ_MIGRATING {
        return;
    }
    let rq = task.cfs_rq().run_queue();
    let number = rq.cpu();
    let pid = task.pid();
    let (Some(mut cpu), Some(mut set)) = (maps::cpu(number), maps::baselines(pid)) else {
        return;
    };
    let run_delay = task.run_delay();
    let known = set.find(pid, run_delay);
    let baseline = baseline_or_first(known, task.run_count() == 0, run_delay);
    if task.is_dequeue_delayed() {
        // Asleep: the kernel stamps it as waiting on its new run queue, and it is not.
        set.replace(pid, baseline | SUSPECT, run_delay);
        return;
    }
    let seen = baseline & SEEN;
    if baseline & SUSPECT != 0 || run_delay <= seen {
        set.replace(pid, baseline, run_delay);
        return;
    }
    let owner = whose::owner_of(task, set, cpu, number, pid);
    let Some(mut cell) = maps::cell(number, owner) else {
        return;
    };
    set.replace(pid, run_delay | MOVED, run_delay);
    cell.migrations += 1;
    cpu.migrations += 1;

    let now = rq.clock();
    let mut wait = Wait::default();
    if cpu.last_switch == 0 || advance(cpu, number, rq, now).is_err() {
        wait.contention = run_delay - seen;
        leave_open(cpu, cell, Reason::BeforeStart, run_delay - seen);
    } else {
        let start = now.saturating_sub(run_delay - seen);
        let interval = Interval { start, end: now };
        let is_held = segment::prepare_split(cpu, task, start, true);
        segment::account(cpu, cell, number, owner, interval, is_held, &mut wait);
    }
    add_moved(pid, baseline & MOVED != 0, wait);
}

/// Keeps a segment for the histogram, which counts whole waits.
#[inline(always)]
fn add_moved(pid: u32, again: bool, wait: Wait) {
    let Some(mut moved) = maps::moved(pid) else {
        return;
    };
    if !again || moved.pid != pid {
        moved.contention_ns = 0;
        moved.throttled_ns = 0;
        moved.pid = pid;
    }
    moved.contention_ns += wait.contention;
    moved.throttled_ns += wait.throttled;
}
