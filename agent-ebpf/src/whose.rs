//! Whose time a task's is.

use core::hint::cold_path;

use agent_ebpf::{
    baseline,
    layout::Cpu,
    owner::{KernelFamily, Owner},
};

use crate::{
    kernel::Task,
    maps::{self, Value},
};

/// Whose time a task's is: as it was when the task ran last, unless it is in other cgroups now.
#[inline(always)]
pub(crate) fn owner_of(
    task: Task,
    mut set: Value<baseline::Set>,
    mut cpu: Value<Cpu>,
    number: u32,
    pid: u32,
) -> Owner {
    let group = task.group_mark(&mut cpu.address);
    if let Some(owner) = set.owner(pid, group)
        && cpu.is_current(owner)
        && !baseline::is_due(task.run_count())
    {
        return owner;
    }
    cold_path();
    find_and_keep(&mut set, cpu, task, number, pid)
}

/// Keeps what it finds for a task that has an entry, unless a slot may come free for it.
#[inline(always)]
pub(crate) fn find_and_keep(
    set: &mut baseline::Set,
    mut cpu: Value<Cpu>,
    task: Task,
    number: u32,
    pid: u32,
) -> Owner {
    // First the mark: of a task that is moved meanwhile it is an old one, which is not believed.
    let group = task.group_mark(&mut cpu.address);
    let owner = find_owner(task, number);
    if owner != Owner::OTHER {
        set.keep_owner(pid, group, owner);
    }
    owner
}

/// Whose time a task's is, by its cgroup.
#[inline(always)]
fn find_owner(task: Task, number: u32) -> Owner {
    let id = task.cgroup_id();
    if task.works_for_host(id) {
        return Owner(owner_by_name(task.name()));
    }
    Owner(owner_by_cgroup(number, id))
}

/// The account of kernel threads with such a name. A global function, as [`crate::sched::fold`];
/// apart, for most tasks are known.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn owner_by_name(name: u64) -> u32 {
    Owner::kernel(KernelFamily::of_name(name)).0
}

/// The slot of a cgroup, likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn owner_by_cgroup(number: u32, id: u64) -> u32 {
    let Some(cpu) = maps::cpu(number) else {
        return Owner::OTHER.0;
    };
    maps::owner_of_cgroup(cpu, id).0
}
