//! What the switch program costs, measured by itself, and the run queue's clock beside the
//! monotonic one.

use core::hint::cold_path;

use agent_ebpf::layout::Cpu;
use aya_ebpf::helpers::bpf_ktime_get_ns;

use crate::maps::Value;

/// One run in so many is timed: reading the clock costs more than the rest of the program.
const TIMED: u64 = 1024;
/// Run-queue time after which a run is timed in any case, nanoseconds: 0.13 s.
const LONGEST_GAP: u64 = 1 << 27;

/// The monotonic clock at the start of a run that is timed, else 0.
#[inline(always)]
pub(crate) fn start(mut cpu: Value<Cpu>, now: u64) -> u64 {
    if cpu.seen & (TIMED - 1) != 0 && now.wrapping_sub(cpu.sync_rq_clock) < LONGEST_GAP {
        return 0;
    }
    cold_path();
    // SAFETY: a helper without arguments.
    let monotonic = unsafe { bpf_ktime_get_ns() };
    cpu.sync_rq_clock = now;
    cpu.sync_monotonic = monotonic;
    monotonic
}

/// Ends a timed run.
#[inline(always)]
pub(crate) fn stop(mut cpu: Value<Cpu>, started: u64) {
    if started == 0 {
        return;
    }
    cold_path();
    // SAFETY: a helper without arguments.
    let spent = unsafe { bpf_ktime_get_ns() }.saturating_sub(started);
    cpu.cost_ns += spent;
    cpu.cost_runs += 1;
}
