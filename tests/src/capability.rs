//! What this machine can stage; probed, never derived from a version number.

use std::fs;
use std::time::Duration;

use crate::truth::CpuTimes;

/// Prints why a test cannot run here, in the form that the harness counts.
pub fn unsupported(test: &str, capability: &str) {
    println!("UNSUPPORTED {test}: {capability}");
}

/// Whether the CPU is emulated in software, where time is coarse.
pub fn emulated() -> bool {
    fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU"))
}

/// How far a share may be from the truth: one point on hardware, three under emulation.
pub fn share_tolerance() -> f64 {
    if emulated() { 0.03 } else { 0.01 }
}

/// How long the scheduler may look for other work when a task blocks, in seconds: until the switch that time is the
/// task's, and not its run time to the kernel.
pub fn leaving_moment() -> f64 {
    if emulated() { 50e-6 } else { 5e-6 }
}

/// How long an idle CPU may take from a wake-up to the switch, in seconds.
pub fn waking_moment() -> f64 {
    if emulated() { 250e-6 } else { 20e-6 }
}

/// Whether the kernel keeps steal out of a task's run time (`PARAVIRT_TIME_ACCOUNTING`), so that the first field of
/// schedstat is `run_s`; without it, it is `run_s + steal_s`. The option is visible as a member of the run queue.
pub fn steal_outside_run_time() -> bool {
    btf_names("prev_steal_time_rq")
}

/// Whether a task may sleep while it is still queued (from 6.12 on): when it is moved to another CPU in that state, the
/// kernel takes the rest of its sleep for run-queue delay.
pub fn reports_phantom_waits() -> bool {
    btf_names("sched_delayed")
}

/// Whether a CPU quota holds back each task by itself, when its turn comes (from 6.18 on), and not its cgroup at once.
pub fn throttles_each_task() -> bool {
    btf_names("throttled_limbo_list")
}

/// Whether this kernel's types have something of that name.
fn btf_names(name: &str) -> bool {
    let btf = fs::read("/sys/kernel/btf/vmlinux").unwrap_or_default();
    let name = [b"\0", name.as_bytes(), b"\0"].concat();
    btf.windows(name.len()).any(|window| window == name)
}

/// Whether the hypervisor has reported any steal since boot.
pub fn steal_clock_moves() -> bool {
    CpuTimes::read(None).steal > Duration::ZERO
}

/// Whether the kernel can iterate over tasks, which waits in progress need.
pub fn has_task_iterator() -> bool {
    btf_names("bpf_iter__task")
}

/// The CPU on which single-CPU loads run: the last one, as the first takes most interrupts.
pub fn test_cpu() -> usize {
    crate::sys::allowed_cpus()
        .ok()
        .and_then(|cpus| cpus.last().copied())
        .unwrap_or(0)
}
