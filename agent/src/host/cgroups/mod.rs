//! The cgroups of the hierarchy that owns `cpu`: which exist, and for those that matter, their
//! limits and counters.
//!
//! Three depths, because a host has thousands of cgroups and an interval has a handful of actors:
//! [`Cgroups::refresh`] costs nothing while nobody new turns up, [`Cgroups::scan`] one `stat` a
//! cgroup (5 µs), [`Cgroups::read_limits`] some twenty system calls a cgroup (40 µs) and is for a
//! chosen few. A cgroup that disappears meanwhile is no error.

mod limits;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use self::{limits::Settings, tree::Tree};
use super::hierarchy::{Hierarchy, Version};
use crate::sample::{Bandwidth, Cgroup, CgroupId};

/// How long settings are believed. People change them by hand or with a deployment.
const SETTINGS_LAST: Duration = Duration::from_secs(10);
/// How long a tree is believed while no unknown cgroup turns up.
const SCAN_LASTS: Duration = Duration::from_secs(10);
/// How long a cgroup is remembered after it went: the last waits of its tasks still need a name.
const REMEMBERED: Duration = Duration::from_mins(2);

/// Why there was no scan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The root of the tree cannot be looked at.
    #[error("cannot look at the cgroup root {}: {source}", .path.display())]
    Root {
        /// The mount point.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What a scan found to have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Not there at the last scan.
    pub added: Vec<CgroupId>,
    /// There at the last scan, and no more.
    pub gone: Vec<CgroupId>,
    /// Folders whose contents could not be listed; what is below them has no path.
    pub unreadable: usize,
    /// Folders beyond the limit of [`Cgroups::MOST`].
    pub skipped: usize,
}

/// All cgroups that exist or did lately.
#[derive(Debug)]
pub struct Cgroups {
    version: Version,
    cpuset_mount: Option<PathBuf>,
    tree: Tree,
    scanned_at: Option<Duration>,
    /// Turned up and were not in the tree: gone already, or outside of what is visible.
    unresolved: BTreeSet<CgroupId>,
    settings: BTreeMap<CgroupId, (Duration, Settings)>,
    bandwidths: BTreeMap<CgroupId, Bandwidth>,
}

impl Cgroups {
    /// No more cgroups than this are remembered, so that a tenant who creates them without end
    /// costs bounded memory and time.
    pub const MOST: usize = tree::MOST;

    /// An empty set; the first [`Cgroups::scan`] fills it.
    pub fn new(hierarchy: &Hierarchy) -> Cgroups {
        Cgroups {
            version: hierarchy.version,
            cpuset_mount: hierarchy.cpuset_mount.clone(),
            tree: Tree::new(hierarchy.mount.clone()),
            scanned_at: None,
            unresolved: BTreeSet::new(),
            settings: BTreeMap::new(),
            bandwidths: BTreeMap::new(),
        }
    }

    /// Scans if one of the cgroups that turned up is unknown, or the last scan is ten seconds old.
    /// A cgroup that no scan finds does not ask for another one.
    pub fn refresh(
        &mut self,
        turned_up: impl IntoIterator<Item = CgroupId>,
        now: Duration,
    ) -> Result<Option<Changes>, Error> {
        let is_unknown = |id: &CgroupId| !self.tree.contains(*id) && !self.unresolved.contains(id);
        let unknown: Vec<CgroupId> = turned_up.into_iter().filter(is_unknown).collect();
        let is_fresh = |at: Duration| now.saturating_sub(at) < SCAN_LASTS;
        if unknown.is_empty() && self.scanned_at.is_some_and(is_fresh) {
            return Ok(None);
        }
        let changes = self.scan(now)?;
        if self.unresolved.len() > Cgroups::MOST {
            self.unresolved.clear();
        }
        let unresolved = unknown.into_iter().filter(|id| !self.tree.contains(*id));
        self.unresolved.extend(unresolved);
        Ok(Some(changes))
    }

    /// Looks which cgroups exist. `now` is a monotonic clock.
    pub fn scan(&mut self, now: Duration) -> Result<Changes, Error> {
        let changes = self.tree.scan(now)?;
        self.scanned_at = Some(now);
        self.tree.forget(now.saturating_sub(REMEMBERED));
        self.settings.retain(|id, _| self.tree.contains(*id));
        self.bandwidths.retain(|id, _| self.tree.contains(*id));
        Ok(changes)
    }

    /// Remembers a cgroup that someone else saw and that may be gone before the next scan.
    pub fn remember(&mut self, id: CgroupId, path: OsString, now: Duration) {
        self.tree.remember(id, path, now);
    }

    /// Reads limits and counters of these cgroups; limits read less than ten seconds ago are kept.
    pub fn read_limits(&mut self, ids: impl IntoIterator<Item = CgroupId>, now: Duration) {
        for id in ids {
            self.read_limits_of(id, now);
        }
    }

    /// Whether limits of it were read, however long ago.
    pub fn has_limits(&self, id: CgroupId) -> bool {
        self.settings.contains_key(&id)
    }

    /// Whether the last scan found it.
    pub fn exists(&self, id: CgroupId) -> bool {
        self.tree.existing_path(id).is_some()
    }

    /// The cgroup above; `None` for the root and for the unknown.
    pub fn parent(&self, id: CgroupId) -> Option<CgroupId> {
        self.tree.parent(id)
    }

    /// These and all above them: limits of a cgroup hold for those below it.
    pub fn with_ancestors(&self, ids: impl IntoIterator<Item = CgroupId>) -> BTreeSet<CgroupId> {
        let mut all = BTreeSet::new();
        for id in ids {
            let mut next = Some(id);
            while let Some(id) = next.filter(|id| all.insert(*id)) {
                next = self.parent(id);
            }
        }
        all
    }

    /// All that exist.
    pub fn ids(&self) -> BTreeSet<CgroupId> {
        let ids = self.tree.iter().map(|(id, ..)| id);
        ids.filter(|id| self.exists(*id)).collect()
    }

    /// Paths of all that exist.
    pub fn paths(&self) -> BTreeSet<&OsStr> {
        let all = self.tree.iter().filter(|(id, ..)| self.exists(*id));
        all.map(|(_, path, _)| &**path).collect()
    }

    /// The path of a cgroup from the hierarchy's root.
    pub fn path(&self, id: CgroupId) -> Option<&OsStr> {
        self.tree.path(id).map(|path| &**path)
    }

    /// The same, to be kept.
    pub fn shared_path(&self, id: CgroupId) -> Option<Arc<OsStr>> {
        self.tree.path(id).cloned()
    }

    /// The folder of a cgroup, to read other files of it.
    pub fn folder(&self, id: CgroupId) -> Option<PathBuf> {
        Some(self.tree.folder(self.tree.path(id)?))
    }

    /// How many exist or did lately.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there was no scan yet.
    pub fn is_empty(&self) -> bool {
        self.tree.len() == 0
    }

    /// All cgroups for a sample. Limits and counters are `None` where [`Cgroups::read_limits`] was
    /// not asked for them, or the host does not have them.
    pub fn to_sample(&self) -> BTreeMap<CgroupId, Cgroup> {
        self.tree
            .iter()
            .map(|(id, path, parent)| (id, self.cgroup(id, path, parent)))
            .collect()
    }

    fn cgroup(&self, id: CgroupId, path: &Arc<OsStr>, parent: Option<CgroupId>) -> Cgroup {
        let settings = self.settings.get(&id).map(|(_, settings)| settings);
        Cgroup {
            path: Arc::clone(path),
            parent,
            weight: settings.and_then(|settings| settings.weight),
            quota: settings.and_then(|settings| settings.quota),
            cpuset: settings.and_then(|settings| settings.cpuset.clone()),
            bandwidth: self.bandwidths.get(&id).copied(),
        }
    }

    fn read_limits_of(&mut self, id: CgroupId, now: Duration) {
        let Some(path) = self.tree.existing_path(id) else {
            return;
        };
        let folder = self.tree.folder(path);
        let fresh = |read_at: Duration| now.saturating_sub(read_at) < SETTINGS_LAST;
        if !self
            .settings
            .get(&id)
            .is_some_and(|(read_at, _)| fresh(*read_at))
        {
            let mut settings = limits::settings(self.version, &folder);
            settings.cpuset = self.read_cpuset(id);
            self.settings.insert(id, (now, settings));
        }
        let bandwidth = self.settings[&id].1.is_limited().then_some(&folder);
        match bandwidth.and_then(|folder| limits::bandwidth(folder)) {
            Some(bandwidth) => self.bandwidths.insert(id, bandwidth),
            None => self.bandwidths.remove(&id),
        };
    }

    /// On version 1 the cgroup of the same path in the `cpuset` hierarchy, which by convention
    /// holds the same tasks. On version 2 a cgroup without the controller has its ancestor's.
    fn read_cpuset(&self, id: CgroupId) -> Option<Vec<u32>> {
        if self.version == Version::V1 {
            let path = self.tree.path(id)?;
            return limits::cpuset_v1(&tree::folder(self.cpuset_mount.as_ref()?, path));
        }
        let mut next = Some(id);
        while let Some(id) = next {
            let path = self.tree.existing_path(id)?;
            if let Some(cpus) = limits::cpuset_v2(&self.tree.folder(path)) {
                return Some(cpus);
            }
            next = self.tree.parent(id);
        }
        None
    }
}

#[cfg(test)]
#[path = "cgroups_tests.rs"]
mod tests;
