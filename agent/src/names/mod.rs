//! Names of pods and containers: where they are told, and how they are put together.
//!
//! Knows nothing of BPF and of cgroups: names are joined by ids of containers and uids of pods.
//! Every source is optional, and one that fails is counted and takes nothing from the others.
//! What no source tells stays `None`; it is never guessed. Sources that could do more than tell
//! names, such as sockets of container runtimes, are left alone.

mod docker;
mod facts;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod kubelet;
mod logs;
mod managed;
mod objects;
mod podman;
mod pods_api;
mod proto;
mod quantity;
mod resolver;
mod service;
mod source;
#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

pub use docker::Docker;
pub use facts::{Container, Facts, Pod, Workload};
pub use health::capability;
pub use kubelet::{Kubelet, KubeletAccess};
pub use logs::LogFolders;
pub use podman::Podman;
pub use pods_api::PodsApi;
pub use resolver::{Names, Resolver, SourceHealth, SourceState};
pub use service::{Service, service};
pub use source::{Error, Source};

/// For the names of those that came last; a source that takes longer is not waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// What a host may have, in this order; the kubelet is asked over the network where access to it is
/// given.
fn sources(root: &Path, kubelet: Option<KubeletAccess>) -> Vec<Box<dyn Source>> {
    let at = |path: &str| root.join(path);
    let mut sources: Vec<Box<dyn Source>> = vec![
        Box::new(PodsApi::new(&at("var/lib/kubelet/pods-api/pods-api.sock"))),
        Box::new(LogFolders::new(&at("var/log"))),
    ];
    if let Some(access) = kubelet {
        sources.push(Box::new(Kubelet::new(access)));
    }
    sources.push(Box::new(Docker::new(&at("var/lib/docker"))));
    sources.push(Box::new(Podman::new(&at("var/lib/containers/storage"))));
    sources
}
