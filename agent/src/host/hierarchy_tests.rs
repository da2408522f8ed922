//! Fake mounts in a temporary folder, and this machine's own.

use std::{fmt::Write as _, fs};

use super::*;

struct Host(tempfile::TempDir);

impl Host {
    /// Mounts as `(folder, type, options)`; `cgroups` is the line of `cpu` in `/proc/cgroups`.
    fn new(mounts: &[(&str, &str, &str)], cgroups: &str) -> Host {
        let host = Host(tempfile::tempdir().unwrap());
        let mut mountinfo = String::new();
        for (folder, kind, options) in mounts {
            let point = host.0.path().join(folder);
            fs::create_dir_all(&point).unwrap();
            let point = point.display();
            writeln!(mountinfo, "1 2 0:3 / {point} rw - {kind} none {options}").unwrap();
        }
        fs::create_dir_all(host.0.path().join("proc/self")).unwrap();
        fs::write(host.0.path().join("proc/self/mountinfo"), mountinfo).unwrap();
        fs::write(
            host.0.path().join("proc/cgroups"),
            format!("#subsys_name\n{cgroups}\n"),
        )
        .unwrap();
        host
    }

    fn controllers(self, folder: &str, controllers: &str) -> Host {
        fs::write(
            self.0.path().join(folder).join("cgroup.controllers"),
            controllers,
        )
        .unwrap();
        self
    }

    fn find(&self) -> Result<Hierarchy, Error> {
        find(&self.0.path().join("proc"), Controller::Cpu)
    }
}

#[test]
fn version_2() {
    let host = Host::new(&[("c", "cgroup2", "rw")], "").controllers("c", "cpuset cpu io\n");
    let found = host.find().unwrap();
    assert_eq!((found.version, found.mode), (Version::V2, Mode::V2));
    assert_eq!(found.hierarchy_id, 0);
    assert!(found.mount.ends_with("c"));
}

#[test]
fn version_1_with_shared_mount() {
    let mounts = [
        ("ca", "cgroup", "rw,cpu,cpuacct"),
        ("cs", "cgroup", "rw,cpuset"),
    ];
    let found = Host::new(&mounts, "cpu\t4\t1\t1").find().unwrap();
    assert_eq!((found.version, found.mode), (Version::V1, Mode::V1));
    assert_eq!(found.hierarchy_id, 4);
    assert!(found.mount.ends_with("ca"));
    assert!(found.cpuset_mount.unwrap().ends_with("cs"));
}

#[test]
fn hybrid_with_empty_version_2() {
    let mounts = [
        ("u", "cgroup2", "rw"),
        ("c", "cgroup", "rw,cpu"),
        ("s", "cgroup", "rw,name=systemd"),
    ];
    let found = Host::new(&mounts, "cpu 1 1 1")
        .controllers("u", "")
        .find()
        .unwrap();
    assert_eq!((found.version, found.mode), (Version::V1, Mode::Hybrid));
    assert_eq!(found.cpuset_mount, None);
}

#[test]
fn version_2_owns_cpu_beside_a_version_1_leftover() {
    let mounts = [("u", "cgroup2", "rw"), ("n", "cgroup", "rw,net_cls")];
    let found = Host::new(&mounts, "")
        .controllers("u", "cpu memory")
        .find()
        .unwrap();
    assert_eq!((found.version, found.mode), (Version::V2, Mode::Hybrid));
}

#[test]
fn sub_tree_without_the_controller_still_works() {
    let host = Host::new(&[("c", "cgroup2", "rw")], "cpu 0 40 1").controllers("c", "memory pids");
    let found = host.find().unwrap();
    assert_eq!(found.version, Version::V2);
    assert!(found.is_namespaced());
}

#[test]
fn errors_say_what_to_do() {
    let bare = Host::new(&[], "cpu 0 1 1").find().unwrap_err().to_string();
    assert!(bare.contains("/sys/fs/cgroup"), "{bare}");
    let v1 = [("c", "cgroup", "rw,memory")];
    let elsewhere = Host::new(&v1, "cpu 3 1 1").find().unwrap_err().to_string();
    assert!(
        elsewhere.contains("hierarchy 3") && elsewhere.contains("mount"),
        "{elsewhere}"
    );
    let v2 = [("c", "cgroup2", "rw")];
    let hidden = Host::new(&v2, "cpu 3 1 1").find().unwrap_err();
    assert!(
        matches!(hidden, Error::NotMounted { id: 3, .. }),
        "{hidden}"
    );
    let disabled = Host::new(&v2, "cpu 0 1 0").find().unwrap_err();
    assert!(matches!(disabled, Error::NoController { .. }), "{disabled}");
}

#[test]
fn this_machine() {
    let found = find(Path::new("/proc"), Controller::Cpu).unwrap();
    assert_eq!(found.version == Version::V2, found.hierarchy_id == 0);
    let inode = fs::metadata(&found.mount).unwrap().ino();
    assert_eq!(found.root_id, CgroupId(inode));
}

#[test]
fn its_own_cgroup_is_that_of_the_hierarchy() {
    let text = "4:cpu,cpuacct:/batch\n1:name=systemd:/init\n0::/a:b\n";
    assert_eq!(own_path(text, 4), Some("/batch"));
    assert_eq!(own_path(text, 0), Some("/a:b"));
    assert_eq!(own_path(text, 9), None);
}
