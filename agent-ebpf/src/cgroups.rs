//! Names of cgroups that are gone before userspace looks.

use agent_ebpf::layout::{CgroupMade, PATH_BYTES};
use aya_ebpf::{helpers::generated::bpf_probe_read_kernel_str, programs::BtfTracePointContext};

use crate::{
    kernel::{argument, cgroup_hierarchy, cgroup_id, frozen},
    maps::CGROUPS_MADE,
};

/// `cgroup_mkdir(cgrp, path)`.
#[inline(always)]
pub(crate) fn made(ctx: &BtfTracePointContext) {
    let cgroup = argument::<0>(ctx) as *const u8;
    if cgroup_hierarchy(cgroup) != frozen!(SETTINGS.hierarchy) {
        return;
    }
    let Some(mut entry) = CGROUPS_MADE.reserve::<CgroupMade>(0) else {
        return;
    };
    let event = entry.as_mut_ptr();
    let (id, hierarchy) = (cgroup_id(cgroup), frozen!(SETTINGS.hierarchy));
    // SAFETY: the reserved entry is as large as the type; the helper checks the path's address.
    unsafe {
        (*event).id = id;
        (*event).hierarchy = hierarchy;
        let length = bpf_probe_read_kernel_str(
            (&raw mut (*event).path).cast(),
            PATH_BYTES as u32,
            argument::<1>(ctx) as *const _,
        );
        (*event).length = if length > 0 { length as u32 - 1 } else { 0 };
    }
    entry.submit(0);
}
