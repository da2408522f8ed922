//! What a kubelet leaves of pods and containers: cgroups, and names in log folders.

use std::process;
use std::rc::Rc;

use crate::cgroup::Cgroup;
use crate::logs::{ContainerLog, PodLogs};

/// A pod; clones share it. Once the last of them and of its containers is gone, so are its folders.
#[derive(Clone, Debug)]
pub struct Pod {
    cgroup: Cgroup,
    logs: Rc<PodLogs>,
}

/// A container of a pod. Dropped, its folders go.
#[derive(Debug)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Where its processes are.
    pub cgroup: Cgroup,
    _log: ContainerLog,
    _pod: Pod,
}

impl Pod {
    /// A pod below such a cgroup as a kubelet has, with a number of its own in this process, and the names of its namespace
    /// and itself.
    pub fn new(kubepods: &Cgroup, number: u32, [namespace, name]: [&str; 2]) -> Self {
        let uid = format!("{:08x}-0000-4000-8000-{number:012x}", process::id());
        let cgroup = kubepods.child(&format!("pod{uid}")).expect("a cgroup");
        Self {
            cgroup,
            logs: PodLogs::new(namespace, name, &uid).into(),
        }
    }

    /// A container of it, with a number of its own in this process.
    pub fn container(&self, number: u32, name: &str) -> Container {
        let id = format!("{:032x}{number:032x}", process::id());
        Container {
            cgroup: self.cgroup.child(&id).expect("a cgroup"),
            _log: self.logs.container(name, &id),
            _pod: self.clone(),
            id,
        }
    }
}

impl Container {
    /// The only container of a pod.
    pub fn new(kubepods: &Cgroup, number: u32, [namespace, pod, name]: [&str; 3]) -> Self {
        Pod::new(kubepods, number, [namespace, pod]).container(number, name)
    }
}
