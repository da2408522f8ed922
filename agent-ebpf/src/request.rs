//! A typed reader of block requests.

use agent_ebpf::block::{Operation, op};
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel},
    programs::BtfTracePointContext,
};

use crate::kernel::{argument, cgroup_id, has, host, load};

/// A `struct request`.
#[derive(Clone, Copy)]
pub(crate) struct Request(*const u8);

impl Request {
    #[inline(always)]
    pub(crate) fn first(ctx: &BtfTracePointContext) -> Request {
        Request(argument::<0>(ctx) as *const u8)
    }

    /// `block_rq_issue(request)`, and before 5.11 `block_rq_issue(queue, request)`: its place
    /// among the arguments.
    #[inline(always)]
    pub(crate) fn issued_at() -> usize {
        host!(BLOCK_OFFSETS.arg_issued) as usize
    }

    /// What it does; `None` for commands of drivers and operations on zones.
    #[inline(always)]
    pub(crate) fn operation(self) -> Option<Operation> {
        let number = load!(u32: self.0, BLOCK_OFFSETS.request_cmd_flags) & op::MASK;
        if number == op::READ {
            Some(Operation::Read)
        } else if number == op::WRITE || number == host!(BLOCK_OFFSETS.op_zone_append) {
            Some(Operation::Write)
        } else if number == op::FLUSH {
            Some(Operation::Flush)
        } else if number == op::DISCARD || number == op::SECURE_ERASE || number == op::WRITE_ZEROES
        {
            Some(Operation::Discard)
        } else {
            None
        }
    }

    #[inline(always)]
    fn flags(self) -> u32 {
        load!(self.0, BLOCK_OFFSETS.request_flags)
    }

    /// A step of the sequence that a flush or a write with one becomes.
    #[inline(always)]
    pub(crate) fn in_flush_sequence(self) -> bool {
        self.flags() & host!(BLOCK_OFFSETS.flag_flush_sequence) != 0
    }

    /// Bytes that are not completed yet.
    #[inline(always)]
    pub(crate) fn bytes_left(self) -> u32 {
        load!(self.0, BLOCK_OFFSETS.request_bytes)
    }

    /// Whether it has, or had, data.
    #[inline(always)]
    pub(crate) fn has_data(self) -> bool {
        load!(u16: self.0, BLOCK_OFFSETS.request_segments) != 0
    }

    /// When it was created, monotonic clock; 0 where the kernel did not note it.
    ///
    /// From 6.15 on a request without statistics keeps the time of its last use (`blk_account_io_start`,
    /// block/blk-mq.c).
    #[inline(always)]
    pub(crate) fn start(self) -> u64 {
        let flag = host!(BLOCK_OFFSETS.flag_io_stat);
        if flag != 0 && self.flags() & flag == 0 {
            return 0;
        }
        load!(self.0, BLOCK_OFFSETS.request_start)
    }

    /// When it was issued to the device, monotonic clock; 0 where the kernel did not note it.
    #[inline(always)]
    pub(crate) fn issued(self) -> u64 {
        if has!(BLOCK_OFFSETS.request_issued) {
            load!(self.0, BLOCK_OFFSETS.request_issued)
        } else {
            0
        }
    }

    #[inline(always)]
    fn bio(self) -> *const u8 {
        load!(self.0, BLOCK_OFFSETS.request_bio)
    }

    /// Whether it carries somebody's I/O: the kernel makes flushes of its own.
    #[inline(always)]
    pub(crate) fn has_bio(self) -> bool {
        !self.bio().is_null()
    }

    /// Id of its cgroup in the hierarchy that owns `io`; 0 for nobody's. Those of different
    /// cgroups are never merged into one request (`blk_cgroup_mergeable`).
    #[inline(always)]
    pub(crate) fn cgroup(self) -> u64 {
        if !has!(BLOCK_OFFSETS.bio_group) {
            return 0;
        }
        let group: *const u8 = load!(self.bio(), BLOCK_OFFSETS.bio_group);
        let blkcg: *const u8 = load!(group, BLOCK_OFFSETS.group_blkcg);
        cgroup_id(load!(blkcg, BLOCK_OFFSETS.blkcg_cgroup))
    }

    /// Major and minor number of its device.
    #[inline(always)]
    pub(crate) fn device(self) -> (u32, u32) {
        let disk: *const u8 = if has!(BLOCK_OFFSETS.request_disk) {
            load!(self.0, BLOCK_OFFSETS.request_disk)
        } else {
            let queue: *const u8 = load!(self.0, BLOCK_OFFSETS.request_queue);
            load!(queue, BLOCK_OFFSETS.queue_disk)
        };
        (
            load!(disk, BLOCK_OFFSETS.disk_major),
            load!(disk, BLOCK_OFFSETS.disk_minor),
        )
    }
}

/// The address in a tracepoint's argument, as a number. Not by way of a map's value, as elsewhere:
/// an interrupt may run the same program in between.
#[inline(always)]
pub(crate) fn address(ctx: &BtfTracePointContext, index: usize) -> u64 {
    let arguments: *const u64 = ctx.as_ptr().cast();
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(arguments.wrapping_add(index & 1)).unwrap_or(0) }
}

/// The clock that requests are stamped with.
#[inline(always)]
pub(crate) fn monotonic() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}
