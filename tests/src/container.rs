//! What a kubelet leaves of a container: a cgroup, and names in log folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;

use crate::cgroup::Cgroup;

const LOGS: &str = "/var/log";

/// A container of a pod of its own. Dropped, its folders go.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Where its processes are.
    pub cgroup: Cgroup,
    logs: Vec<PathBuf>,
}

impl Container {
    /// A container below such a cgroup as a kubelet has, with a number of its own in this process, and the names of its
    /// namespace, its pod and itself.
    pub fn new(kubepods: &Cgroup, number: u32, [namespace, pod, name]: [&str; 3]) -> Self {
        let uid = format!("{:08x}-0000-4000-8000-{number:012x}", process::id());
        let id = format!("{:032x}{number:032x}", process::id());
        let folder = kubepods.child(&format!("pod{uid}")).expect("a cgroup");
        let cgroup = folder.child(&id).expect("a cgroup");
        let pods = Path::new(LOGS).join("pods");
        let pod_logs = pods.join(format!("{namespace}_{pod}_{uid}"));
        fs::create_dir_all(pod_logs.join(name)).expect("a log folder");
        let links = Path::new(LOGS).join("containers");
        fs::create_dir_all(&links).expect("a log folder");
        let link = links.join(format!("{pod}_{namespace}_{name}-{id}.log"));
        symlink(pod_logs.join(name).join("0.log"), &link).expect("a link");
        Self {
            id,
            cgroup,
            logs: vec![pod_logs, link],
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for path in &self.logs {
            let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
        for folder in ["containers", "pods"] {
            // Only where nobody else has logs.
            let _ = fs::remove_dir(Path::new(LOGS).join(folder));
        }
    }
}
