//! CPU quotas: when they held a run queue back.

use agent_ebpf::{
    layout::{Cpu, Segment},
    throttle::{INTERVALS, Interval, mark},
};
use aya_ebpf::{helpers::bpf_probe_read_kernel, programs::FEntryContext};

use crate::{
    kernel::host,
    maps::{self, Value},
};

/// How much of the wait in work on `queue` was throttled, by the `cfs_rq`'s own sum (6.6 and later),
/// which grows when a throttle ends: then it ended just now, for the first task of the queue runs at
/// once. `None` when nothing tells which part of the sum belongs to this wait.
#[inline(always)]
pub(crate) fn split_by_sum(cpu: Value<Cpu>, queue: u32) -> Option<u64> {
    let Segment {
        interval: wait,
        cfs_rq,
        throttled_self_time: sum,
        throttled_since,
        ..
    } = cpu.segment;
    let fits = sum <= wait.end - wait.start;
    let place = match maps::find_track(queue, cfs_rq) {
        Some(place) => place,
        None => {
            let is_first = fits && cpu.tracks_lost == 0;
            let place = maps::new_track(queue, cfs_rq, cpu, if is_first { 0 } else { sum });
            if !is_first {
                return None;
            }
            place
        }
    };
    let mut track = maps::track(place)?;
    if sum < track.self_time {
        // The address belongs to another cgroup now.
        track.reset(cfs_rq, if fits { 0 } else { sum });
        if !fits {
            return None;
        }
    }
    let grown = sum.wrapping_sub(track.self_time);
    if grown != 0 {
        track.self_time = sum;
        track.push(Interval {
            start: wait.end.saturating_sub(grown),
            end: wait.end,
        });
    }
    track.open = throttled_since;
    Some(split(cpu, queue, place, wait))
}

/// How much of the wait in work on `queue` was throttled, by the intervals that the hooks recorded.
/// `None` when they may be lost.
#[inline(always)]
pub(crate) fn split_by_hooks(mut cpu: Value<Cpu>, queue: u32) -> Option<u64> {
    let Some(place) = maps::find_track(queue, cpu.segment.cfs_rq) else {
        return (cpu.tracks_lost == 0).then_some(0);
    };
    let mut track = maps::track(place)?;
    if track.open != 0 && cpu.segment.throttled_since == 0 {
        // The cgroup that was held back is gone, and another has its address.
        track.open = 0;
        cpu.throttles_open = cpu.throttles_open.saturating_sub(1);
    }
    let wait = cpu.segment.interval;
    Some(split(cpu, queue, place, wait))
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
/// [`crate::sched::fold`].
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
    number: u32,
    cfs_rq: u64,
    clock: u64,
    throttle_count: u32,
}

/// `tg_throttle_down(tg, rq)`, before: the group and its descendants are held back from now on,
/// unless another quota holds them already.
#[inline(always)]
pub(crate) fn throttle_down(ctx: &FEntryContext) {
    let Some(mut hooked) = hooked(ctx) else {
        return;
    };
    if hooked.throttle_count != 0 {
        return;
    }
    let place = match maps::find_track(hooked.number, hooked.cfs_rq) {
        Some(place) => place,
        None => maps::new_track(hooked.number, hooked.cfs_rq, hooked.cpu, 0),
    };
    let Some(mut track) = maps::track(place) else {
        return;
    };
    if track.open == 0 {
        hooked.cpu.throttles_open += 1;
    }
    track.open = hooked.clock;
}

/// `tg_unthrottle_up(tg, rq)`, before: the last quota that held it back lets go.
#[inline(always)]
pub(crate) fn unthrottle_up(ctx: &FEntryContext) {
    let Some(mut hooked) = hooked(ctx) else {
        return;
    };
    if hooked.throttle_count != 1 {
        return;
    }
    let place = maps::find_track(hooked.number, hooked.cfs_rq);
    let Some(mut track) = place.and_then(maps::track) else {
        return;
    };
    if track.open == 0 {
        return;
    }
    let interval = Interval {
        start: track.open,
        end: hooked.clock,
    };
    track.open = 0;
    hooked.cpu.throttles_open = hooked.cpu.throttles_open.saturating_sub(1);
    hooked.cpu.throttle_end = hooked.clock;
    if interval.end > interval.start {
        track.push(interval);
    }
}

/// The second argument is a `void *`, so that its fields need the fault-tolerant helper.
#[inline(always)]
fn hooked(ctx: &FEntryContext) -> Option<Hooked> {
    let group = ctx.arg::<*const u8>(0);
    let rq = ctx.arg::<*const u8>(1);
    let number: u32 = read(rq, host!(OFFSETS.rq_cpu))?;
    let queues: *const u8 = read(group, host!(OFFSETS.tg_cfs_rq))?;
    let cfs_rq: *const u8 = read(queues, number * size_of::<u64>() as u32)?;
    Some(Hooked {
        cpu: maps::cpu(number)?,
        number,
        cfs_rq: mark(cfs_rq as u32),
        clock: read(rq, host!(OFFSETS.rq_clock))?,
        throttle_count: read(cfs_rq, host!(OFFSETS.cfs_rq_throttle_count))?,
    })
}

#[inline(always)]
fn read<T: Copy>(base: *const u8, offset: u32) -> Option<T> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(base.add(offset as usize).cast::<T>()) }.ok()
}
