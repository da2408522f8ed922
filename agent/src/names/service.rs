//! `service.name` and `service.namespace` by the rules of OpenTelemetry for Kubernetes.
//!
//! Their last resorts, the names of the pod and of the container, are left out: a collector does
//! not overwrite a value that is there, and may know better.

use super::facts::{Pod, Workload};

/// What a pod's service is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `service.name`; `None` where only the pod's own name is left.
    pub name: Option<String>,
    /// `service.namespace`.
    pub namespace: Option<String>,
}

const LABELS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];
const WORKLOADS: [&str; 6] = [
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "CronJob",
    "Job",
];

/// The first of annotation, labels and workload that is there.
pub fn service(pod: &Pod) -> Service {
    Service {
        name: annotation(pod, "resource.opentelemetry.io/service.name")
            .or_else(|| LABELS.into_iter().find_map(|label| self::label(pod, label)))
            .or_else(|| pod.workload.as_ref().and_then(of_workload)),
        namespace: annotation(pod, "resource.opentelemetry.io/service.namespace")
            .or_else(|| pod.namespace.clone()),
    }
}

fn annotation(pod: &Pod, key: &str) -> Option<String> {
    let value = pod.annotations.as_ref()?.get(key)?;
    (!value.is_empty()).then(|| value.clone())
}

fn label(pod: &Pod, key: &str) -> Option<String> {
    let value = pod.labels.as_ref()?.get(key)?;
    (!value.is_empty()).then(|| value.clone())
}

fn of_workload(workload: &Workload) -> Option<String> {
    let is_service = WORKLOADS.contains(&workload.kind.as_str());
    is_service.then(|| workload.name.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn pod(kind: &str) -> Pod {
        Pod {
            namespace: Some("shop".into()),
            name: Some("checkout-7d9f-x2".into()),
            workload: Some(Workload {
                kind: kind.into(),
                name: "checkout".into(),
            }),
            labels: Some(map(&[])),
            annotations: Some(map(&[])),
        }
    }

    #[test]
    fn the_first_that_is_there() {
        let mut pod = pod("Deployment");
        let name = |pod: &Pod| service(pod).name.unwrap();
        assert_eq!(name(&pod), "checkout");
        pod.labels = Some(map(&[("app.kubernetes.io/name", "by-name")]));
        assert_eq!(name(&pod), "by-name");
        pod.labels = Some(map(&[
            ("app.kubernetes.io/name", "by-name"),
            ("app.kubernetes.io/instance", "by-instance"),
        ]));
        assert_eq!(name(&pod), "by-instance");
        pod.annotations = Some(map(&[(
            "resource.opentelemetry.io/service.name",
            "annotated",
        )]));
        assert_eq!(name(&pod), "annotated");
        pod.annotations = Some(map(&[("resource.opentelemetry.io/service.name", "")]));
        assert_eq!(name(&pod), "by-instance");
    }

    #[test]
    fn the_name_of_a_pod_is_no_service() {
        assert_eq!(service(&pod("Pod")).name, None);
        assert_eq!(service(&pod("Rollout")).name, None);
        assert_eq!(service(&Pod::default()), Service::default());
    }

    #[test]
    fn the_namespace_is_annotated_or_the_pods() {
        let mut pod = pod("Job");
        assert_eq!(service(&pod).namespace.unwrap(), "shop");
        pod.annotations = Some(map(&[(
            "resource.opentelemetry.io/service.namespace",
            "front",
        )]));
        assert_eq!(service(&pod).namespace.unwrap(), "front");
    }
}
