//! CPU quotas: when they held a run queue back.

use agent_ebpf::{
    layout::Cpu,
    throttle::{INTERVALS, Interval, Track},
};
use aya_ebpf::{helpers::bpf_probe_read_kernel, programs::FEntryContext};

use crate::{
    kernel::frozen,
    maps::{self, Value},
};

/// Splits a wait by the `cfs_rq`'s own sum of throttled time (6.6 and later), which grows when a
/// throttle ends: then it ended just now, for the first task of the queue runs at once.
#[inline(always)]
pub(crate) fn split_by_sum(
    cpu: Value<Cpu>,
    queue: u32,
    cfs_rq: u64,
    wait: Interval,
    sum: u64,
) -> u64 {
    if sum == 0 {
        return 0;
    }
    // What does not fit into this wait was before it, nobody knows when.
    let first = if sum <= wait.end - wait.start { 0 } else { sum };
    let place = match maps::find_track(queue, cfs_rq) {
        Some(place) => place,
        None => maps::new_track(queue, cfs_rq, cpu, first),
    };
    let Some(mut track) = maps::track(place) else {
        return 0;
    };
    if sum < track.self_time {
        // The address belongs to another cgroup now.
        track.reset(cfs_rq, first);
    }
    let grown = sum.wrapping_sub(track.self_time);
    if grown != 0 && grown < sum.wrapping_add(1) {
        track.self_time = sum;
        track.push(Interval {
            start: wait.end.saturating_sub(grown),
            end: wait.end,
        });
    }
    split(cpu, queue, place, wait)
}

/// Splits a wait by the intervals that the hooks recorded.
#[inline(always)]
pub(crate) fn split_by_hooks(cpu: Value<Cpu>, queue: u32, cfs_rq: u64, wait: Interval) -> u64 {
    match maps::find_track(queue, cfs_rq) {
        Some(place) => split(cpu, queue, place, wait),
        None => 0,
    }
}

#[inline(always)]
fn split(mut cpu: Value<Cpu>, queue: u32, place: u32, wait: Interval) -> u64 {
    let Some(track) = maps::track(place) else {
        return 0;
    };
    {
        let cpu = &mut *cpu;
        cpu.split.start(&track, wait, &mut cpu.windows);
    }
    let mut step = 0;
    while step <= INTERVALS as u32 && split_step(queue, place) != 0 {
        step += 1;
    }
    cpu.split.throttled
}

/// One step of the split in work on `queue`; 0 when it is done. A global function, as
/// [`crate::sched::walk_step`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn split_step(queue: u32, place: u32) -> u32 {
    let (Some(mut cpu), Some(track)) = (maps::cpu(queue), maps::track(place)) else {
        return 0;
    };
    let cpu = &mut *cpu;
    cpu.split.step(&track, &mut cpu.windows) as u32
}

/// A `cfs_rq` that a hook is about, with its run queue's state.
struct Hooked {
    cpu: Value<Cpu>,
    track: Value<Track>,
    clock: u64,
    throttle_count: u32,
}

/// `tg_throttle_down(tg, rq)`, before: the group and its descendants are held back from now on,
/// unless another quota holds them already.
#[inline(always)]
pub(crate) fn throttle_down(ctx: &FEntryContext) {
    if let Some(mut hooked) = hooked(ctx)
        && hooked.throttle_count == 0
        && hooked.track.open == 0
    {
        hooked.track.open = hooked.clock;
        hooked.cpu.throttles_open += 1;
    }
}

/// `tg_unthrottle_up(tg, rq)`, before: the last quota that held it back lets go.
#[inline(always)]
pub(crate) fn unthrottle_up(ctx: &FEntryContext) {
    if let Some(mut hooked) = hooked(ctx)
        && hooked.throttle_count == 1
        && hooked.track.open != 0
    {
        let interval = Interval {
            start: hooked.track.open,
            end: hooked.clock,
        };
        hooked.track.open = 0;
        hooked.cpu.throttles_open = hooked.cpu.throttles_open.saturating_sub(1);
        hooked.cpu.throttle_end = hooked.clock;
        if interval.end > interval.start {
            hooked.track.push(interval);
        }
    }
}

/// The second argument is a `void *`, so that its fields need the fault-tolerant helper.
#[inline(always)]
fn hooked(ctx: &FEntryContext) -> Option<Hooked> {
    let group = ctx.arg::<*const u8>(0);
    let rq = ctx.arg::<*const u8>(1);
    let number: u32 = read(rq, frozen!(OFFSETS.rq_cpu))?;
    let queues: *const u8 = read(group, frozen!(OFFSETS.tg_cfs_rq))?;
    let cfs_rq: *const u8 = read(queues, number * size_of::<u64>() as u32)?;
    let cpu = maps::cpu(number)?;
    let place = match maps::find_track(number, cfs_rq as u64) {
        Some(place) => place,
        None => maps::new_track(number, cfs_rq as u64, cpu, 0),
    };
    let track = maps::track(place)?;
    Some(Hooked {
        cpu,
        track,
        clock: read(rq, frozen!(OFFSETS.rq_clock))?,
        throttle_count: read(cfs_rq, frozen!(OFFSETS.cfs_rq_throttle_count))?,
    })
}

#[inline(always)]
fn read<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.ok()
}
