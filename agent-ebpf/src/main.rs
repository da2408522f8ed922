//! The kernel programs of Crosstalk, one for each hook.
#![no_std]
#![no_main]
#![no_builtins]
// The target has atomic additions, and no atomic types.
#![expect(internal_features, reason = "the only way to an atomic addition")]
#![feature(core_intrinsics)]
// Not yet stable for this target.
#![feature(asm_experimental_arch)]

mod cgroups;
mod clock;
mod completion;
mod kernel;
mod maps;
mod quota;
mod request;
mod sched;
mod segment;
mod streams;
mod waiting;
mod whose;

use aya_ebpf::{
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};

/// Required: run time, waits, causes and blame.
#[btf_tracepoint(function = "sched_switch")]
fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    sched::switch(&ctx);
    0
}

/// Required: waits on CPUs that a queued task is moved away from.
#[btf_tracepoint(function = "sched_migrate_task")]
fn sched_migrate_task(ctx: BtfTracePointContext) -> i32 {
    sched::migrate(&ctx);
    0
}

/// Loaded by the benchmark alone: what any program on this tracepoint costs.
#[btf_tracepoint(function = "sched_switch")]
fn empty(_: BtfTracePointContext) -> i32 {
    0
}

/// Optional: paths of short-lived cgroups.
#[btf_tracepoint(function = "cgroup_mkdir")]
fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    cgroups::made(&ctx);
    0
}

/// Optional: block I/O.
#[btf_tracepoint(function = "block_rq_complete")]
fn block_rq_complete(ctx: BtfTracePointContext) -> i32 {
    completion::completed(&ctx);
    0
}

/// Optional: when requests are issued, where the kernel does not note it in them.
#[btf_tracepoint(function = "block_rq_issue")]
fn block_rq_issue(ctx: BtfTracePointContext) -> i32 {
    completion::issued(&ctx);
    0
}

/// Loaded by the benchmark alone: what any program on this tracepoint costs …
#[btf_tracepoint(function = "block_rq_complete")]
fn block_empty(_: BtfTracePointContext) -> i32 {
    0
}

/// … and one that reads the clock.
#[btf_tracepoint(function = "block_rq_complete")]
fn block_clock(_: BtfTracePointContext) -> i32 {
    core::hint::black_box(request::monotonic());
    0
}

/// Optional: start of quota throttling, before 6.6.
#[fentry(function = "tg_throttle_down")]
fn tg_throttle_down(ctx: FEntryContext) -> i32 {
    quota::throttle_down(&ctx);
    0
}

/// Optional: end of quota throttling, before 6.6.
#[fentry(function = "tg_unthrottle_up")]
fn tg_unthrottle_up(ctx: FEntryContext) -> i32 {
    quota::unthrottle_up(&ctx);
    0
}

/// Optional: waits in progress.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
fn task_waiting(ctx: *mut core::ffi::c_void) -> i32 {
    waiting::print(ctx.cast_const().cast());
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
