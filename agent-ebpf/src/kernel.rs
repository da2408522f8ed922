//! Typed readers of kernel structures.
//!
//! Offsets are constants that userspace writes into the instructions ([`agent_ebpf::constants`]), so
//! the verifier follows the types from a tracepoint's arguments; what this kernel lacks is removed
//! as dead code. Plain loads only: a bad pointer reads as 0.

use core::{
    arch::asm,
    mem::transmute_copy,
    ptr::{read_volatile, write_volatile},
};

use agent_ebpf::{baseline::group_mark, layout::PF_KTHREAD, throttle::mark};
use aya_ebpf::{EbpfContext as _, programs::BtfTracePointContext};

/// The mark of a field of one of the tables, by one of the functions in [`agent_ebpf::constants`].
macro_rules! mark_of {
    ($kind:ident, OFFSETS.$field:ident) => {
        $crate::kernel::mark_of!($kind, Offsets, agent_ebpf::layout::Offsets, $field)
    };
    ($kind:ident, BLOCK_OFFSETS.$field:ident) => {
        $crate::kernel::mark_of!($kind, BlockOffsets, agent_ebpf::block::BlockOffsets, $field)
    };
    ($kind:ident, SETTINGS.$field:ident) => {
        $crate::kernel::mark_of!($kind, Settings, agent_ebpf::layout::Settings, $field)
    };
    ($kind:ident, $table:ident, $type:ty, $field:ident) => {
        agent_ebpf::constants::$kind(
            agent_ebpf::constants::Table::$table,
            core::mem::offset_of!($type, $field),
        )
    };
}
pub(crate) use mark_of;

/// A constant of this host: one to the verifier, and never one to the compiler.
macro_rules! host {
    (SETTINGS.root_cgroup) => {
        $crate::kernel::wide_constant::<
            { $crate::kernel::mark_of!(immediate, SETTINGS.root_cgroup) },
        >()
    };
    ($table:ident.$field:ident) => {
        $crate::kernel::constant::<{ $crate::kernel::mark_of!(immediate, $table.$field) }>()
    };
}
pub(crate) use host;

/// Whether this kernel has a member of a structure.
macro_rules! has {
    ($table:ident.$field:ident) => {
        $crate::kernel::host!($table.$field) != agent_ebpf::layout::ABSENT
    };
}
pub(crate) use has;

/// A member of a kernel structure, by the name of its offset: `load!(base, OFFSETS.task_pid)`.
macro_rules! load {
    ($type:ty: $base:expr, $table:ident.$field:ident) => {
        $crate::kernel::member::<$type, { $crate::kernel::mark_of!(offset, $table.$field) }>($base)
    };
    ($base:expr, $table:ident.$field:ident) => {
        $crate::kernel::member::<_, { $crate::kernel::mark_of!(offset, $table.$field) }>($base)
    };
}
pub(crate) use load;

#[inline(always)]
pub(crate) fn constant<const MARK: i32>() -> u32 {
    let value: u64;
    // SAFETY: sets a register.
    unsafe {
        asm!("{value} = {mark}", value = out(reg) value, mark = const MARK,
            options(nomem, nostack, preserves_flags));
    }
    value as u32
}

#[inline(always)]
pub(crate) fn wide_constant<const MARK: i32>() -> u64 {
    let value: u64;
    // SAFETY: sets a register.
    unsafe {
        asm!("{value} = {mark} ll", value = out(reg) value, mark = const MARK,
            options(nomem, nostack, preserves_flags));
    }
    value
}

#[inline(always)]
pub(crate) fn member<T: Copy, const MARK: i16>(base: *const u8) -> T {
    macro_rules! load_as {
        ($instruction:literal) => {{
            let value: u64;
            asm!($instruction, value = lateout(reg) value, base = in(reg) base, mark = const -(MARK as i32),
                options(nomem, nostack, preserves_flags));
            transmute_copy(&value)
        }};
    }
    // SAFETY: the verifier checks the load against the kernel's types; where it cannot fault by
    // type it is made a fault-tolerant load. The lowest bytes come first.
    unsafe {
        match size_of::<T>() {
            8 => load_as!("{value} = *(u64 *)({base} - {mark})"),
            4 => load_as!("{value} = *(u32 *)({base} - {mark})"),
            2 => load_as!("{value} = *(u16 *)({base} - {mark})"),
            _ => load_as!("{value} = *(u8 *)({base} - {mark})"),
        }
    }
}

/// Argument `INDEX` of a typed tracepoint: a constant, for a variable context offset is refused.
#[inline(always)]
pub(crate) fn argument<const INDEX: usize>(ctx: &BtfTracePointContext) -> u64 {
    // SAFETY: the verifier checks that the tracepoint has the argument.
    unsafe { read_volatile(ctx.as_ptr().cast::<u64>().add(INDEX)) }
}

/// A `task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const u8);

/// A `cfs_rq`.
#[derive(Clone, Copy)]
pub(crate) struct CfsRq(*const u8);

/// An `rq`.
#[derive(Clone, Copy)]
pub(crate) struct RunQueue(*const u8);

impl Task {
    #[inline(always)]
    pub(crate) fn first(ctx: &BtfTracePointContext) -> Task {
        Task(argument::<0>(ctx) as *const u8)
    }

    /// The second or third argument.
    #[inline(always)]
    pub(crate) fn second_or_third(ctx: &BtfTracePointContext, index: u32) -> Task {
        let (second, third) = (argument::<1>(ctx), argument::<2>(ctx));
        Task(if index == 1 { second } else { third } as *const u8)
    }

    #[inline(always)]
    pub(crate) fn from_pointer(pointer: *const u8) -> Task {
        Task(pointer)
    }

    #[inline(always)]
    pub(crate) fn pid(self) -> u32 {
        load!(self.0, OFFSETS.task_pid)
    }

    #[inline(always)]
    fn is_kernel_thread(self) -> bool {
        load!(u32: self.0, OFFSETS.task_flags) & PF_KTHREAD != 0
    }

    /// Whether it is a kernel thread of the host. One in a container's cgroup (vhost) works for the
    /// container.
    #[inline(always)]
    pub(crate) fn works_for_host(self, cgroup: u64) -> bool {
        cgroup == host!(SETTINGS.root_cgroup) && self.is_kernel_thread()
    }

    /// The first 8 bytes of its name.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        load!(self.0, OFFSETS.task_comm)
    }

    #[inline(always)]
    pub(crate) fn prio(self) -> u32 {
        load!(self.0, OFFSETS.task_prio)
    }

    /// An int, and from 7.2 on a byte: the low byte of both.
    #[inline(always)]
    pub(crate) fn on_rq(self) -> u32 {
        load!(u8: self.0, OFFSETS.task_on_rq) as u32
    }

    /// `state` was a long and became an int named `__state` in 5.14.
    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        if has!(OFFSETS.task_state_int) {
            return load!(self.0, OFFSETS.task_state_int);
        }
        load!(u64: self.0, OFFSETS.task_state_long) as u32
    }

    /// Queued at, in the run queue's clock; 0 when it is not queued.
    #[inline(always)]
    pub(crate) fn last_queued(self) -> u64 {
        load!(self.0, OFFSETS.task_last_queued)
    }

    /// When it was last put on a CPU, in that run queue's clock; 0 for an idle task.
    #[inline(always)]
    pub(crate) fn last_arrival(self) -> u64 {
        load!(self.0, OFFSETS.task_last_arrival)
    }

    /// Run-queue delay up to the last accounted segment, nanoseconds.
    #[inline(always)]
    pub(crate) fn run_delay(self) -> u64 {
        load!(self.0, OFFSETS.task_run_delay)
    }

    /// Times that the task was put on a CPU.
    #[inline(always)]
    pub(crate) fn run_count(self) -> u64 {
        load!(self.0, OFFSETS.task_pcount)
    }

    /// Asleep and still queued, from 6.12 on.
    #[inline(always)]
    pub(crate) fn is_dequeue_delayed(self) -> bool {
        has!(OFFSETS.task_sched_delayed) && load!(u8: self.0, OFFSETS.task_sched_delayed) != 0
    }

    #[inline(always)]
    pub(crate) fn cfs_rq(self) -> CfsRq {
        CfsRq(load!(self.0, OFFSETS.task_cfs_rq))
    }

    /// The identity of its set of cgroups. By way of `scratch`, as [`CfsRq::mark`].
    #[inline(always)]
    pub(crate) fn group_mark(self, scratch: &mut u64) -> u32 {
        group_mark(as_number(load!(self.0, OFFSETS.task_cgroups), scratch))
    }

    /// Id of the task's cgroup in the hierarchy that owns `cpu`.
    #[inline(always)]
    pub(crate) fn cgroup_id(self) -> u64 {
        let set: *const u8 = load!(self.0, OFFSETS.task_cgroups);
        let cgroup: *const u8 = if has!(OFFSETS.css_set_cpu) {
            let css: *const u8 = load!(set, OFFSETS.css_set_cpu);
            load!(css, OFFSETS.css_cgroup)
        } else {
            load!(set, OFFSETS.css_set_dfl_cgrp)
        };
        cgroup_id(cgroup)
    }

    /// Whether a quota is set on the task's cgroup or one above it.
    #[inline(always)]
    pub(crate) fn has_quota(self) -> bool {
        if !has!(OFFSETS.cfs_rq_runtime_enabled) {
            return false;
        }
        if load!(u32: self.cfs_rq().0, OFFSETS.cfs_rq_runtime_enabled) != 0 {
            return true;
        }
        let mut entity: *const u8 = load!(self.0, OFFSETS.task_se_parent);
        for _ in 0..8 {
            if entity.is_null() {
                break;
            }
            let cfs_rq: *const u8 = load!(entity, OFFSETS.se_cfs_rq);
            if load!(u32: cfs_rq, OFFSETS.cfs_rq_runtime_enabled) != 0 {
                return true;
            }
            entity = load!(entity, OFFSETS.se_parent);
        }
        false
    }
}

/// A pointer's number. The verifier refuses arithmetic on pointers: it becomes one by way of
/// `scratch`, a value of a map.
#[inline(always)]
fn as_number(pointer: *const u8, scratch: &mut u64) -> u64 {
    // SAFETY: a valid reference; volatile, or the pointer itself would be handed on.
    unsafe {
        write_volatile(scratch, pointer as u64);
        read_volatile(scratch)
    }
}

/// The id of a `struct cgroup`.
#[inline(always)]
pub(crate) fn cgroup_id(cgroup: *const u8) -> u64 {
    let node: *const u8 = load!(cgroup, OFFSETS.cgroup_kn);
    load!(node, OFFSETS.kn_id)
}

/// The number of the hierarchy of a `struct cgroup`.
#[inline(always)]
pub(crate) fn cgroup_hierarchy(cgroup: *const u8) -> u32 {
    let root: *const u8 = load!(cgroup, OFFSETS.cgroup_root);
    load!(root, OFFSETS.cgroup_root_hierarchy)
}

impl CfsRq {
    /// Its identity in the tracks, by way of `scratch`.
    #[inline(always)]
    pub(crate) fn mark(self, scratch: &mut u64) -> u64 {
        mark(as_number(self.0, scratch) as u32)
    }

    #[inline(always)]
    pub(crate) fn run_queue(self) -> RunQueue {
        RunQueue(load!(self.0, OFFSETS.cfs_rq_rq))
    }

    /// Time that its own or any ancestor's quota held it back, nanoseconds, grown when it ends.
    #[inline(always)]
    pub(crate) fn throttled_self_time(self) -> u64 {
        load!(self.0, OFFSETS.cfs_rq_throttled_self)
    }

    /// Since when it is held back, in the run queue's clock; 0 when it is not.
    #[inline(always)]
    pub(crate) fn throttled_since(self) -> u64 {
        if has!(OFFSETS.cfs_rq_throttled_since) {
            load!(self.0, OFFSETS.cfs_rq_throttled_since)
        } else {
            0
        }
    }

    /// How many quotas hold it back: its own, and those above it.
    #[inline(always)]
    pub(crate) fn throttle_count(self) -> u32 {
        if has!(OFFSETS.cfs_rq_throttle_count) {
            load!(self.0, OFFSETS.cfs_rq_throttle_count)
        } else {
            0
        }
    }
}

impl RunQueue {
    #[inline(always)]
    pub(crate) fn clock(self) -> u64 {
        load!(self.0, OFFSETS.rq_clock)
    }

    #[inline(always)]
    pub(crate) fn cpu(self) -> u32 {
        load!(self.0, OFFSETS.rq_cpu)
    }

    /// Stolen so far, nanoseconds; stays 0 where there is no source.
    #[inline(always)]
    pub(crate) fn steal_clock(self) -> u64 {
        if has!(OFFSETS.rq_steal) {
            load!(self.0, OFFSETS.rq_steal)
        } else {
            0
        }
    }

    /// Interrupts so far, nanoseconds; stays 0 where the kernel does not account them.
    #[inline(always)]
    pub(crate) fn irq_clock(self) -> u64 {
        if has!(OFFSETS.rq_irq) {
            load!(self.0, OFFSETS.rq_irq)
        } else {
            0
        }
    }
}
