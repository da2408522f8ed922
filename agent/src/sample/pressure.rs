//! How long tasks were stalled, by the kernel's count (accounting/psi.rst), at one instant.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::CgroupId;

/// One pressure file: the `total` of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalled {
    /// At least one task waited.
    pub some: Duration,
    /// All that were not idle waited. `None` where the kernel does not tell: of the host's CPUs, and
    /// of a cgroup's before 5.13.
    pub full: Option<Duration>,
}

/// What tasks were stalled on; `None` where the kernel keeps no account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Waited for a CPU: `cpu.pressure`.
    pub cpu: Option<Stalled>,
    /// Waited for memory to be reclaimed or read back: `memory.pressure`.
    pub memory: Option<Stalled>,
    /// Waited for block I/O: `io.pressure`.
    pub disk: Option<Stalled>,
}

/// All pressure of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    /// Of all tasks (`/proc/pressure`).
    pub host: Pressure,
    /// Of the tasks of a cgroup and of all below it, since it was made.
    pub cgroups: BTreeMap<CgroupId, Pressure>,
    /// All cgroups that existed are among them, so one that is not was made later.
    pub is_complete: bool,
}
