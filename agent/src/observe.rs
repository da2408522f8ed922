//! Observing a host: attaches the kernel programs and takes samples.

mod disks;
mod rows;
mod start;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use thiserror::Error;

use self::disks::Disks;
use crate::{
    capability::Capability,
    confine,
    host::{
        cgroups::Cgroups,
        counters, cpus,
        facts::HostFacts,
        hierarchy::{Hierarchy, Version},
        pressure, read,
    },
    kernel::{self, programs::Programs, reader::Reader, reader::Reading},
    sample::{Abilities, CgroupId, HostCounters, Sample, pressure::Pressures},
};

const PROC: &str = "/proc";
const SYS: &str = "/sys";

/// Limits and counters are read for so many cgroups at most, those that ran and waited longest:
/// one costs some 10 µs, and once in ten seconds 40 µs.
const MOST_LIMITS: usize = 256;
/// Who ran and waited for less than this since the last sample, nanoseconds, had no limit to feel:
/// what is known of its limits is good enough.
const LEAST_FOR_LIMITS: u64 = 1_000_000;

/// With more cgroups than this the pressure of none is read.
const MOST_PRESSURES: usize = 4096;

/// How long `doctor` waits for block requests.
const WATCHED: Duration = Duration::from_secs(1);

/// Why the core does not run, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This process may not load the programs.
    Privilege,
    /// This kernel lacks what the core needs.
    Unsupported,
    /// It should work, and does not.
    Broken,
}

/// Why there is nothing to observe. The message is one sentence that says what failed; the remedy
/// what to do.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct StartError {
    /// What kind of obstacle.
    pub obstacle: Obstacle,
    /// What failed, on which object.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// What was found out until then, the failed part included.
    pub capabilities: Vec<Capability>,
}

/// A reading that failed as a whole.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct SampleError(pub String);

/// Attached kernel programs and what else a sample is read from. Dropped, nothing is left behind.
#[derive(Debug)]
pub struct Observer {
    facts: HostFacts,
    hierarchy: Hierarchy,
    abilities: Abilities,
    capabilities: Vec<Capability>,
    programs: Programs,
    reader: Reader,
    cgroups: Cgroups,
    /// `None` where block I/O is not accounted.
    disks: Option<Disks>,
    /// No sample was taken yet: all cgroups count as active.
    is_first: bool,
}

impl Observer {
    /// Loads and attaches the programs.
    pub fn start() -> Result<Observer, StartError> {
        start::start(Path::new(PROC), Path::new(SYS))
    }

    /// The host.
    pub fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// The cgroup hierarchy that owns `cpu`.
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// A verdict for each part.
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// Whether readings need `CAP_BPF` still; `None` where it cannot be told. Before 5.19 kernels
    /// with `kernel.unprivileged_bpf_disabled` refuse all of `bpf()` without it.
    pub fn needs_bpf(&self) -> Option<bool> {
        let waits = self.programs.waits()?;
        let read = confine::without_any(|| waits.read().map(drop))?;
        Some(read.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
    }

    /// Reads everything that a model is made of. A part that cannot be read is `None` or empty,
    /// and the log says why.
    pub fn sample(&mut self) -> Result<Sample, SampleError> {
        self.note_online()?;
        let (monotonic, wall) = (kernel::monotonic(), SystemTime::now());
        let mut reading = self.reader.read(&self.facts.online);
        reading.health.kernel_run_delay_ns = run_delay();
        reading.health.recursion_misses = self.programs.recursion_misses();
        let waiting = self.waiting();
        let host = counters::read(Path::new(PROC)).unwrap_or_else(|error| {
            tracing::warn!("host counters are missing: {error}");
            HostCounters::default()
        });
        self.note_names(monotonic);
        self.note_limits(&reading, monotonic);
        let (programs, cgroups) = (&mut self.programs, &self.cgroups);
        let disks = self.disks.as_mut();
        let disk = disks.map(|disks| disks.sample(programs, cgroups, monotonic));
        Ok(Sample {
            monotonic,
            wall,
            abilities: self.abilities,
            cpus: reading.cpus,
            accounts: reading.accounts,
            blame: reading.blame,
            cgroups: self.cgroups.to_sample(),
            waiting,
            host,
            health: reading.health,
            disk,
        })
    }

    /// Reads the pressure of the host and of all cgroups: some 20 µs for each. Version 1 of cgroups
    /// has none of them.
    pub fn pressures(&self) -> Pressures {
        let host = pressure::of_host(Path::new(PROC));
        let ids = self.cgroups.ids();
        let is_complete = self.hierarchy.version == Version::V2 && ids.len() <= MOST_PRESSURES;
        let known = ids.into_iter().filter(|_| is_complete);
        let of = |id| Some((id, pressure::of_cgroup(&self.cgroups.folder(id)?)));
        Pressures {
            host,
            cgroups: known.filter_map(of).collect(),
            is_complete,
        }
    }

    /// Between samples: supplies the programs with room for new cgroups, and learns the names of
    /// those that come and go. Wanted once a second.
    pub fn keep_up(&mut self) -> Result<(), SampleError> {
        self.note_online()?;
        self.reader.keep_up(&self.facts.online);
        let now = kernel::monotonic();
        self.note_names(now);
        if let Some(disks) = &mut self.disks {
            disks.keep_up(&mut self.programs, &self.cgroups, now);
        }
        Ok(())
    }

    /// Watches the disks for a second, and adds to the capabilities how their requests are timed:
    /// that shows in the requests themselves.
    pub fn examine(&mut self) {
        self.capabilities.push(rows::confinement(self.needs_bpf()));
        let Some(disks) = &mut self.disks else {
            return;
        };
        for _ in 0..2 {
            std::thread::sleep(WATCHED / 2);
            disks.keep_up(&mut self.programs, &self.cgroups, kernel::monotonic());
        }
        self.capabilities.push(rows::disk_timing(&disks.timings()));
        let unaccounted = disks.unaccounted(&self.cgroups);
        self.capabilities.push(rows::io_accounting(&unaccounted));
    }

    /// The folder of a cgroup that exists, to list its processes.
    pub fn cgroup_folder(&self, id: CgroupId) -> Option<PathBuf> {
        self.cgroups.exists(id).then(|| self.cgroups.folder(id))?
    }

    fn note_online(&mut self) -> Result<(), SampleError> {
        let path = Path::new(SYS).join("devices/system/cpu/online");
        let list = read::text(&path).map_err(|error| SampleError(error.to_string()))?;
        let online = cpus::parse(&list).filter(|online| !online.is_empty());
        self.facts.online = online
            .ok_or_else(|| SampleError(format!("{} holds no list of CPUs", path.display())))?;
        Ok(())
    }

    fn waiting(&self) -> Option<Vec<crate::sample::WaitInProgress>> {
        let waits = self.programs.waits()?.read();
        waits
            .inspect_err(|error| tracing::warn!("waits in progress cannot be listed: {error}"))
            .ok()
    }

    /// Finds limits for those who did something.
    fn note_limits(&mut self, reading: &Reading, now: Duration) {
        let active = if self.is_first {
            self.reader.cgroups().collect()
        } else {
            let cgroups = &self.cgroups;
            most_active(&reading.active, |id| cgroups.has_limits(id))
        };
        self.is_first = false;
        let ids = self.cgroups.with_ancestors(active);
        self.cgroups.read_limits(ids, now);
    }

    /// Finds names for those who turned up.
    fn note_names(&mut self, now: Duration) {
        // Paths are the host's: in a namespace they mean other cgroups.
        let is_namespaced = self.hierarchy.is_namespaced();
        for (id, path) in self.programs.take_made() {
            if !is_namespaced {
                self.cgroups.remember(id, path, now);
            }
        }
        match self.cgroups.refresh(self.reader.cgroups(), now) {
            Ok(Some(_)) => self.reader.scanned(|id| self.cgroups.exists(id)),
            Ok(None) => {}
            Err(error) => tracing::warn!("cgroups cannot be scanned: {error}"),
        }
    }
}

fn most_active(
    active: &BTreeMap<CgroupId, u64>,
    has_limits: impl Fn(CgroupId) -> bool,
) -> Vec<CgroupId> {
    let mut ids: Vec<(u64, CgroupId)> = active
        .iter()
        .map(|(id, ns)| (*ns, *id))
        .filter(|(ns, id)| *ns >= LEAST_FOR_LIMITS || !has_limits(*id))
        .collect();
    if ids.len() > MOST_LIMITS {
        ids.select_nth_unstable_by(MOST_LIMITS, |one, other| other.cmp(one));
        ids.truncate(MOST_LIMITS);
    }
    ids.into_iter().map(|(_, id)| id).collect()
}

fn run_delay() -> Option<u64> {
    counters::kernel_run_delay_ns(Path::new(PROC))
        .ok()
        .flatten()
}

#[cfg(test)]
#[path = "observe/tests.rs"]
mod tests;
