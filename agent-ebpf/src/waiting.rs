//! Waits in progress: the iterator over all tasks prints those that are queued and do not run. On
//! its way it gives baselines to those that sleep.

use agent_ebpf::{
    baseline::SUSPECT,
    layout::{ON_RQ_QUEUED, Waiting},
    owner::KernelFamily,
};
use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};

use crate::{kernel::Task, maps};

/// `struct bpf_iter__task`.
#[repr(C)]
pub(crate) struct IterTask {
    meta: *const IterMeta,
    task: *const u8,
}

/// `struct bpf_iter_meta`.
#[repr(C)]
struct IterMeta {
    seq: *mut seq_file,
}

/// A task that sleeps so long, and is marked as queued all the time, was not just woken.
const SURELY_ASLEEP_NS: u64 = 10_000_000;

/// Gives a task that sleeps its baseline: what it waited until now is not of interest. Without one
/// the next wait would lack what passes before it is moved. Some kernels mark a sleeper as queued
/// when they move it ([`crate::sched::migrate`]): its next wait never was.
#[inline(always)]
fn seed(task: Task) {
    let asleep = task.on_rq() == 0 || task.is_dequeue_delayed();
    if !asleep || task.pid() == 0 {
        return;
    }
    let Some(mut set) = maps::baselines(task.pid()) else {
        return;
    };
    // Nearly all have one; what follows is far away in memory.
    if set.has(task.pid()) {
        return;
    }
    let (queued, clock) = (task.last_queued(), task.cfs_rq().run_queue().clock());
    let suspect = if queued != 0 && clock > queued + SURELY_ASLEEP_NS {
        SUSPECT
    } else {
        0
    };
    set.seed(task.pid(), task.run_delay() | suspect);
}

/// Prints the task if it waits. Its run queue is not locked: the clock may be a moment old.
#[inline(always)]
pub(crate) fn print(ctx: *const IterTask) {
    // SAFETY: the context of an iterator program; the verifier checks the loads.
    let (meta, pointer) = unsafe { ((*ctx).meta, (*ctx).task) };
    if pointer.is_null() {
        return;
    }
    let task = Task::from_pointer(pointer);
    seed(task);
    let queued = task.last_queued();
    if task.on_rq() != ON_RQ_QUEUED || queued == 0 || task.is_dequeue_delayed() {
        return;
    }
    let clock = task.cfs_rq().run_queue().clock();
    if clock <= queued {
        return;
    }
    let id = task.cgroup_id();
    let mut waiting = Waiting {
        id,
        ns: clock - queued,
        tid: task.pid(),
        family: 0,
    };
    if task.works_for_host(id) {
        waiting.family = 1 + KernelFamily::of_name(task.name()) as u32;
    }
    // SAFETY: the record outlives the call.
    unsafe {
        bpf_seq_write(
            (*meta).seq,
            (&raw const waiting).cast(),
            size_of::<Waiting>() as u32,
        );
    }
}
