//! What rows are called: the path, the key and the entity of whoever did something.
//!
//! The hierarchy that owns `io` may be another than that of `cpu`, with ids of its own: there the
//! two views of one cgroup have its path in common.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use crate::{
    host::text::display_path,
    model::{
        identity::{Identity, Key, Kind, kernel_name, path_text},
        labels::Labels,
    },
    sample::{
        Cgroup, CgroupId, Party, Sample,
        disk::{Disk, DiskCgroup, DiskOwner},
    },
};

/// Whoever did something: of the CPUs, or of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Party(Party),
    Owner(DiskOwner),
}

/// Paths and entities of cgroups.
pub(super) struct Names<'a> {
    before: &'a BTreeMap<CgroupId, Cgroup>,
    after: &'a BTreeMap<CgroupId, Cgroup>,
    /// Of the hierarchy that owns `io`.
    disk: Vec<&'a BTreeMap<CgroupId, DiskCgroup>>,
    ids: BTreeMap<&'a OsStr, CgroupId>,
    identify: &'a dyn Fn(&OsStr) -> Identity,
}

/// What a row is called.
pub(super) struct Name {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) for_people: String,
    pub(super) path: OsString,
    pub(super) cgroup: Option<CgroupId>,
    pub(super) labels: Labels,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        before: &'a Sample,
        after: &'a Sample,
        identify: &'a dyn Fn(&OsStr) -> Identity,
    ) -> Names<'a> {
        let gone = before.cgroups.iter();
        let gone = gone.filter(|(id, _)| !after.cgroups.contains_key(id));
        let known = gone.chain(&after.cgroups);
        let disks = [&after.disk, &before.disk].into_iter().flatten();
        Names {
            before: &before.cgroups,
            after: &after.cgroups,
            disk: disks.map(|disk: &Disk| &disk.cgroups).collect(),
            ids: known.map(|(id, c)| (&*c.path, *id)).collect(),
            identify,
        }
    }

    /// Somebody in a sentence, which may reach a terminal.
    pub(super) fn label(&self, member: Member) -> String {
        display_path(&self.of_member(member).path)
    }

    /// The entity that somebody belongs to.
    pub(super) fn entity_of(&self, member: Member) -> Name {
        let path = match member {
            Member::Party(Party::Cgroup(id)) => self.path(id),
            Member::Owner(DiskOwner::Cgroup(id)) => self.disk_path(id),
            Member::Party(_) | Member::Owner(_) => None,
        };
        let Some(path) = path else {
            return self.of_member(member);
        };
        let identity = (self.identify)(path);
        Name {
            kind: identity.kind,
            for_people: identity.name,
            cgroup: self.ids.get(identity.boundary.as_os_str()).copied(),
            key: Key::Entity(identity.boundary.clone()),
            path: identity.boundary,
            labels: identity.labels,
        }
    }

    /// Somebody's own name.
    pub(super) fn of_member(&self, member: Member) -> Name {
        let (key, kind, path, cgroup) = match member {
            Member::Party(Party::Cgroup(id)) => return self.of_cgroup(id),
            Member::Party(Party::Kernel(family)) => {
                let path = kernel_name(family).into();
                (Key::Kernel(family), Kind::Kernel, path, None)
            }
            Member::Party(Party::Other) | Member::Owner(DiskOwner::Other) => {
                (Key::Other, Kind::Other, "other".into(), None)
            }
            Member::Owner(DiskOwner::Device) => (Key::Device, Kind::Device, "device".into(), None),
            Member::Owner(DiskOwner::Cgroup(id)) => {
                if let Some(id) = self.joined(id) {
                    return self.of_cgroup(id);
                }
                let path = or_id(self.disk_path(id), "io cgroup", id);
                (Key::Path(path.clone()), Kind::Cgroup, path, None)
            }
        };
        Name {
            key,
            kind,
            for_people: path_text(&path),
            path,
            cgroup,
            labels: Labels::default(),
        }
    }

    fn of_cgroup(&self, id: CgroupId) -> Name {
        let path = or_id(self.path(id), "cgroup", id);
        Name {
            key: Key::Cgroup(id),
            kind: Kind::Cgroup,
            for_people: path_text(&path),
            path,
            cgroup: Some(id),
            labels: Labels::default(),
        }
    }

    /// The CPU's cgroup of the same path.
    fn joined(&self, disk: CgroupId) -> Option<CgroupId> {
        let path = self.disk_path(disk)?;
        // In one hierarchy a dead cgroup and its successor may share a path.
        let is_same = self.path(disk) == Some(path);
        let by_path = || self.ids.get(path).copied();
        is_same.then_some(disk).or_else(by_path)
    }

    /// The last known path.
    fn path(&self, id: CgroupId) -> Option<&'a OsStr> {
        let cgroup = self.after.get(&id).or_else(|| self.before.get(&id))?;
        Some(&cgroup.path)
    }

    /// The last known path in the hierarchy that owns `io`.
    fn disk_path(&self, id: CgroupId) -> Option<&'a OsStr> {
        let cgroup = self.disk.iter().find_map(|cgroups| cgroups.get(&id))?;
        Some(&cgroup.path)
    }
}

fn or_id(path: Option<&OsStr>, reserved: &str, id: CgroupId) -> OsString {
    path.map_or_else(|| format!("{reserved} {id}").into(), OsStr::to_os_string)
}
