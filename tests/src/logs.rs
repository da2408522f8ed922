//! The log folders that a kubelet makes, whose names tell the names of pods and containers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const LOGS: &str = "/var/log";

/// The folder of a pod. Dropped, it goes.
#[derive(Debug)]
pub(crate) struct PodLogs {
    namespace: String,
    pod: String,
    folder: PathBuf,
}

/// What leads to the log of a container. Dropped, it goes.
#[derive(Debug)]
pub(crate) struct ContainerLog(PathBuf);

impl PodLogs {
    pub(crate) fn new(namespace: &str, pod: &str, uid: &str) -> Self {
        let folder = Path::new(LOGS).join(format!("pods/{namespace}_{pod}_{uid}"));
        fs::create_dir_all(&folder).expect("a log folder");
        Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            folder,
        }
    }

    pub(crate) fn container(&self, name: &str, id: &str) -> ContainerLog {
        let Self {
            namespace,
            pod,
            folder,
        } = self;
        fs::create_dir_all(folder.join(name)).expect("a log folder");
        let links = Path::new(LOGS).join("containers");
        fs::create_dir_all(&links).expect("a log folder");
        let link = links.join(format!("{pod}_{namespace}_{name}-{id}.log"));
        symlink(folder.join(name).join("0.log"), &link).expect("a link");
        ContainerLog(link)
    }
}

impl Drop for PodLogs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        remove_if_empty("pods");
    }
}

impl Drop for ContainerLog {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        remove_if_empty("containers");
    }
}

/// Only where nobody else has logs.
fn remove_if_empty(folder: &str) {
    let _ = fs::remove_dir(Path::new(LOGS).join(folder));
}
