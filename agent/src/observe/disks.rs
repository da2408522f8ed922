//! Block I/O: what the program accounted, with the names of cgroups and devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    host::{
        cgroups::Cgroups,
        disks,
        hierarchy::{self, Controller, Hierarchy, Version},
        io_figures, read,
        text::display_path,
    },
    kernel::{
        block::{BlockReader, BlockReading},
        programs::Programs,
    },
    sample::{
        CgroupId,
        disk::{Device, DeviceId, Disk, DiskCgroup, DiskOwner, IoFigures, Stream, Timing},
    },
};

/// The kernel's own figures are read for so many cgroups at most: one costs some 30 µs.
const MOST_FIGURES: usize = 256;
/// Names of devices are believed for so long.
const NAMES_LAST: Duration = Duration::from_secs(10);

/// The hierarchy that owns `io`.
#[derive(Debug)]
enum Owners {
    /// The one that owns `cpu`.
    Same(Version),
    /// Another one (version 1, hybrid).
    Own(Box<Cgroups>, Hierarchy),
    /// It cannot be seen here: owners have no names.
    Hidden(hierarchy::Error),
}

impl Owners {
    fn version(&self) -> Option<Version> {
        match self {
            Owners::Same(version) => Some(*version),
            Owners::Own(_, hierarchy) => Some(hierarchy.version),
            Owners::Hidden(_) => None,
        }
    }

    fn tree<'a>(&'a self, cpu: &'a Cgroups) -> Option<&'a Cgroups> {
        match self {
            Owners::Same(_) => Some(cpu),
            Owners::Own(own, _) => Some(own),
            Owners::Hidden(_) => None,
        }
    }
}

/// All that a sample tells of block I/O.
#[derive(Debug)]
pub(super) struct Disks {
    proc: PathBuf,
    sys: PathBuf,
    reader: BlockReader,
    owners: Owners,
    /// Cgroups that were there before the programs.
    first: BTreeSet<CgroupId>,
    devices: BTreeMap<DeviceId, disks::Disk>,
    /// Those of the last sample: they keep their names while they are told of.
    told: BTreeSet<DeviceId>,
    named_at: Option<Duration>,
    /// Requests at the last sample.
    last: BTreeMap<CgroupId, u64>,
    is_first: bool,
}

impl Disks {
    pub(super) fn new(
        proc: &Path,
        sys: &Path,
        cpu: &Hierarchy,
        cgroups: &Cgroups,
        reader: BlockReader,
    ) -> Disks {
        let mut disks = Disks {
            proc: proc.to_owned(),
            sys: sys.to_owned(),
            reader,
            owners: owners(proc, cpu),
            first: BTreeSet::new(),
            devices: BTreeMap::new(),
            told: BTreeSet::new(),
            named_at: None,
            last: BTreeMap::new(),
            is_first: true,
        };
        if let Owners::Own(own, _) = &mut disks.owners
            && let Err(error) = own.scan(crate::kernel::monotonic())
        {
            tracing::warn!("cgroups of block I/O cannot be scanned: {error}");
        }
        disks.first = disks
            .owners
            .tree(cgroups)
            .map(Cgroups::ids)
            .unwrap_or_default();
        disks
    }

    /// Where owners are told from, and what is wrong with it.
    pub(super) fn hierarchy(&self) -> Result<Option<&Hierarchy>, &hierarchy::Error> {
        match &self.owners {
            Owners::Same(_) => Ok(None),
            Owners::Own(_, hierarchy) => Ok(Some(hierarchy)),
            Owners::Hidden(error) => Err(error),
        }
    }

    /// Between samples.
    pub(super) fn keep_up(&mut self, programs: &mut Programs, cgroups: &Cgroups, now: Duration) {
        self.reader.keep_up();
        self.note_issues(programs);
        self.refresh(cgroups, now);
    }

    pub(super) fn sample(
        &mut self,
        programs: &mut Programs,
        cgroups: &Cgroups,
        now: Duration,
    ) -> Disk {
        let in_flight = places(&self.proc, &self.sys).in_flight();
        let mut in_flight = in_flight.unwrap_or_else(|error| {
            tracing::warn!("requests in flight are not known: {error}");
            BTreeMap::new()
        });
        let mut reading = self.reader.read();
        reading.health.recursion_misses = programs.block_misses();
        self.note_issues(programs);
        self.told = reading.devices.keys().copied().collect();
        self.refresh(cgroups, now);
        let cgroups = self.cgroups(&reading, cgroups);
        let devices = reading.devices.iter();
        let devices = devices
            .map(|(id, timing)| (*id, self.device(*id, *timing)))
            .collect();
        let is_off = |disk: &disks::Disk| disk.iostats == Some(false);
        in_flight.retain(|id, _| !self.devices.get(id).is_some_and(is_off));
        Disk {
            devices,
            in_flight,
            recursive: self.owners.version() == Some(Version::V2),
            cgroups,
            accounts: reading.accounts,
            waits: reading.waits,
            health: reading.health,
        }
    }

    /// How times are known, for each device that is there.
    pub(super) fn timings(&mut self) -> Vec<(String, Option<Timing>)> {
        let seen = self.reader.read().devices;
        let all = disks::all(&self.sys)
            .into_iter()
            .chain(seen.keys().copied());
        let all: BTreeSet<DeviceId> = all.collect();
        let timing = |id: DeviceId| {
            let disk = places(&self.proc, &self.sys).read(id);
            let is_off = disk
                .as_ref()
                .is_some_and(|disk| disk.iostats == Some(false));
            let seen = seen.get(&id).copied();
            let timing = seen.or(is_off.then_some(Timing::Nothing));
            (
                disk.map_or_else(|| id.to_string(), |disk| disk.name),
                timing,
            )
        };
        all.into_iter().map(timing).collect()
    }

    /// Cgroups with processes whose I/O counts for one above them, because the controller is not
    /// enabled for them.
    pub(super) fn unaccounted(&self, cpu: &Cgroups) -> Vec<String> {
        let own = match &self.owners {
            Owners::Own(own, _) => Some(own.paths()),
            Owners::Same(_) | Owners::Hidden(_) => None,
        };
        let lacking = cpu.ids().into_iter().filter_map(|id| {
            let (path, folder) = (cpu.path(id)?, cpu.folder(id)?);
            let has_processes = read::line(&folder.join("cgroup.procs")).is_some();
            let has_account = match (&own, &self.owners) {
                (Some(paths), _) => paths.contains(path),
                (None, Owners::Same(Version::V2)) => has_io_files(&folder),
                (None, _) => true,
            };
            (has_processes && !has_account).then(|| display_path(path))
        });
        lacking.collect()
    }

    fn note_issues(&self, programs: &mut Programs) {
        if self.reader.wants_issues() && programs.note_issues() {
            self.reader.issues_are_noted();
        }
    }

    /// Looks for names of what turned up, and for what is gone.
    fn refresh(&mut self, cpu: &Cgroups, now: Duration) {
        if let Owners::Own(own, _) = &mut self.owners
            && let Err(error) = own.refresh(self.reader.cgroups(), now)
        {
            tracing::warn!("cgroups of block I/O cannot be scanned: {error}");
        }
        let is_fresh = |at| now.saturating_sub(at) < NAMES_LAST;
        if self.named_at.is_some_and(is_fresh) {
            return;
        }
        self.named_at = Some(now);
        let places = places(&self.proc, &self.sys);
        self.devices.retain(|id, disk| match places.read(*id) {
            Some(now) => {
                *disk = now;
                true
            }
            None => self.told.contains(id),
        });
        let tree = self.owners.tree(cpu);
        self.reader.scanned(
            |id| tree.is_none_or(|tree| tree.exists(id)),
            |id| places.exists(id),
        );
    }

    fn device(&mut self, id: DeviceId, timing: Timing) -> Device {
        if !self.devices.contains_key(&id)
            && let Some(disk) = places(&self.proc, &self.sys).read(id)
        {
            self.devices.insert(id, disk);
        }
        let disk = self.devices.get(&id);
        Device {
            name: disk.map_or_else(|| id.to_string(), |disk| disk.name.clone()),
            label: disk.and_then(|disk| disk.label.clone()),
            stacked: disk.is_some_and(|disk| disk.stacked),
            timing,
        }
    }

    /// Owners of all accounts, and those above them.
    fn cgroups(&mut self, reading: &BlockReading, cpu: &Cgroups) -> BTreeMap<CgroupId, DiskCgroup> {
        let (requests, is_first) = (requests(reading), self.is_first);
        self.is_first = false;
        let last = std::mem::replace(&mut self.last, requests);
        let (Some(tree), Some(version)) = (self.owners.tree(cpu), self.owners.version()) else {
            return BTreeMap::new();
        };
        let active = self
            .last
            .iter()
            .filter(|(id, requests)| last.get(id) != Some(*requests));
        let active: BTreeSet<CgroupId> = active.map(|(id, _)| *id).take(MOST_FIGURES).collect();
        let mut wanted = tree.with_ancestors(self.last.keys().chain(last.keys()).copied());
        let mut read = tree.with_ancestors(active);
        if is_first {
            // What they have done so far is what they are measured from.
            wanted = tree.ids();
            read = wanted.iter().copied().take(Cgroups::MOST).collect();
        }
        let cgroup = |id: CgroupId| {
            let figures = read
                .contains(&id)
                .then(|| figures(tree, version, id))
                .flatten();
            Some(DiskCgroup {
                path: tree.shared_path(id)?,
                parent: tree.parent(id),
                figures,
                is_new: !self.first.contains(&id),
            })
        };
        wanted
            .into_iter()
            .filter_map(|id| Some((id, cgroup(id)?)))
            .collect()
    }
}

/// The root of the tree has no type, and owns what nobody else does.
fn has_io_files(folder: &Path) -> bool {
    folder.join("io.stat").exists() || !folder.join("cgroup.type").exists()
}

fn figures(tree: &Cgroups, version: Version, id: CgroupId) -> Option<IoFigures> {
    tree.exists(id)
        .then(|| tree.folder(id))
        .flatten()
        .map(|folder| io_figures::read(version, &folder))
}

fn requests(reading: &BlockReading) -> BTreeMap<CgroupId, u64> {
    let mut requests = BTreeMap::new();
    for (Stream { owner, .. }, account) in &reading.accounts {
        if let DiskOwner::Cgroup(id) = owner {
            *requests.entry(*id).or_default() += account.requests;
        }
    }
    requests
}

fn owners(proc: &Path, cpu: &Hierarchy) -> Owners {
    match hierarchy::find(proc, Controller::Io) {
        Ok(io) if io.mount == cpu.mount => Owners::Same(io.version),
        Ok(io) => Owners::Own(Box::new(Cgroups::new(&io)), io),
        Err(error) => Owners::Hidden(error),
    }
}

fn places<'a>(proc: &'a Path, sys: &'a Path) -> disks::Places<'a> {
    disks::Places { proc, sys }
}
