//! Names of cgroups that are gone before userspace looks.

use agent_ebpf::layout::{CgroupMade, LONG_PATH, SHORT_PATH};
use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, programs::BtfTracePointContext};

use crate::{
    kernel::{argument, cgroup_hierarchy, cgroup_id, host},
    maps::{CGROUPS_MADE, count_lost_name},
};

#[repr(C)]
struct Event<const ROOM: usize> {
    made: CgroupMade,
    path: [u8; ROOM],
}

/// What became of an event.
enum Told {
    Whole,
    /// There was not enough room for the path.
    Cut,
    /// The ring buffer is full.
    Lost,
}

/// `cgroup_mkdir(cgrp, path)`.
#[inline(always)]
pub(crate) fn made(ctx: &BtfTracePointContext) {
    let cgroup = argument::<0>(ctx) as *const u8;
    if cgroup_hierarchy(cgroup) != host!(SETTINGS.hierarchy) {
        return;
    }
    let (id, path) = (cgroup_id(cgroup), argument::<1>(ctx));
    let mut told = tell::<SHORT_PATH>(id, path, false);
    if matches!(told, Told::Cut) {
        told = tell::<LONG_PATH>(id, path, true);
    }
    if matches!(told, Told::Lost) {
        count_lost_name();
    }
}

/// Room is reserved before the length is known; `cut` says whether a path may be cut off.
#[inline(always)]
fn tell<const ROOM: usize>(id: u64, path: u64, cut: bool) -> Told {
    let Some(mut entry) = CGROUPS_MADE.reserve::<Event<ROOM>>(0) else {
        return Told::Lost;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reserved entry is as large as the type; the helper checks the path's address.
    let length = unsafe {
        let target = (&raw mut (*event).path).cast();
        let length = bpf_probe_read_kernel_str(target, ROOM as u32, path as *const _);
        (*event).made = CgroupMade {
            id,
            length: if length > 0 { length as u32 - 1 } else { 0 },
            _pad: 0,
        };
        length
    };
    if !cut && length >= ROOM as i64 {
        entry.discard(0);
        return Told::Cut;
    }
    entry.submit(0);
    Told::Whole
}
