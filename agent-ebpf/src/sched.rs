//! Scheduler accounting: who ran, who waited, and who ran meanwhile.
//!
//! Both tracepoints fire with the run queue's lock held and interrupts off, so that plain
//! additions to the executing CPU's values are whole. All times are the run queue's own clock.

use agent_ebpf::{
    baseline::{self, MOVED, SEEN, SUSPECT},
    bucket,
    budget::{Detail, STEPS_PER_EVENT},
    cause::Cause,
    history::Slice,
    layout::{
        ABSENT, Cell, Cpu, Drop, FAIR_PRIO, ON_RQ_MIGRATING, Reason, Segment, TASK_DEAD,
        ThrottleMethod,
    },
    owner::Owner,
    throttle::Interval,
    walk::Tally,
};
use aya_ebpf::{helpers::bpf_get_smp_processor_id, programs::BtfTracePointContext};

use crate::{
    clock,
    kernel::{CfsRq, RunQueue, Task, argument, frozen},
    maps,
    quota::{split_by_hooks, split_by_sum},
};

/// `sched_switch(preempt, prev, next[, prev_state])`.
#[inline(always)]
pub(crate) fn switch(ctx: &BtfTracePointContext) {
    let next = Task::second_or_third(ctx, frozen!(OFFSETS.arg_next));
    let cfs_rq = next.cfs_rq();
    let rq = cfs_rq.run_queue();
    let number = rq.cpu();
    let Some(cpu) = maps::cpu(number) else {
        maps::count_stray();
        return;
    };
    let now = rq.clock();
    cpu.seen += 1;
    let timed = clock::start(cpu, now);
    match leave(ctx, cpu, number, rq, now) {
        Ok(()) => {
            enter(cpu, number, next, cfs_rq, now);
            cpu.accounted += 1;
        }
        Err(reason) => {
            count_drop(cpu, reason);
            cpu.open_owner = owner_of(next, cpu).0;
        }
    }
    clock::stop(cpu, timed);
}

#[inline(always)]
fn count_drop(cpu: &mut Cpu, reason: Drop) {
    // A checked index: the program must not hold a panic.
    if let Some(count) = cpu.drops.get_mut(reason as usize) {
        *count += 1;
    }
}

/// Closes the slice of the task that leaves.
#[inline(always)]
fn leave(
    ctx: &BtfTracePointContext,
    cpu: &mut Cpu,
    number: u32,
    rq: RunQueue,
    now: u64,
) -> Result<(), Drop> {
    let start = cpu.last_switch;
    cpu.last_switch = now;
    let (steal_clock, irq_clock) = (rq.steal_clock(), rq.irq_clock());
    if start == 0 || now < start {
        cpu.steal_clock = steal_clock;
        cpu.irq_clock = irq_clock;
        cpu.history.steal_clock = steal_clock;
        cpu.history.irq_clock = irq_clock;
        cpu.history.start(now);
        return Err(if start == 0 {
            Drop::FirstSwitch
        } else {
            Drop::ClockBackwards
        });
    }
    let length = now - start;
    let steal = part_of(
        length,
        &mut cpu.steal_clock,
        &mut cpu.steal_carry,
        steal_clock,
    );
    let irq = part_of(
        length - steal,
        &mut cpu.irq_clock,
        &mut cpu.irq_carry,
        irq_clock,
    );
    let owner = Owner(cpu.open_owner);
    if let Some(cell) = maps::cell(number, owner) {
        cell.run_ns += length - steal - irq;
        cell.steal_ns += steal;
        cell.irq_ns += irq;
        count_switch(ctx, cell, owner);
    }
    advance(cpu, number, owner, now, steal_clock, irq_clock);
    Ok(())
}

/// As the kernel counts `nvcsw` and `nivcsw` (kernel/sched/core.c, `__schedule`).
#[inline(always)]
fn count_switch(ctx: &BtfTracePointContext, cell: &mut Cell, owner: Owner) {
    if owner.is_idle() {
        return;
    }
    let prev = Task::second_or_third(ctx, frozen!(OFFSETS.arg_prev));
    let state = match frozen!(OFFSETS.arg_prev_state) {
        ABSENT => prev.state(),
        _ => argument::<3>(ctx) as u32,
    };
    let preempted = argument::<0>(ctx) & 0xff != 0;
    if !preempted && state != 0 {
        cell.switches_voluntary += 1;
    } else {
        cell.switches_involuntary += 1;
    }
    if state & TASK_DEAD != 0
        && let Some(set) = maps::baselines(prev.pid())
    {
        set.remove(baseline::tag(prev.pid(), prev.start_time()));
    }
}

/// What a clock that runs beside the CPU's took of a slice. What does not fit is carried over: a
/// clock that moves with the tick is late.
#[inline(always)]
fn part_of(length: u64, last: &mut u64, carry: &mut u64, clock: u64) -> u64 {
    let due = clock.wrapping_sub(*last).wrapping_add(*carry);
    *last = clock;
    let part = if due < length { due } else { length };
    *carry = due - part;
    part
}

/// Brings a CPU's history up to `now`.
#[inline(always)]
fn advance(cpu: &mut Cpu, number: u32, owner: Owner, now: u64, steal_clock: u64, irq_clock: u64) {
    let history = &mut cpu.history;
    if now <= history.end {
        return;
    }
    let length = now - history.end;
    let steal = part_of(
        length,
        &mut history.steal_clock,
        &mut history.steal_carry,
        steal_clock,
    );
    let irq = part_of(
        length - steal,
        &mut history.irq_clock,
        &mut history.irq_carry,
        irq_clock,
    );
    history.record(Slice {
        owner,
        end: now,
        steal,
        irq,
    });
    if history.is_unfolded() {
        fold_summary(number);
    }
}

/// Folds one summary of the history of CPU `number`. A global function, as [`walk_step`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn fold_summary(number: u32) -> u32 {
    if let Some(cpu) = maps::cpu(number) {
        cpu.history.fold_summary();
    }
    0
}

/// Accounts the wait of the task that enters.
#[inline(always)]
fn enter(cpu: &mut Cpu, number: u32, next: Task, cfs_rq: CfsRq, now: u64) {
    let pid = next.pid();
    if pid == 0 {
        cpu.open_owner = Owner::IDLE.0;
        return;
    }
    let owner = owner_of(next, cpu);
    cpu.open_owner = owner.0;

    let queued = next.last_queued();
    let here = if queued != 0 && queued < now {
        now - queued
    } else {
        0
    };
    let before = next.run_delay();
    let total = before + here;
    let tag = baseline::tag(pid, next.start_time());
    let (Some(set), Some(cell)) = (maps::baselines(pid), maps::cell(number, owner)) else {
        return;
    };
    let baseline = baseline_of(set, tag, next, before);
    if !set.store(tag, total) {
        cpu.baselines_lost += 1;
    }
    let seen = baseline & SEEN;
    if baseline & SUSPECT != 0 {
        cell.phantom_ns += total.saturating_sub(seen);
        cpu.phantoms += 1;
        return;
    }
    if queued == 0 && total == seen {
        return;
    }
    cell.waits += 1;
    let mut wait = Split::default();
    if before > seen {
        // Spent on other CPUs, and the move was not seen.
        wait.contention = before - seen;
        leave_open(cpu, cell, Reason::Migrated, before - seen);
    }
    if baseline & MOVED != 0 {
        take_moved(cpu, pid, tag, &mut wait);
    }
    if here != 0 {
        let place = Place {
            queue: number,
            cells: number,
        };
        let segment = Interval {
            start: now - here,
            end: now,
        };
        account(cpu, place, next, cfs_rq, owner, segment, &mut wait);
    }
    maps::count_delay(number, owner, bucket::of_ns(wait.contention));
    if wait.throttled != 0 {
        maps::count_throttled(owner, bucket::of_ns(wait.throttled));
    }
}

/// A wait's length without, and by, quotas.
#[derive(Clone, Copy, Default)]
struct Split {
    contention: u64,
    throttled: u64,
}

/// Whose run queue was waited for, and whose cells may be written.
#[derive(Clone, Copy)]
struct Place {
    queue: u32,
    cells: u32,
}

/// What of the task's run-queue delay is accounted already.
#[inline(always)]
fn baseline_of(set: &baseline::Set, tag: u64, task: Task, run_delay: u64) -> u64 {
    match set.find(tag, SEEN) {
        Some(baseline) => baseline,
        // A task that never ran starts from nothing; of any other only the present is known.
        None if task.run_count() == 0 => 0,
        None => run_delay,
    }
}

/// Adds what the task waited on the CPUs that it was moved away from.
#[inline(always)]
fn take_moved(cpu: &mut Cpu, pid: u32, tag: u64, wait: &mut Split) {
    if let Some(moved) = maps::moved(pid)
        && moved.tag == tag
    {
        wait.contention += moved.contention_ns;
        wait.throttled += moved.throttled_ns;
        moved.tag = 0;
    } else {
        cpu.moved_lost += 1;
    }
}

/// Accounts one segment of a wait on one run queue: causes and culprits.
#[inline(always)]
fn account(
    cpu: &mut Cpu,
    place: Place,
    task: Task,
    cfs_rq: CfsRq,
    owner: Owner,
    interval: Interval,
    wait: &mut Split,
) {
    let segment = &mut cpu.segment;
    *segment = Segment {
        interval,
        owner: owner.0,
        cells: place.cells,
        ..Segment::default()
    };
    if task.prio() >= FAIR_PRIO {
        match frozen!(SETTINGS.throttle) {
            m if m == ThrottleMethod::SelfTime as u32 => {
                segment.throttled_self_time = cfs_rq.throttled_self_time();
                segment.cfs_rq = cfs_rq.address(&mut cpu.address);
            }
            m if m == ThrottleMethod::Hooks as u32 => {
                segment.cfs_rq = cfs_rq.address(&mut cpu.address);
            }
            m if m == ThrottleMethod::Unknown as u32 => {
                segment.throttle_unknown = u32::from(task.has_quota());
            }
            _ => {}
        }
    }
    account_segment(place.queue);
    wait.contention += cpu.segment.contention_ns;
    wait.throttled += cpu.segment.throttled_ns;
}

/// Accounts the segment in work on `queue`. A global function, as [`walk_step`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn account_segment(queue: u32) -> u32 {
    let Some(cpu) = maps::cpu(queue) else {
        return 1;
    };
    let segment = cpu.segment;
    let (interval, owner) = (segment.interval, Owner(segment.owner));
    let Some(cell) = maps::cell(segment.cells, owner) else {
        return 1;
    };
    let length = interval.end - interval.start;
    if segment.throttle_unknown != 0 {
        cpu.segment.contention_ns = length;
        leave_open(cpu, cell, Reason::ThrottleUnknown, length);
        return 0;
    }
    cpu.windows.whole(interval);
    let throttled = match frozen!(SETTINGS.throttle) {
        _ if segment.cfs_rq == 0 => 0,
        m if m == ThrottleMethod::SelfTime as u32 => {
            let sum = segment.throttled_self_time;
            split_by_sum(cpu, queue, segment.cfs_rq, interval, sum)
        }
        m if m == ThrottleMethod::Hooks as u32 => {
            split_by_hooks(cpu, queue, segment.cfs_rq, interval)
        }
        _ => 0,
    };
    let contention = length - throttled;
    cpu.segment.contention_ns = contention;
    cpu.segment.throttled_ns = throttled;
    cell.add_wait(Cause::Throttled, throttled);
    if contention != 0 {
        attribute(cpu, cell, queue, contention);
    }
    0
}

/// Finds who ran in the windows of the segment in work.
#[inline(always)]
fn attribute(cpu: &mut Cpu, cell: &mut Cell, queue: u32, contention: u64) {
    let Segment {
        interval,
        owner,
        cells,
        ..
    } = cpu.segment;
    let detail = maps::detail();
    let steps = cpu.tokens.offer(interval.end, Detail::steps(detail));
    cpu.walk.start(&cpu.history, &cpu.windows);
    let mut step = 0;
    while step < STEPS_PER_EVENT {
        if step >= steps || walk_step(queue, cells, owner) != 0 {
            break;
        }
        step += 1;
    }
    cpu.tokens.spend(step);
    cpu.walk_steps += step;
    let tally = cpu.walk.tally;
    cpu.estimated_ns += tally.estimated;
    add_tally(cell, &tally);
    let open = contention.saturating_sub(tally.total());
    if open == 0 {
        return;
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
}

/// One step of the walk in work on `queue`; not 0 when it was done before.
///
/// A global function: the verifier checks it once for all values of its arguments, not once for
/// each step of each way into it.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_step(queue: u32, cells: u32, victim: u32) -> u32 {
    let Some(cpu) = maps::cpu(queue) else {
        return 1;
    };
    if cpu.walk.is_done() {
        return 1;
    }
    let Cpu {
        walk,
        history,
        windows,
        pairs_full_ns,
        ..
    } = cpu;
    walk.step(history, windows, Owner(victim), &mut |culprit, ns| {
        if !maps::add_blame(cells, Owner(victim), culprit, ns) {
            *pairs_full_ns += ns;
        }
    });
    0
}

#[inline(always)]
fn add_tally(cell: &mut Cell, tally: &Tally) {
    cell.add_wait(Cause::Neighbor, tally.neighbor);
    cell.add_wait(Cause::SelfInflicted, tally.own);
    cell.add_wait(Cause::Kernel, tally.kernel);
    cell.add_wait(Cause::Steal, tally.steal);
    cell.add_wait(Cause::Irq, tally.irq);
    cell.add_wait(Cause::Idle, tally.idle);
}

/// A part of a wait whose cause is not known.
#[inline(always)]
fn leave_open(cpu: &mut Cpu, cell: &mut Cell, reason: Reason, ns: u64) {
    cell.add_wait(Cause::Unattributed, ns);
    cpu.reasons_ns[reason as usize] += ns;
}

/// Whose time a task's is.
#[inline(always)]
fn owner_of(task: Task, cpu: &mut Cpu) -> Owner {
    let id = task.cgroup_id();
    // A kernel thread in a container's cgroup (vhost) works for the container.
    if id == frozen!(SETTINGS.root_cgroup) && task.is_kernel_thread() {
        return Owner::kernel(task.kernel_family());
    }
    maps::owner_of_cgroup(cpu, id)
}

/// `sched_migrate_task(task, dest_cpu)`: a queued task leaves a run queue, whose lock is held. Its
/// wait so far is accounted here, while the history is that of the CPU it waited for.
#[inline(always)]
pub(crate) fn migrate(ctx: &BtfTracePointContext) {
    let task = Task::first(ctx);
    if task.on_rq() != ON_RQ_MIGRATING {
        return;
    }
    let cfs_rq = task.cfs_rq();
    let rq = cfs_rq.run_queue();
    let queue = rq.cpu();
    // SAFETY: a helper without arguments.
    let cells = unsafe { bpf_get_smp_processor_id() } as u32;
    let pid = task.pid();
    let (Some(cpu), Some(set)) = (maps::cpu(queue), maps::baselines(pid)) else {
        return;
    };
    let tag = baseline::tag(pid, task.start_time());
    let run_delay = task.run_delay();
    let baseline = baseline_of(set, tag, task, run_delay);
    if task.is_dequeue_delayed() {
        // Asleep: the kernel stamps it as waiting on its new run queue, and it is not.
        set.store(tag, baseline | SUSPECT);
        return;
    }
    let seen = baseline & SEEN;
    if baseline & SUSPECT != 0 || run_delay <= seen {
        set.store(tag, baseline);
        return;
    }
    let owner = owner_of(task, cpu);
    let Some(cell) = maps::cell(cells, owner) else {
        return;
    };
    set.store(tag, run_delay | MOVED);
    cell.migrations += 1;
    cpu.migrations += 1;

    let now = rq.clock();
    let mut wait = Split::default();
    if cpu.last_switch == 0 {
        wait.contention = run_delay - seen;
        leave_open(cpu, cell, Reason::BeforeStart, run_delay - seen);
    } else {
        let running = Owner(cpu.open_owner);
        advance(cpu, queue, running, now, rq.steal_clock(), rq.irq_clock());
        let segment = Interval {
            start: now.saturating_sub(run_delay - seen),
            end: now,
        };
        account(
            cpu,
            Place { queue, cells },
            task,
            cfs_rq,
            owner,
            segment,
            &mut wait,
        );
    }
    add_moved(pid, tag, baseline & MOVED != 0, wait);
}

/// Keeps a segment for the histogram, which counts whole waits.
#[inline(always)]
fn add_moved(pid: u32, tag: u64, again: bool, wait: Split) {
    let Some(moved) = maps::moved(pid) else {
        return;
    };
    if !again || moved.tag != tag {
        moved.contention_ns = 0;
        moved.throttled_ns = 0;
        moved.tag = tag;
    }
    moved.contention_ns += wait.contention;
    moved.throttled_ns += wait.throttled;
}
