//! Hand-made intervals for tests.

pub(crate) mod disk;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    time::{Duration, SystemTime},
};

use agent_ebpf::{bucket::of_ns, cause::Cause, owner::KernelFamily};

use crate::{
    model::{Identity, Kind, Labels, Model},
    sample::{
        Abilities, Account, Bandwidth, Blame, Cgroup, CgroupId, CpuTime, Health, HostCounters,
        Party, Quota, Sample, StealSource, ThrottleSource, WaitInProgress, disk::Disk,
    },
};

/// The root cgroup.
pub(crate) const ROOT: u64 = 1;

/// Two samples in the making. Times are seconds.
pub(crate) struct Scene {
    pub(crate) before: Sample,
    pub(crate) after: Sample,
}

impl Scene {
    /// A host whose CPUs were idle for 10 s.
    pub(crate) fn new(cpus: usize) -> Scene {
        let before = empty(cpus);
        let mut after = before.clone();
        after.monotonic += Duration::from_secs(10);
        after.wall += Duration::from_secs(10);
        after.health.seen = 20_000;
        after.health.accounted = 20_000;
        for cpu in after.cpus.iter_mut().flatten() {
            cpu.idle_ns += 10_000_000_000;
        }
        let mut scene = Scene { before, after };
        scene.cgroup(ROOT, "/");
        scene
    }

    /// A cgroup of default weight; its parent must be there already.
    pub(crate) fn cgroup(&mut self, id: u64, path: impl AsRef<[u8]>) -> Party {
        let path = OsString::from_vec(path.as_ref().to_vec());
        let root = id == ROOT;
        let cgroup = Cgroup {
            parent: (!root).then(|| self.parent(&path)),
            path: path.into(),
            weight: (!root).then_some(1024),
            quota: (!root).then_some(Quota::Unlimited),
            cpuset: None,
            bandwidth: None,
        };
        self.before.cgroups.insert(CgroupId(id), cgroup.clone());
        self.after.cgroups.insert(CgroupId(id), cgroup);
        Party::Cgroup(CgroupId(id))
    }

    pub(crate) fn quota(&mut self, id: u64, cpus: f64) {
        let cgroup = self.after.cgroups.get_mut(&CgroupId(id)).unwrap();
        cgroup.quota = Some(Quota::Cpus(cpus));
        cgroup.bandwidth = Some(Bandwidth {
            periods: 100,
            throttled_periods: 80,
            throttled_ns: 6_000_000_000,
        });
        let before = self.before.cgroups.get_mut(&CgroupId(id)).unwrap();
        before.bandwidth = Some(Bandwidth::default());
    }

    /// Ran on CPU 0 and on, 10 s each.
    pub(crate) fn ran(&mut self, party: Party, seconds: f64) {
        self.account(party).run_ns += ns(seconds);
        let mut left = ns(seconds);
        for cpu in self.after.cpus.iter_mut().flatten() {
            let part = left.min(cpu.idle_ns);
            cpu.idle_ns -= part;
            cpu.run_ns += part;
            left -= part;
        }
    }

    /// Waited, in waits of one length.
    pub(crate) fn waited(&mut self, party: Party, cause: Cause, seconds: f64, each: f64) {
        let account = self.account(party);
        let waits = (seconds / each).round() as u64;
        account.wait_ns[cause as usize] += ns(seconds);
        account.waits += waits;
        account.switches_involuntary += waits;
        let histogram = if cause == Cause::Throttled {
            &mut account.throttled
        } else {
            &mut account.delay
        };
        histogram.change()[of_ns(ns(each))] += waits;
    }

    /// Waited while another ran.
    pub(crate) fn waited_for(&mut self, victim: Party, culprit: Party, seconds: f64, each: f64) {
        let cause = match culprit {
            Party::Kernel(_) => Cause::Kernel,
            Party::Cgroup(_) | Party::Other => Cause::Neighbor,
        };
        self.waited(victim, cause, seconds, each);
        let grown = ((victim, culprit), ns(seconds));
        self.after.blame.add(&mut [grown]);
    }

    pub(crate) fn waiting(&mut self, party: Party, seconds: f64) {
        let waiting = self.after.waiting.get_or_insert_default();
        waiting.push(WaitInProgress {
            party,
            tid: 4242,
            waited: Duration::from_secs_f64(seconds),
        });
    }

    pub(crate) fn account(&mut self, party: Party) -> &mut Account {
        self.after.accounts.entry(party).or_default()
    }

    pub(crate) fn model(&self) -> Model {
        Model::new(&self.before, &self.after, &identify)
    }

    fn parent(&self, path: &OsStr) -> CgroupId {
        let bytes = path.as_bytes();
        let end = bytes.iter().rposition(|byte| *byte == b'/').unwrap();
        let parent = OsStr::from_bytes(if end == 0 { b"/" } else { &bytes[..end] });
        let (id, _) = self
            .after
            .cgroups
            .iter()
            .find(|(_, cgroup)| *cgroup.path == *parent)
            .unwrap();
        *id
    }
}

/// Services end at `.service`, containers at `.scope`; all else is itself.
pub(crate) fn identify(path: &OsStr) -> Identity {
    let text = crate::model::identity::path_text(path);
    if text == "/" {
        return Identity {
            kind: Kind::Host,
            name: "host".into(),
            boundary: path.into(),
            labels: Labels::default(),
        };
    }
    let bytes = path.as_bytes();
    for (suffix, kind) in [(".service", Kind::Service), (".scope", Kind::Container)] {
        let found = bytes
            .windows(suffix.len())
            .position(|part| part == suffix.as_bytes());
        if let Some(at) = found {
            let boundary = OsStr::from_bytes(&bytes[..at + suffix.len()]);
            return named(kind, boundary);
        }
    }
    named(Kind::Cgroup, path)
}

/// A family of kernel threads.
pub(crate) fn kernel(family: KernelFamily) -> Party {
    Party::Kernel(family)
}

fn named(kind: Kind, boundary: &OsStr) -> Identity {
    let text = crate::model::identity::path_text(boundary);
    let name = text.rsplit('/').next().unwrap_or_default();
    Identity {
        kind,
        name: name.into(),
        boundary: boundary.into(),
        labels: Labels::default(),
    }
}

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn empty(cpus: usize) -> Sample {
    Sample {
        monotonic: Duration::from_secs(1_000),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000),
        abilities: Abilities {
            steal: Some(StealSource::Exact),
            irq: true,
            throttle: Some(ThrottleSource::SelfTime),
        },
        cpus: vec![Some(CpuTime::default()); cpus],
        accounts: BTreeMap::new(),
        blame: Blame::default(),
        cgroups: BTreeMap::new(),
        waiting: Some(Vec::new()),
        host: HostCounters::default(),
        disk: Some(Disk {
            recursive: true,
            ..Disk::default()
        }),
        health: Health {
            kernel_run_delay_ns: None,
            ..Health::default()
        },
    }
}
