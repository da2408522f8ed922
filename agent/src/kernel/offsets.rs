//! Where this kernel keeps what the programs read.

use agent_ebpf::layout::{ABSENT, Offsets};
use thiserror::Error;

use super::btf::Btf;

/// A kernel on which the core cannot work.
#[derive(Debug, Error)]
pub enum OffsetsError {
    /// A member that the core needs.
    #[error("this kernel's BTF has no {0}: run-queue delay cannot be accounted here")]
    Missing(String),
    /// A tracepoint that the core needs.
    #[error("this kernel has no typed tracepoint {0}: version 5.10 or later with BTF is needed")]
    Tracepoint(&'static str),
}

/// Offsets for cgroup v2 (`v1` false) or the v1 hierarchy of the `cpu` controller.
pub fn resolve(btf: &Btf, v1: bool) -> Result<Offsets, OffsetsError> {
    let switch = btf
        .tracepoint("sched_switch")
        .ok_or(OffsetsError::Tracepoint("sched_switch"))?;
    let mut tasks = (0u32..)
        .zip(&switch)
        .filter(|(_, name)| **name == Some(b"task_struct"))
        .map(|(i, _)| i);
    let missing_argument = || OffsetsError::Tracepoint("sched_switch");
    let arg_prev = tasks.next().ok_or_else(missing_argument)?;
    let arg_next = tasks.next().ok_or_else(missing_argument)?;
    let task = |path: &[&str]| required(btf, "task_struct", path);
    let optional = |structure, path: &[&str]| {
        btf.member(structure, path)
            .map_or(ABSENT, |member| member.offset)
    };
    let steal = match optional("rq", &["prev_steal_time_rq"]) {
        ABSENT => optional("rq", &["prev_steal_time"]),
        exact => exact,
    };
    let css_set_cpu = if v1 { Some(subsystem(btf)?) } else { None };
    Ok(Offsets {
        arg_prev,
        arg_next,
        // Behind both tasks since 5.18.
        arg_prev_state: if switch.len() > 3 { 3 } else { ABSENT },
        task_pid: task(&["pid"])?,
        task_flags: task(&["flags"])?,
        task_prio: task(&["prio"])?,
        task_on_rq: task(&["on_rq"])?,
        task_comm: task(&["comm"])?,
        task_state_long: optional("task_struct", &["state"]),
        task_state_int: optional("task_struct", &["__state"]),
        task_cgroups: task(&["cgroups"])?,
        task_last_queued: task(&["sched_info", "last_queued"])?,
        task_last_arrival: task(&["sched_info", "last_arrival"])?,
        task_run_delay: task(&["sched_info", "run_delay"])?,
        task_pcount: task(&["sched_info", "pcount"])?,
        task_cfs_rq: task(&["se", "cfs_rq"])?,
        task_sched_delayed: optional("task_struct", &["se", "sched_delayed"]),
        task_se_parent: task(&["se", "parent"])?,
        se_cfs_rq: required(btf, "sched_entity", &["cfs_rq"])?,
        se_parent: required(btf, "sched_entity", &["parent"])?,
        cfs_rq_rq: required(btf, "cfs_rq", &["rq"])?,
        cfs_rq_throttled_self: optional("cfs_rq", &["throttled_clock_self_time"]),
        cfs_rq_throttled_since: optional("cfs_rq", &["throttled_clock_self"]),
        cfs_rq_runtime_enabled: optional("cfs_rq", &["runtime_enabled"]),
        cfs_rq_throttle_count: optional("cfs_rq", &["throttle_count"]),
        rq_clock: required(btf, "rq", &["clock"])?,
        rq_cpu: required(btf, "rq", &["cpu"])?,
        rq_steal: steal,
        rq_irq: optional("rq", &["prev_irq_time"]),
        css_set_dfl_cgrp: required(btf, "css_set", &["dfl_cgrp"])?,
        css_set_cpu: css_set_cpu.unwrap_or(ABSENT),
        css_cgroup: required(btf, "cgroup_subsys_state", &["cgroup"])?,
        cgroup_kn: required(btf, "cgroup", &["kn"])?,
        cgroup_root: required(btf, "cgroup", &["root"])?,
        cgroup_root_hierarchy: required(btf, "cgroup_root", &["hierarchy_id"])?,
        kn_id: required(btf, "kernfs_node", &["id"])?,
        tg_cfs_rq: optional("task_group", &["cfs_rq"]),
    })
}

fn required(btf: &Btf, structure: &str, path: &[&str]) -> Result<u32, OffsetsError> {
    let missing = || OffsetsError::Missing(format!("{structure}.{}", path.join(".")));
    Ok(btf.member(structure, path).ok_or_else(missing)?.offset)
}

/// `css_set.subsys[cpu_cgrp_id]`.
fn subsystem(btf: &Btf) -> Result<u32, OffsetsError> {
    let index = btf
        .enumerator("cpu_cgrp_id")
        .ok_or_else(|| OffsetsError::Missing("enum cgroup_subsys_id.cpu_cgrp_id".to_owned()))?;
    Ok(required(btf, "css_set", &["subsys"])? + 8 * index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::btf::of_running_kernel;

    #[test]
    fn this_kernel_has_what_the_core_needs() {
        let Some(btf) = of_running_kernel("this_kernel_has_what_the_core_needs") else {
            return;
        };
        for v1 in [false, true] {
            let offsets = resolve(&btf, v1).expect("offsets of the running kernel");
            assert_ne!(offsets.task_state_int & offsets.task_state_long, 0);
            assert_eq!(offsets.css_set_cpu == ABSENT, !v1);
            assert_ne!((offsets.arg_prev, offsets.arg_next), (0, 0));
        }
    }
}
