//! Trees in a temporary folder, and this machine's own.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt as _},
    path::Path,
};

use super::*;
use crate::{host::hierarchy::Mode, sample::Quota};

fn hierarchy(mount: &Path, version: Version) -> Hierarchy {
    Hierarchy {
        version,
        mode: Mode::V2,
        mount: mount.to_owned(),
        hierarchy_id: 0,
        root_id: CgroupId(1),
        cpuset_mount: None,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Host {
    folder: tempfile::TempDir,
    cgroups: Cgroups,
    now: Duration,
}

impl Host {
    fn new(version: Version) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::new(&hierarchy(folder.path(), version));
        Host {
            folder,
            cgroups,
            now: seconds(1000),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn make(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    fn scan(&mut self) -> Changes {
        self.now += seconds(1);
        self.cgroups.scan(self.now).unwrap()
    }

    fn id(&self, path: &str) -> CgroupId {
        look_up(&self.cgroups, path).unwrap()
    }

    fn existing(&self) -> Vec<String> {
        let mut paths: Vec<String> = self
            .cgroups
            .tree
            .iter()
            .filter(|(id, _, _)| self.cgroups.tree.existing_path(*id).is_some())
            .map(|(_, path, _)| path.to_str().unwrap().to_owned())
            .collect();
        paths.sort();
        paths
    }
}

fn look_up(cgroups: &Cgroups, path: &str) -> Option<CgroupId> {
    cgroups
        .tree
        .iter()
        .find(|(_, known, _)| ***known == *path)
        .map(|(id, _, _)| id)
}

#[test]
fn finds_the_tree() {
    let mut host = Host::new(Version::V2);
    host.make("a/b/c");
    host.make("d");
    host.write("a/cpu.stat", "");
    assert_eq!(host.scan().added.len(), 5);
    assert_eq!(host.existing(), ["/", "/a", "/a/b", "/a/b/c", "/d"]);
    let sample = host.cgroups.to_sample();
    assert_eq!(sample[&host.id("/a/b")].parent, Some(host.id("/a")));
    assert_eq!(sample[&host.id("/")].parent, None);
    assert_eq!(host.scan(), Changes::default());
}

#[test]
fn notices_what_comes_and_goes() {
    let mut host = Host::new(Version::V2);
    host.make("a/b");
    host.make("c");
    host.scan();
    let b = host.id("/a/b");
    fs::remove_dir(host.at("a/b")).unwrap();
    host.make("a/new");
    let changes = host.scan();
    assert_eq!(host.existing(), ["/", "/a", "/a/new", "/c"]);
    // A temporary folder may give the freed inode to the next folder, which kernfs never does.
    if changes.gone == [b] {
        assert_eq!(host.cgroups.path(b).unwrap(), "/a/b");
    }
    fs::rename(host.at("a/new"), host.at("a/renamed")).unwrap();
    assert_eq!(host.scan(), Changes::default());
    assert_eq!(host.existing(), ["/", "/a", "/a/renamed", "/c"]);
}

#[test]
fn the_gone_are_remembered_for_a_while() {
    let mut host = Host::new(Version::V2);
    host.make("a");
    host.scan();
    let a = host.id("/a");
    fs::remove_dir(host.at("a")).unwrap();
    assert_eq!(host.scan().gone, [a]);
    host.now += seconds(60);
    host.scan();
    assert!(host.cgroups.path(a).is_some());
    host.now += seconds(70);
    host.scan();
    assert_eq!(host.cgroups.path(a), None);
}

#[test]
fn a_short_lived_cgroup_that_someone_else_saw() {
    let mut host = Host::new(Version::V2);
    host.make("a");
    host.scan();
    let short = CgroupId(u64::MAX);
    host.cgroups.remember(short, "/a/short".into(), host.now);
    let sample = host.cgroups.to_sample();
    assert_eq!(sample[&short].parent, Some(host.id("/a")));
    host.cgroups.read_limits([short], host.now);
    assert_eq!(host.scan(), Changes::default());
    host.now += seconds(200);
    host.scan();
    assert_eq!(host.cgroups.path(short), None);
}

#[test]
fn a_cgroup_that_someone_else_saw_and_that_lasts_needs_no_scan() {
    let mut host = Host::new(Version::V2);
    host.scan();
    host.make("a");
    let a = CgroupId(fs::metadata(host.at("a")).unwrap().ino());
    host.cgroups.remember(a, "/a".into(), host.now);
    assert!(host.cgroups.exists(a));
    assert_eq!(host.cgroups.refresh([a], host.now).unwrap(), None);
    assert_eq!(host.scan(), Changes::default());
}

#[test]
fn scans_only_when_someone_new_turns_up() {
    let mut host = Host::new(Version::V2);
    host.make("a");
    let now = host.now;
    assert!(host.cgroups.refresh([], now).unwrap().is_some());
    let a = host.id("/a");
    assert_eq!(host.cgroups.refresh([a], now + seconds(1)).unwrap(), None);
    let hidden = CgroupId(u64::MAX);
    assert!(
        host.cgroups
            .refresh([a, hidden], now + seconds(2))
            .unwrap()
            .is_some()
    );
    assert_eq!(
        host.cgroups
            .refresh([a, hidden], now + seconds(11))
            .unwrap(),
        None
    );
    assert!(
        host.cgroups
            .refresh([a], now + seconds(12))
            .unwrap()
            .is_some()
    );
}

#[test]
fn names_of_any_bytes() {
    let mut host = Host::new(Version::V2);
    let name = OsStr::from_bytes(b"new\nline\xff\\ \x1b");
    let long = "n".repeat(255);
    fs::create_dir_all(host.folder.path().join(name).join(long)).unwrap();
    host.scan();
    assert_eq!(host.cgroups.len(), 3);
    assert!(
        host.cgroups
            .to_sample()
            .values()
            .any(|cgroup| cgroup.path.len() == 2 + name.len() + 255)
    );
}

#[test]
fn limits_only_where_asked_and_not_too_often() {
    let mut host = Host::new(Version::V2);
    host.make("a/b");
    host.make("c");
    host.write("cpuset.cpus.effective", "0-1\n");
    host.write("a/cpu.weight", "200\n");
    host.write("a/cpu.max", "50000 100000\n");
    host.write(
        "a/cpu.stat",
        "nr_periods 1\nnr_throttled 1\nthrottled_usec 5\n",
    );
    host.write("c/cpu.weight", "100\n");
    host.scan();
    let (a, b, c) = (host.id("/a"), host.id("/a/b"), host.id("/c"));
    host.cgroups.read_limits([a, b, CgroupId(0)], host.now);
    let sample = host.cgroups.to_sample();
    assert_eq!(sample[&a].weight, Some(2048));
    assert_eq!(sample[&a].quota, Some(Quota::Cpus(0.5)));
    assert_eq!(sample[&a].bandwidth.unwrap().throttled_ns, 5000);
    assert_eq!((sample[&b].weight, sample[&b].quota), (None, None));
    assert_eq!(sample[&b].cpuset, Some(vec![0, 1]));
    assert_eq!(sample[&c].weight, None);

    host.write("a/cpu.weight", "100\n");
    host.write(
        "a/cpu.stat",
        "nr_periods 2\nnr_throttled 1\nthrottled_usec 5\n",
    );
    host.cgroups.read_limits([a], host.now + seconds(9));
    let sample = host.cgroups.to_sample();
    assert_eq!(
        (sample[&a].weight, sample[&a].bandwidth.unwrap().periods),
        (Some(2048), 2)
    );
    host.cgroups.read_limits([a], host.now + seconds(10));
    assert_eq!(host.cgroups.to_sample()[&a].weight, Some(1024));
}

#[test]
fn version_1_has_its_cpuset_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (cpu, cpuset) = (folder.path().join("cpu"), folder.path().join("cpuset"));
    fs::create_dir_all(cpu.join("a/b")).unwrap();
    fs::create_dir_all(cpuset.join("a")).unwrap();
    fs::write(cpuset.join("a/cpuset.effective_cpus"), "1\n").unwrap();
    fs::write(cpu.join("a/cpu.shares"), "512\n").unwrap();
    let mut hierarchy = hierarchy(&cpu, Version::V1);
    hierarchy.cpuset_mount = Some(cpuset);
    let mut cgroups = Cgroups::new(&hierarchy);
    cgroups.scan(seconds(0)).unwrap();
    let (a, b) = (
        look_up(&cgroups, "/a").unwrap(),
        look_up(&cgroups, "/a/b").unwrap(),
    );
    cgroups.read_limits([a, b], seconds(0));
    let sample = cgroups.to_sample();
    assert_eq!(
        (sample[&a].weight, sample[&a].cpuset.clone()),
        (Some(512), Some(vec![1]))
    );
    assert_eq!(sample[&b].cpuset, None);
}

#[test]
fn a_missing_root_is_an_error() {
    let mut cgroups = Cgroups::new(&hierarchy(Path::new("/nowhere/cgroup"), Version::V2));
    assert!(
        cgroups
            .scan(seconds(0))
            .unwrap_err()
            .to_string()
            .contains("/nowhere/cgroup")
    );
}

#[test]
fn this_machine() {
    let hierarchy =
        crate::host::hierarchy::find(Path::new("/proc"), crate::host::hierarchy::Controller::Cpu)
            .unwrap();
    let mut cgroups = Cgroups::new(&hierarchy);
    cgroups.scan(seconds(0)).unwrap();
    cgroups.read_limits([hierarchy.root_id], seconds(0));
    assert_eq!(cgroups.path(hierarchy.root_id).unwrap(), "/");
    assert_eq!(cgroups.folder(hierarchy.root_id).unwrap(), hierarchy.mount);
}
