//! What is known of an entity beyond its name, and what two of them have to do with each other.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{
    identity::{Key, Kind},
    table::Row,
};

/// What is known of a container or pod; `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    /// Who made the container.
    pub runtime: Option<Cow<'static, str>>,
    /// The container's id.
    pub container_id: Option<String>,
    /// The pod's uid; of a static pod the hash of its configuration.
    pub pod_uid: Option<String>,
    /// The pod's class: `guaranteed`, `burstable` or `besteffort`.
    pub qos: Option<Cow<'static, str>>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: Option<String>,
    /// The container's name.
    pub container: Option<String>,
    /// What the pod is a part of.
    pub workload: Option<Workload>,
    /// `service.name` of OpenTelemetry.
    pub service_name: Option<String>,
    /// `service.namespace` of OpenTelemetry.
    pub service_namespace: Option<String>,
    /// CPUs that the container requests; `None` also without a request.
    pub cpu_request: Option<f64>,
}

/// What a pod is a part of; itself where nobody controls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// As Kubernetes writes it.
    pub kind: String,
    /// Its name in the namespace.
    pub name: String,
}

/// What a culprit is to a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Another part of the same pod.
    PodMate,
    /// Another pod of the same workload.
    SameWorkload,
    /// A pod of another workload in the same namespace.
    SameNamespace,
    /// None of these.
    Other,
    /// The host's own: services, kernel threads, devices, the root cgroup.
    System,
}

impl Relation {
    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Relation::PodMate => "pod_mate",
            Relation::SameWorkload => "same_workload",
            Relation::SameNamespace => "same_namespace",
            Relation::Other => "other",
            Relation::System => "system",
        }
    }

    /// What `culprit` is to `victim`; `None` while names are missing, and for single cgroups.
    pub fn between(victim: &Row, culprit: &Row) -> Option<Relation> {
        match culprit.kind {
            Kind::Kernel | Kind::Device => return Some(Relation::System),
            Kind::Other => return None,
            _ => {}
        }
        let are_entities = [victim, culprit].map(|row| matches!(row.key, Key::Entity(_)));
        if are_entities != [true, true] {
            return None;
        }
        if matches!(culprit.kind, Kind::Service | Kind::Host) {
            return Some(Relation::System);
        }
        let (victim, culprit) = (&victim.labels, &culprit.labels);
        match (&victim.pod_uid, &culprit.pod_uid) {
            (Some(one), Some(other)) if one == other => Some(Relation::PodMate),
            (Some(_), Some(_)) => between_pods(victim, culprit),
            _ => Some(Relation::Other),
        }
    }
}

fn between_pods(victim: &Labels, culprit: &Labels) -> Option<Relation> {
    if victim.namespace.as_ref()? != culprit.namespace.as_ref()? {
        return Some(Relation::Other);
    }
    if victim.workload.as_ref()? == culprit.workload.as_ref()? {
        return Some(Relation::SameWorkload);
    }
    Some(Relation::SameNamespace)
}
