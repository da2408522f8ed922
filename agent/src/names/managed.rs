//! Names that the kubelet gives containers of Docker and CRI-O:
//! `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.

use super::facts::{Container, container_name, kubernetes_name};

/// `POD` is the container that holds a pod's namespaces.
pub(super) fn of_kubernetes(name: &str) -> Option<Container> {
    let mut parts = name.strip_prefix("k8s_")?.split('_');
    let container = parts.next()?;
    let pod = parts.next()?;
    let namespace = parts.next()?;
    let _uid = parts.next()?;
    Some(Container {
        name: Some(container_name(container)?),
        namespace: Some(kubernetes_name(namespace)?),
        pod: Some(kubernetes_name(pod)?),
        ..Container::default()
    })
}
