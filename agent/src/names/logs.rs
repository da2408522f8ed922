//! Names of the log folders that the kubelet makes: `pods/<namespace>_<pod>_<uid>/` and
//! `containers/<pod>_<namespace>_<container>-<id>.log`. Names of Kubernetes have no `_`.

use std::path::{Path, PathBuf};

use super::{
    facts::{Container, Facts, Pod, container_id, kubernetes_name, pod_uid},
    source::{Error, Source, names_in},
};

/// The log folders below `/var/log`.
pub struct LogFolders {
    folder: PathBuf,
}

impl LogFolders {
    /// `folder` is `/var/log` on a host.
    pub fn new(folder: &Path) -> LogFolders {
        LogFolders {
            folder: folder.to_owned(),
        }
    }
}

impl Source for LogFolders {
    fn name(&self) -> &'static str {
        "log_folders"
    }

    fn read(&mut self) -> Result<Facts, Error> {
        let pods = names_in(&self.folder.join("pods"));
        let containers = names_in(&self.folder.join("containers"));
        let (pods, containers) = match (pods, containers) {
            (Err(Error::Absent), Err(Error::Absent)) => return Err(Error::Absent),
            (Err(error @ Error::Failed(_)), _) | (_, Err(error @ Error::Failed(_))) => {
                return Err(error);
            }
            (pods, containers) => (pods.unwrap_or_default(), containers.unwrap_or_default()),
        };
        Ok(Facts {
            pods: pods.iter().filter_map(|name| pod(name)).collect(),
            containers: containers
                .iter()
                .filter_map(|name| container(name))
                .collect(),
        })
    }
}

fn pod(folder: &str) -> Option<(String, Pod)> {
    let [namespace, name, uid] = parts(folder)?;
    let pod = Pod {
        namespace: Some(kubernetes_name(namespace)?),
        name: Some(kubernetes_name(name)?),
        ..Pod::default()
    };
    Some((pod_uid(uid)?, pod))
}

fn container(link: &str) -> Option<(String, Container)> {
    let [pod, namespace, rest] = parts(link.strip_suffix(".log")?)?;
    let (name, id) = rest.rsplit_once('-')?;
    let container = Container {
        name: Some(kubernetes_name(name)?),
        namespace: Some(kubernetes_name(namespace)?),
        pod: Some(kubernetes_name(pod)?),
        ..Container::default()
    };
    Some((container_id(id)?, container))
}

fn parts(name: &str) -> Option<[&str; 3]> {
    let mut parts = name.split('_');
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}
