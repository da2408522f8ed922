//! Which cgroup hierarchy owns a controller, and where it is mounted.
//!
//! Cgroup ids are unique only within one hierarchy, so the kernel programs and the tree that is
//! scanned must mean the same one. Found from the mounts; refuses to guess where none is visible.

use std::{
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{mounts, mounts::Mount, read};
use crate::sample::CgroupId;

/// The inode of the root folder of every hierarchy (kernfs numbers from 1).
pub const HIERARCHY_ROOT: CgroupId = CgroupId(1);

/// A controller that something is accounted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Block I/O.
    Io,
}

impl Controller {
    /// Its name on version 1 and in `/proc/cgroups`.
    fn v1(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Io => "blkio",
        }
    }

    /// Its name on version 2.
    fn v2(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Io => "io",
        }
    }

    /// What the kernel is built with.
    fn option(self) -> &'static str {
        match self {
            Controller::Cpu => "CONFIG_CGROUP_SCHED",
            Controller::Io => "CONFIG_BLK_CGROUP",
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v2())
    }
}

/// The version of the interface files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `cpu.shares`, `cpu.cfs_quota_us`.
    V1,
    /// `cpu.weight`, `cpu.max`.
    V2,
}

/// Which versions are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
    /// Both; each controller belongs to one of them.
    Hybrid,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::V1 => "v1",
            Mode::V2 => "v2",
            Mode::Hybrid => "hybrid",
        })
    }
}

/// The hierarchy that owns a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its version.
    pub version: Version,
    /// Which versions this host has mounted.
    pub mode: Mode,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The number in `/proc/cgroups`; 0 for version 2.
    pub hierarchy_id: u32,
    /// The cgroup at the mount's root.
    pub root_id: CgroupId,
    /// On version 1, where `cpuset` is mounted.
    pub cpuset_mount: Option<PathBuf>,
}

impl Hierarchy {
    /// Whether only a sub-tree is visible, as inside a container's cgroup namespace. Everything
    /// outside then has an id and no path.
    pub fn is_namespaced(&self) -> bool {
        self.root_id != HIERARCHY_ROOT
    }

    /// The folder of this process's own cgroup; `None` where it is not to be seen below the mount.
    pub fn own_folder(&self) -> Result<Option<PathBuf>, read::Error> {
        let text = read::text(Path::new("/proc/self/cgroup"))?;
        let path = own_path(&text, self.hierarchy_id).unwrap_or("/");
        let folder = self.mount.join(path.trim_start_matches('/'));
        let processes = read::text(&folder.join("cgroup.procs")).unwrap_or_default();
        let own = std::process::id().to_string();
        let is_here = processes.lines().any(|line| line == own);
        Ok(is_here.then_some(folder))
    }
}

/// `number:controllers:path` of a hierarchy.
fn own_path(text: &str, hierarchy: u32) -> Option<&str> {
    text.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        let (_, path) = rest.split_once(':')?;
        (number.parse() == Ok(hierarchy)).then_some(path)
    })
}

/// Why there is no tree to scan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of `/proc` cannot be read.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// The mount's root cannot be looked at.
    #[error("cannot look at the cgroup mount {}: {source}", .path.display())]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no such controller.
    #[error(
        "this kernel has no {controller} controller ({}, or cgroup_disable={})",
        .controller.option(), .controller.v1()
    )]
    NoController {
        /// Which.
        controller: Controller,
    },
    /// Version 1 owns it, and that hierarchy is not mounted.
    #[error(
        "the {controller} controller belongs to cgroup v1 hierarchy {id}, which is not mounted \
         here: mount it (mount -t cgroup -o {} none <folder>), or give the container the host's \
         /sys/fs/cgroup", .controller.v1()
    )]
    NotMounted {
        /// Which.
        controller: Controller,
        /// The number in `/proc/cgroups`.
        id: u32,
    },
    /// No hierarchy at all is mounted.
    #[error("no cgroup hierarchy is mounted here: give the container the host's /sys/fs/cgroup")]
    NoMount,
}

/// Finds the hierarchy that owns a controller from the `/proc` mounted at `proc`.
pub fn find(proc: &Path, controller: Controller) -> Result<Hierarchy, Error> {
    let mounts = mounts::parse(&read::bytes(&proc.join("self/mountinfo"))?);
    let of_kind = |kind| mounts.iter().filter(|mount| mount.kind == kind).collect();
    let (v1, v2): (Vec<&Mount>, Vec<&Mount>) = (of_kind("cgroup"), of_kind("cgroup2"));
    let mode = match (v1.is_empty(), v2.is_empty()) {
        (true, true) => return Err(Error::NoMount),
        (true, false) => Mode::V2,
        (false, true) => Mode::V1,
        (false, false) => Mode::Hybrid,
    };
    if owning(&v1, controller.v1()).is_empty() {
        version_2(proc, controller, mode, &v2)
    } else {
        version_1(proc, controller, mode, &v1)
    }
}

fn version_1(
    proc: &Path,
    controller: Controller,
    mode: Mode,
    v1: &[&Mount],
) -> Result<Hierarchy, Error> {
    let (mount, root_id) = widest(&owning(v1, controller.v1()))?;
    let cpuset = widest(&owning(v1, "cpuset")).ok();
    Ok(Hierarchy {
        version: Version::V1,
        mode,
        mount,
        hierarchy_id: v1_number(proc, controller)?.ok_or(Error::NoController { controller })?,
        root_id,
        cpuset_mount: cpuset.map(|(mount, _)| mount),
    })
}

fn version_2(
    proc: &Path,
    controller: Controller,
    mode: Mode,
    v2: &[&Mount],
) -> Result<Hierarchy, Error> {
    let found = widest(v2);
    // A sub-tree need not have been given the controller; then only the numbers tell. They are
    // not asked otherwise: newer kernels list version 1 alone, and log a warning about it.
    if !found
        .as_ref()
        .is_ok_and(|(mount, _)| has(mount, controller))
    {
        match v1_number(proc, controller)? {
            Some(0) => {}
            Some(id) => return Err(Error::NotMounted { controller, id }),
            None => return Err(Error::NoController { controller }),
        }
    }
    let (mount, root_id) = found?;
    Ok(Hierarchy {
        version: Version::V2,
        mode,
        mount,
        hierarchy_id: 0,
        root_id,
        cpuset_mount: None,
    })
}

fn owning<'a>(v1: &[&'a Mount], controller: &str) -> Vec<&'a Mount> {
    v1.iter()
        .copied()
        .filter(|mount| mount.options.iter().any(|option| option == controller))
        .collect()
}

/// Of several mounts of one hierarchy the one that shows all of it: a pod has its own sub-tree
/// mounted besides the host's.
fn widest(mounts: &[&Mount]) -> Result<(PathBuf, CgroupId), Error> {
    let mut first = Err(Error::NoMount);
    for mount in mounts {
        let root = match std::fs::metadata(&mount.point) {
            Ok(metadata) => CgroupId(metadata.ino()),
            Err(source) => {
                let path = mount.point.clone();
                first = first.or(Err(Error::Mount { path, source }));
                continue;
            }
        };
        if root == HIERARCHY_ROOT {
            return Ok((mount.point.clone(), root));
        }
        first = first.or_else(|_| Ok((mount.point.clone(), root)));
    }
    first
}

fn has(mount: &Path, controller: Controller) -> bool {
    read::line(&mount.join("cgroup.controllers"))
        .is_some_and(|line| line.split(' ').any(|name| name == controller.v2()))
}

/// The hierarchy that `/proc/cgroups` gives for a controller: 0 is version 2, or none yet.
fn v1_number(proc: &Path, controller: Controller) -> Result<Option<u32>, Error> {
    let text = read::optional_text(&proc.join("cgroups"))?.unwrap_or_default();
    Ok(text.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let number =
            (fields.next() == Some(controller.v1())).then(|| fields.next()?.parse().ok())??;
        (fields.nth(1) == Some("1")).then_some(number)
    }))
}

#[cfg(test)]
#[path = "hierarchy_tests.rs"]
mod tests;
