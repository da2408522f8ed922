//! Rows of a report: who ran, who waited, and for whom.

use std::{ffi::OsString, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        disk::{DiskUse, IoUse},
        identity::{Key, Kind, kernel_name, path_text},
        labels::Labels,
        usage::Usage,
    },
    sample::{Bandwidth, CgroupId, disk::DeviceId},
};

/// Rows, and the blame between them. Each task is in exactly one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Rows in the order of their keys.
    pub rows: Vec<Row>,
    /// By victim and resource, the largest first.
    pub blame: Vec<Blame>,
}

impl Table {
    /// Who made a row wait for a resource, the largest first.
    pub fn blame_of(&self, victim: usize, resource: Resource) -> impl Iterator<Item = &Blame> {
        let on = move |blame: &&Blame| blame.resource == resource;
        self.all_blame_of(victim).filter(on)
    }

    /// Who made a row wait for any resource.
    pub fn all_blame_of(&self, victim: usize) -> impl Iterator<Item = &Blame> {
        let before = self.blame.partition_point(|b| b.victim < victim);
        let from = self.blame[before..].iter();
        from.take_while(move |b| b.victim == victim)
    }

    /// Time that others waited for a row to leave a resource, nanoseconds.
    pub fn caused_ns(&self, culprit: usize, resource: Resource) -> u64 {
        let caused = |b: &&Blame| b.culprit == culprit && b.resource == resource;
        let caused = self.blame.iter().filter(caused);
        caused.fold(0, |sum, b| sum.saturating_add(b.ns))
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resource {
    /// A CPU: tasks wait.
    Cpu,
    /// A block device: requests wait.
    Disk(DeviceId),
}

impl Resource {
    /// The name in metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Disk(_) => "disk",
        }
    }
}

/// One entity, one cgroup or one family of kernel threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its lasting name.
    pub key: Key,
    /// What it is.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// Path of its cgroup, for an entity of its boundary; any bytes. Reserved names are
    /// `kernel/<family>`, `device`, `other`, and `cgroup <id>` or, in the hierarchy that owns
    /// `io`, `io cgroup <id>` for a path that is not known.
    pub path: OsString,
    /// Its cgroup, for an entity its boundary, as far as known.
    pub cgroup: Option<CgroupId>,
    /// What else is known of it.
    pub labels: Labels,
    /// What it did; `None` when a counter went backwards.
    pub usage: Option<Usage>,
    /// Waits in progress at the end; `None` where they cannot be listed.
    pub waiting: Option<WaitingNow>,
    /// CPU seconds that its weight, quota and CPU set entitle it to while all its busy
    /// neighbours want theirs.
    pub entitled_s: Option<f64>,
    /// Its contract, CPU seconds: what it is entitled to, or what it requests where that is more.
    pub contract_s: Option<f64>,
    /// The tightest CPU quota on its path, in CPUs; `None` also where none is set.
    pub quota_cpus: Option<f64>,
    /// CPUs that its tasks may use; `None` where that is not known.
    pub cpuset: Option<Vec<u32>>,
    /// What its cgroup's own quota did, by the kernel's count; `None` without a quota.
    pub bandwidth: Option<Bandwidth>,
    /// Its requests by device and operation, those that it had; `None` where block I/O is not
    /// observed.
    pub disk: Option<Vec<DiskUse>>,
    /// The kernel's own figures of its block I/O; `None` where there are none.
    pub io: Option<IoUse>,
}

impl Row {
    /// Whether it is a container whose name nobody has told.
    pub fn lacks_name(&self) -> bool {
        self.kind == Kind::Container && self.labels.container.is_none()
    }

    /// Its whole wait for a resource as far as it is known, nanoseconds.
    pub fn waited_ns(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Cpu => self.usage.as_ref().map_or(0, |usage| usage.wait.total()),
            Resource::Disk(device) => {
                let uses = self.disk.iter().flatten();
                let there = uses.filter(|part| part.device == device);
                let known = there.filter_map(|part| part.usage.as_ref());
                known.fold(0, |sum, usage| sum.saturating_add(usage.wait.total()))
            }
        }
    }

    /// The key as text: `<kind>:<path>` for entities, else `cgroup:<id>`, `cgroup:<path>`,
    /// `kernel/<family>`, `device` or `other`.
    pub fn key_text(&self) -> String {
        match &self.key {
            Key::Entity(path) => format!("{}:{}", self.kind.name(), path_text(path)),
            Key::Cgroup(id) => format!("cgroup:{id}"),
            Key::Kernel(family) => kernel_name(*family),
            Key::Path(path) => format!("cgroup:{}", path_text(path)),
            Key::Device => "device".into(),
            Key::Other => "other".into(),
        }
    }
}

/// Waits in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingNow {
    /// Queued tasks.
    pub tasks: u64,
    /// The longest wait so far.
    pub longest: Duration,
    /// All of them together.
    pub total: Duration,
}

/// Time that one row waited while another had the resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blame {
    /// What was waited for.
    pub resource: Resource,
    /// Index of the row that waited.
    pub victim: usize,
    /// Index of the row that ran, or whose requests were in service. The row with [`Key::Other`] stands for all without a name.
    pub culprit: usize,
    /// Nanoseconds.
    pub ns: u64,
    /// Part of the victim's whole wait for the resource, 0 to 1.
    pub share: f64,
}

impl Blame {
    /// Of a victim and a culprit, where the victim waited for the resource for so long altogether.
    pub(crate) fn of(
        resource: Resource,
        (victim, culprit): (usize, usize),
        ns: u64,
        waited_ns: u64,
    ) -> Blame {
        Blame {
            resource,
            victim,
            culprit,
            ns,
            share: ns as f64 / waited_ns.max(ns).max(1) as f64,
        }
    }
}
