//! What a kubelet leaves of pods and containers: cgroups, and names in log folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::rc::Rc;

use crate::cgroup::Cgroup;

const LOGS: &str = "/var/log";

/// A pod; clones share it. Once the last of them and of its containers is gone, so are its folders.
#[derive(Clone, Debug)]
pub struct Pod(Rc<Kept>);

#[derive(Debug)]
struct Kept {
    cgroup: Cgroup,
    namespace: String,
    name: String,
    logs: PathBuf,
}

/// A container of a pod. Dropped, its folders go.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Where its processes are.
    pub cgroup: Cgroup,
    link: PathBuf,
    _pod: Pod,
}

impl Pod {
    /// A pod below such a cgroup as a kubelet has, with a number of its own in this process, and the names of its namespace
    /// and itself.
    pub fn new(kubepods: &Cgroup, number: u32, [namespace, name]: [&str; 2]) -> Self {
        let uid = format!("{:08x}-0000-4000-8000-{number:012x}", process::id());
        let cgroup = kubepods.child(&format!("pod{uid}")).expect("a cgroup");
        let logs = Path::new(LOGS).join(format!("pods/{namespace}_{name}_{uid}"));
        Self(Rc::new(Kept {
            cgroup,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            logs,
        }))
    }

    /// A container of it, with a number of its own in this process.
    pub fn container(&self, number: u32, name: &str) -> Container {
        let Kept {
            cgroup,
            namespace,
            name: pod,
            logs,
        } = &*self.0;
        let id = format!("{:032x}{number:032x}", process::id());
        let cgroup = cgroup.child(&id).expect("a cgroup");
        fs::create_dir_all(logs.join(name)).expect("a log folder");
        let links = Path::new(LOGS).join("containers");
        fs::create_dir_all(&links).expect("a log folder");
        let link = links.join(format!("{pod}_{namespace}_{name}-{id}.log"));
        symlink(logs.join(name).join("0.log"), &link).expect("a link");
        Container {
            id,
            cgroup,
            link,
            _pod: self.clone(),
        }
    }
}

impl Container {
    /// The only container of a pod.
    pub fn new(kubepods: &Cgroup, number: u32, [namespace, pod, name]: [&str; 3]) -> Self {
        Pod::new(kubepods, number, [namespace, pod]).container(number, name)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.logs);
        remove_if_empty("pods");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.link);
        remove_if_empty("containers");
    }
}

/// Only where nobody else has logs.
fn remove_if_empty(folder: &str) {
    let _ = fs::remove_dir(Path::new(LOGS).join(folder));
}
