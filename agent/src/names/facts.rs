//! What sources tell of pods and containers, and how it is put together.

use std::collections::BTreeMap;

/// What is known, by what never changes its meaning: ids of containers and uids of pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// By the uid in cgroup paths, which for a static pod is the hash of its configuration.
    pub pods: BTreeMap<String, Pod>,
    /// By the id in cgroup paths.
    pub containers: BTreeMap<String, Container>,
}

/// What is known of a pod; `None` is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// All of its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Its annotations, those that are used.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Whose part it is; itself where nobody controls it.
    pub workload: Option<Workload>,
}

/// What a pod is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// As Kubernetes writes it: `Deployment`, `StatefulSet`, …, `Pod`.
    pub kind: String,
    /// Its name in the pod's namespace.
    pub name: String,
}

/// What is known of a container; `None` is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name, in a pod that in the pod's specification.
    pub name: Option<String>,
    /// The namespace of its pod.
    pub namespace: Option<String>,
    /// The name of its pod.
    pub pod: Option<String>,
    /// CPUs that it requests; `None` also without a request.
    pub cpu_request: Option<f64>,
}

impl Facts {
    /// Adds what another source tells beyond this.
    pub fn fill(&mut self, other: &Facts) {
        for (uid, pod) in &other.pods {
            self.pods.entry(uid.clone()).or_default().fill(pod);
        }
        for (id, container) in &other.containers {
            let known = self.containers.entry(id.clone()).or_default();
            known.fill(container);
        }
    }
}

impl Pod {
    /// Adds what is known elsewhere.
    pub fn fill(&mut self, other: &Pod) {
        fill(&mut self.namespace, other.namespace.as_ref());
        fill(&mut self.name, other.name.as_ref());
        fill(&mut self.labels, other.labels.as_ref());
        fill(&mut self.annotations, other.annotations.as_ref());
        fill(&mut self.workload, other.workload.as_ref());
    }
}

impl Container {
    pub(super) fn fill(&mut self, other: &Container) {
        fill(&mut self.name, other.name.as_ref());
        fill(&mut self.namespace, other.namespace.as_ref());
        fill(&mut self.pod, other.pod.as_ref());
        fill(&mut self.cpu_request, other.cpu_request.as_ref());
    }
}

fn fill<T: Clone>(known: &mut Option<T>, other: Option<&T>) {
    if known.is_none() {
        *known = other.cloned();
    }
}

/// A name as Kubernetes allows them. Others are nobody's.
pub(super) fn kubernetes_name(text: &str) -> Option<String> {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(allowed);
    is_name.then(|| text.to_owned())
}

/// A name as Docker and podman allow them.
pub(super) fn container_name(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(allowed);
    is_name.then(|| text.to_owned())
}

/// An id as cgroup paths have it.
pub(super) fn container_id(text: &str) -> Option<String> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 64 && text.bytes().all(is_hex)).then(|| text.to_owned())
}

/// A uid as cgroup paths have it.
pub(super) fn pod_uid(text: &str) -> Option<String> {
    let is_part = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
    (matches!(text.len(), 32 | 36) && text.bytes().all(is_part)).then(|| text.to_owned())
}
