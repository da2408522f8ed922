//! The tree of cgroup folders, kept from scan to scan.
//!
//! A folder of kernfs has `2 + sub-folders` links, so a folder need not be listed again while its
//! link count equals its known children and each of those still has its inode: no child can then
//! have come, gone or been replaced. Listing costs more than that, because it goes over all
//! interface files. Elsewhere (`nlink` 1, as on btrfs) every folder is listed.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Changes, Error};
use crate::{host::read, sample::CgroupId};

/// See [`super::Cgroups::MOST`].
pub(super) const MOST: usize = 1 << 15;

/// Links of a folder without sub-folders.
const LEAF: u64 = 2;

#[derive(Debug)]
pub(super) struct Tree {
    mount: PathBuf,
    round: u64,
    known: BTreeMap<CgroupId, Known>,
}

#[derive(Debug)]
struct Known {
    /// Samples share it.
    path: Arc<OsStr>,
    parent: Option<CgroupId>,
    children: Vec<CgroupId>,
    /// The last scan that saw it.
    round: u64,
    /// Since when it is gone.
    gone: Option<Duration>,
}

/// A folder that exists now.
struct Found {
    id: CgroupId,
    links: u64,
    parent: Option<CgroupId>,
    /// `None`: as known.
    path: Option<Arc<OsStr>>,
}

impl Tree {
    pub(super) fn new(mount: PathBuf) -> Tree {
        Tree {
            mount,
            round: 0,
            known: BTreeMap::new(),
        }
    }

    pub(super) fn scan(&mut self, now: Duration) -> Result<Changes, Error> {
        let (id, links) = look(&self.mount).map_err(|source| Error::Root {
            path: self.mount.clone(),
            source,
        })?;
        self.round += 1;
        let mut changes = Changes::default();
        let path = (!self.known.contains_key(&id)).then(|| Arc::from(OsStr::new("/")));
        let mut pending = vec![Found {
            id,
            links,
            parent: None,
            path,
        }];
        let mut room = MOST;
        while let Some(found) = pending.pop() {
            if room == 0 {
                changes.skipped = 1 + pending.len();
                break;
            }
            room -= 1;
            let children = self.visit(found, &mut changes);
            pending.extend(children);
        }
        self.note_gone(now, &mut changes);
        Ok(changes)
    }

    /// Notes a folder that exists and finds its children.
    fn visit(&mut self, found: Found, changes: &mut Changes) -> Vec<Found> {
        let (id, links) = (found.id, found.links);
        self.note(found, changes);
        let children = self.children(id, links).unwrap_or_else(|error| {
            changes.unreadable += usize::from(!read::is_absence(&error));
            Vec::new()
        });
        if let Some(known) = self.known.get_mut(&id) {
            known.children.clear();
            known.children.extend(children.iter().map(|child| child.id));
        }
        children
    }

    /// Drops what was gone at `instant` already.
    pub(super) fn forget(&mut self, instant: Duration) {
        self.known
            .retain(|_, known| known.gone.is_none_or(|gone| gone >= instant));
        if self.known.len() > 2 * MOST {
            self.known.retain(|_, known| known.gone.is_none());
        }
    }

    /// Notes a cgroup that someone else saw at this path; it may be gone already.
    pub(super) fn remember(&mut self, id: CgroupId, path: OsString, now: Duration) {
        let exists = look(&self.folder(&path)).is_ok_and(|(there, _)| there == id);
        let parent = parent_path(&path)
            .and_then(|parent| look(&self.folder(parent)).ok())
            .map(|(id, _)| id)
            .filter(|id| self.contains(*id));
        self.known.entry(id).or_insert_with(|| Known {
            path: path.into(),
            parent,
            children: Vec::new(),
            round: self.round,
            gone: (!exists).then_some(now),
        });
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn contains(&self, id: CgroupId) -> bool {
        self.known.contains_key(&id)
    }

    pub(super) fn path(&self, id: CgroupId) -> Option<&Arc<OsStr>> {
        self.known.get(&id).map(|known| &known.path)
    }

    /// The path, unless the cgroup is gone: a new one may have taken it.
    pub(super) fn existing_path(&self, id: CgroupId) -> Option<&OsStr> {
        let known = self.known.get(&id).filter(|known| known.gone.is_none())?;
        Some(&known.path)
    }

    pub(super) fn parent(&self, id: CgroupId) -> Option<CgroupId> {
        self.known.get(&id)?.parent
    }

    pub(super) fn folder(&self, path: &OsStr) -> PathBuf {
        folder(&self.mount, path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CgroupId, &Arc<OsStr>, Option<CgroupId>)> {
        self.known
            .iter()
            .map(|(id, known)| (*id, &known.path, known.parent))
    }

    fn note(&mut self, found: Found, changes: &mut Changes) {
        let Found {
            id, parent, path, ..
        } = found;
        let round = self.round;
        let known = self.known.entry(id).or_insert_with(|| {
            changes.added.push(id);
            let path = path.clone().unwrap_or_else(|| Arc::from(OsStr::new("")));
            Known {
                path,
                parent,
                children: Vec::new(),
                round,
                gone: None,
            }
        });
        known.round = round;
        known.parent = parent;
        known.gone = None;
        // Version 1 can rename, which keeps the inode.
        if let Some(path) = path {
            known.path = path;
        }
    }

    fn note_gone(&mut self, now: Duration, changes: &mut Changes) {
        let round = self.round;
        let unseen = |known: &Known| known.round != round && known.gone.is_none();
        for (id, known) in self.known.iter_mut().filter(|(_, known)| unseen(known)) {
            known.gone = Some(now);
            changes.gone.push(*id);
        }
    }

    fn children(&self, id: CgroupId, links: u64) -> io::Result<Vec<Found>> {
        if links == LEAF {
            return Ok(Vec::new());
        }
        match self.unchanged_children(id, links) {
            Some(children) => Ok(children),
            None => self.list(id),
        }
    }

    fn unchanged_children(&self, id: CgroupId, links: u64) -> Option<Vec<Found>> {
        let known = self.known.get(&id)?;
        if links != LEAF + known.children.len() as u64 {
            return None;
        }
        known
            .children
            .iter()
            .map(|child| self.unchanged(*child, id))
            .collect()
    }

    fn unchanged(&self, id: CgroupId, parent: CgroupId) -> Option<Found> {
        let known = self.known.get(&id)?;
        let (now, links) = look(&self.folder(&known.path)).ok()?;
        (now == id && known.parent == Some(parent)).then_some(Found {
            id,
            links,
            parent: Some(parent),
            path: None,
        })
    }

    fn list(&self, parent: CgroupId) -> io::Result<Vec<Found>> {
        let Some(path) = self.path(parent) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder(path))? {
            let entry = entry?;
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            // Gone since it was listed.
            let Ok((id, links)) = look(&entry.path()) else {
                continue;
            };
            let path = Some(join(path, &entry.file_name()).into());
            found.push(Found {
                id,
                links,
                parent: Some(parent),
                path,
            });
        }
        Ok(found)
    }
}

/// The folder of the cgroup at `path` in the hierarchy mounted at `mount`.
pub(super) fn folder(mount: &Path, path: &OsStr) -> PathBuf {
    let mut bytes = Vec::with_capacity(mount.as_os_str().len() + path.len());
    bytes.extend_from_slice(mount.as_os_str().as_bytes());
    if path != "/" {
        bytes.extend_from_slice(path.as_bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn join(parent: &OsStr, name: &OsStr) -> OsString {
    let mut path = OsString::with_capacity(parent.len() + 1 + name.len());
    if parent != "/" {
        path.push(parent);
    }
    path.push("/");
    path.push(name);
    path
}

fn parent_path(path: &OsStr) -> Option<&OsStr> {
    let bytes = path.as_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/')?;
    match (slash, bytes.len()) {
        (0, 1) => None,
        (0, _) => Some(OsStr::new("/")),
        _ => Some(OsStr::from_bytes(&bytes[..slash])),
    }
}

fn look(folder: &Path) -> io::Result<(CgroupId, u64)> {
    let metadata = std::fs::symlink_metadata(folder)?;
    Ok((CgroupId(metadata.ino()), metadata.nlink()))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
