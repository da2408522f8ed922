//! One row of `doctor` for each part, from what was found.

use agent_ebpf::layout::{ABSENT, Offsets, ThrottleMethod};

use super::disks::Disks;
use crate::{
    capability::{Capability, Status},
    host::{
        facts::HostFacts, hierarchy, hierarchy::Hierarchy, privileges::Privileges, read,
        refusal::explain_eperm, text::display_path,
    },
    kernel::{
        Refusal, Verdict,
        block::BlockError,
        btf::BtfError,
        load::{
            BLOCK_COMPLETE, BLOCK_ISSUE, CGROUP_MKDIR, LoadError, TASK_WAITING, THROTTLE_HOOKS,
        },
        offsets::OffsetsError,
        programs::Programs,
    },
    sample::{StealSource, disk::Timing},
};

/// A part of the observation: its name, what it is for, whether the core needs it.
#[derive(Clone, Copy)]
struct Part(&'static str, &'static str, bool);

const PRIVILEGES: Part = Part(
    "privileges",
    "loading programs that look at the kernel",
    true,
);
const BTF: Part = Part("btf", "where the kernel keeps what is read", true);
const TRACEPOINTS: Part = Part(
    "typed_tracepoints",
    "reading kernel structures safely",
    true,
);
const HIERARCHY: Part = Part("cgroup_hierarchy", "telling cgroups apart", true);
const SWITCH: Part = Part("sched_switch", "run time, waits, causes and blame", true);
const MIGRATE: Part = Part(
    "sched_migrate_task",
    "waits on CPUs that a task is moved away from",
    true,
);
const ITERATOR: Part = Part("task_iterator", "waits in progress", false);
const MKDIR: Part = Part("cgroup_mkdir", "names of short-lived cgroups", false);
const THROTTLE: Part = Part("throttle", "waits for a CPU quota", false);
const STEAL: Part = Part("steal", "time that the hypervisor took", false);
const IRQ: Part = Part("irq_time", "time that interrupts took", false);
const PRESSURE: Part = Part("pressure", "the kernel's own measure, to compare", false);
const COVERAGE: Part = Part(
    "coverage",
    "the kernel's own run-queue delay, to compare",
    false,
);

const BLOCK: Part = Part(BLOCK_COMPLETE, "block I/O and its latency", false);
const ISSUES: Part = Part(
    BLOCK_ISSUE,
    "when requests are issued, where the kernel does not note it",
    false,
);
const IO_HIERARCHY: Part = Part("io_hierarchy", "telling whose block I/O it is", false);

const DISK_TIMING: Part = Part("disk_timing", "queue and device time, by device", false);
const IO_ACCOUNTING: Part = Part("io_accounting", "block I/O of each cgroup", false);
const CONFINEMENT: Part = Part("confinement", "an agent without privileges", false);
/// Cgroups that a row names.
const NAMED: usize = 5;

impl Part {
    fn row(self, status: Status, detail: impl Into<String>, remedy: Option<&str>) -> Capability {
        let Part(name, intent, required) = self;
        Capability {
            name: name.into(),
            intent: intent.into(),
            required,
            status,
            detail: detail.into(),
            remedy: remedy.map(str::to_owned),
        }
    }

    fn active(self, detail: impl Into<String>) -> Capability {
        self.row(Status::Active, detail, None)
    }

    fn unsupported(self, detail: impl Into<String>, remedy: Option<&str>) -> Capability {
        self.row(Status::Unsupported, detail, remedy)
    }
}

pub(super) fn privileges(privileges: &Privileges) -> Capability {
    if privileges.effective.can_trace() {
        return PRIVILEGES.active("programs that look at the kernel may be loaded");
    }
    let cause = explain_eperm(privileges);
    PRIVILEGES.row(Status::Broken, cause.what, Some(cause.remedy))
}

pub(super) fn hierarchy(hierarchy: &Hierarchy) -> Capability {
    let mount = display_path(hierarchy.mount.as_os_str());
    let detail = format!("cgroup {}, cpu at {mount}", hierarchy.mode);
    if !hierarchy.is_namespaced() {
        return HIERARCHY.active(detail);
    }
    HIERARCHY.row(
        Status::Active,
        format!("{detail}; only a part of the tree is visible: cgroups outside have no name"),
        Some("mount the host's /sys/fs/cgroup into the container"),
    )
}

pub(super) fn no_hierarchy(status: Status, error: &hierarchy::Error) -> Capability {
    HIERARCHY.row(status, error.to_string(), None)
}

pub(super) fn btf() -> Capability {
    BTF.active("/sys/kernel/btf/vmlinux")
}

pub(super) fn no_btf(error: &BtfError) -> Capability {
    BTF.unsupported(
        error.to_string(),
        Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
    )
}

pub(super) fn tracepoints() -> Capability {
    TRACEPOINTS.active("sched_switch has typed arguments")
}

pub(super) fn no_offsets(error: &OffsetsError) -> Capability {
    TRACEPOINTS.unsupported(
        error.to_string(),
        Some("use a kernel from 5.10 on, built with CONFIG_SCHED_INFO=y and CONFIG_FAIR_GROUP_SCHED=y"),
    )
}

pub(super) fn steal(source: Option<StealSource>, facts: &HostFacts) -> Capability {
    match source {
        Some(StealSource::Exact) => STEAL.active("exact at each switch"),
        Some(StealSource::Tick) => STEAL.active("approximate: advances with the timer tick"),
        Some(StealSource::BareMetal) => {
            STEAL.active("not a virtual machine: nothing can be stolen")
        }
        None if facts.steal_supported == Some(false) => STEAL.unsupported(
            "the hypervisor tells none: what it takes sits with whoever had the CPU",
            None,
        ),
        None => STEAL.unsupported(
            "not known here: what a hypervisor takes sits with whoever had the CPU",
            None,
        ),
    }
}

/// The member exists only where the kernel is built to account interrupts.
pub(super) fn has_irq_time(offsets: &Offsets) -> bool {
    offsets.rq_irq != ABSENT
}

pub(super) fn irq(offsets: &Offsets) -> Capability {
    if has_irq_time(offsets) {
        return IRQ.active("accounted by the kernel");
    }
    IRQ.unsupported(
        "this kernel is built without CONFIG_IRQ_TIME_ACCOUNTING: interrupts sit with whoever \
         they interrupt",
        None,
    )
}

pub(super) fn pressure(facts: &HostFacts) -> Capability {
    if facts.pressure {
        return PRESSURE.active("/proc/pressure/cpu");
    }
    PRESSURE.unsupported(
        "this kernel keeps no pressure",
        Some("boot with psi=1, if the kernel is built with CONFIG_PSI=y"),
    )
}

pub(super) fn coverage(delay: &Result<Option<u64>, read::Error>) -> Capability {
    match delay {
        Ok(Some(_)) => COVERAGE.active("/proc/schedstat"),
        Ok(None) => COVERAGE.unsupported("this kernel is built without CONFIG_SCHEDSTATS", None),
        Err(error) => COVERAGE.row(Status::Broken, error.to_string(), None),
    }
}

/// Rows of all programs that were attached, or could have been.
pub(super) fn programs(programs: &Programs) -> Vec<Capability> {
    let row = |part: Part, program: &str| verdict(part, programs.verdicts.get(program));
    vec![
        row(SWITCH, SWITCH.0),
        row(MIGRATE, MIGRATE.0),
        throttle(programs),
        row(ITERATOR, TASK_WAITING),
        row(MKDIR, CGROUP_MKDIR),
    ]
    .into_iter()
    .chain(block(programs))
    .collect()
}

fn block(programs: &Programs) -> Vec<Capability> {
    [BLOCK, ISSUES]
        .into_iter()
        .filter_map(|part| Some(verdict(part, Some(programs.verdicts.get(part.0)?))))
        .collect()
}

/// Block requests cannot be read.
pub(super) fn no_block(error: &BlockError) -> Capability {
    BLOCK.unsupported(error.to_string(), None)
}

/// How the requests of each device are timed.
pub(super) fn disk_timing(devices: &[(String, Option<Timing>)]) -> Capability {
    let text = |(name, timing): &(String, Option<Timing>)| {
        let timing = match timing {
            Some(Timing::Kernel) => "the kernel notes creation and issue",
            Some(Timing::Issues) => "the kernel notes the creation, block_rq_issue the issue",
            Some(Timing::TotalOnly) => "the kernel notes the creation alone: no queue time",
            Some(Timing::DeviceOnly) => "block_rq_issue notes the issue: device time alone",
            Some(Timing::Nothing) => "not timed (queue/iostats is 0): requests and bytes alone",
            None => "no requests in a second of watching",
        };
        format!("{name}: {timing}")
    };
    let off = |(_, timing): &&(String, Option<Timing>)| {
        matches!(timing, Some(Timing::Nothing | Timing::DeviceOnly))
    };
    let remedy = devices
        .iter()
        .find(off)
        .map(|(name, _)| format!("echo 1 > /sys/block/{name}/queue/iostats"));
    let mut texts: Vec<String> = devices.iter().map(text).collect();
    if texts.is_empty() {
        texts.push("no block devices here".to_owned());
    }
    texts.push(
        "never included: time before a request exists (io.max, wbt, iocost, waiting for a tag)"
            .to_owned(),
    );
    DISK_TIMING.row(Status::Active, texts.join("; "), remedy.as_deref())
}

/// Whether block I/O counts for the cgroups that do it.
pub(super) fn io_accounting(unaccounted: &[String]) -> Capability {
    if unaccounted.is_empty() {
        return IO_ACCOUNTING.active("the io controller is enabled wherever there are processes");
    }
    let named = unaccounted[..unaccounted.len().min(NAMED)].join(", ");
    let more = match unaccounted.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    IO_ACCOUNTING.unsupported(
        format!("the io controller is off for {named}{more}: their I/O counts for a cgroup above"),
        Some("set IOAccounting=yes in their units, or +io in the parent's cgroup.subtree_control"),
    )
}

/// What the agent keeps once its programs run.
pub(super) fn confinement(needs_bpf: Option<bool>) -> Capability {
    match needs_bpf {
        Some(false) => CONFINEMENT.active("it gives up all capabilities once its programs run"),
        Some(true) => CONFINEMENT.active(
            "it gives up all capabilities but CAP_BPF: this kernel refuses bpf() without it",
        ),
        None => CONFINEMENT.active(
            "it gives up all capabilities but CAP_BPF: whether this kernel refuses bpf() without \
             it could not be tried",
        ),
    }
}

/// Where block I/O finds its owners.
pub(super) fn io_hierarchy(disks: &Disks) -> Capability {
    match disks.hierarchy() {
        Ok(None) => IO_HIERARCHY.active("the hierarchy that owns cpu"),
        Ok(Some(hierarchy)) => {
            let mount = display_path(hierarchy.mount.as_os_str());
            IO_HIERARCHY.active(format!("{} at {mount}, joined by path", hierarchy.mode))
        }
        Err(error) => IO_HIERARCHY.unsupported(error.to_string(), None),
    }
}

fn verdict(part: Part, verdict: Option<&Verdict>) -> Capability {
    match verdict {
        Some(Verdict::Attached { verified }) => part.active(attached(*verified)),
        Some(Verdict::Refused { refusal, why }) => part.row(optional_status(*refusal), why, None),
        Some(Verdict::NotNeeded) | None => part.row(Status::Off, "not needed", None),
    }
}

fn attached(verified: Option<u32>) -> String {
    match verified {
        Some(count) => format!("attached; {count} instructions verified"),
        None => "attached".to_owned(),
    }
}

fn throttle(programs: &Programs) -> Capability {
    match programs.throttle {
        ThrottleMethod::Absent => THROTTLE.active("this kernel has no CPU quotas"),
        ThrottleMethod::SelfTime => THROTTLE.active("exact: the kernel keeps its sum"),
        ThrottleMethod::Hooks => {
            let verdicts = THROTTLE_HOOKS.map(|name| (name, programs.verdicts.get(name)));
            let text = |(name, verdict): (&str, Option<&Verdict>)| match verdict {
                Some(Verdict::Attached { verified }) => format!("{name} {}", attached(*verified)),
                _ => name.to_owned(),
            };
            THROTTLE.active(format!("exact: {}", verdicts.map(text).join(", ")))
        }
        ThrottleMethod::Unknown => {
            let refused =
                THROTTLE_HOOKS
                    .iter()
                    .find_map(|name| match programs.verdicts.get(name)? {
                        Verdict::Refused { refusal, why } => Some((name, *refusal, why)),
                        Verdict::Attached { .. } | Verdict::NotNeeded => None,
                    });
            match refused {
                Some((name, refusal, why)) => THROTTLE.row(
                    optional_status(refusal),
                    format!("{name}: {why}; waits under a quota have no cause"),
                    None,
                ),
                None => THROTTLE.unsupported("waits under a quota have no cause", None),
            }
        }
    }
}

/// The part that keeps the core from running.
pub(super) fn core_refused(error: &LoadError, message: &str, remedy: Option<&str>) -> Capability {
    let part = if error.program() == Some(MIGRATE.0) {
        MIGRATE
    } else {
        SWITCH
    };
    part.row(status(error.refusal()), message, remedy)
}

/// Of a program that is not required: where the others could be loaded, privileges are not what
/// it lacks.
fn optional_status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Unsupported | Refusal::Privilege => Status::Unsupported,
        Refusal::Broken => Status::Broken,
    }
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Unsupported => Status::Unsupported,
        Refusal::Privilege | Refusal::Broken => Status::Broken,
    }
}
