//! From objects of Kubernetes to facts.

use std::collections::BTreeMap;

use super::{
    facts::{Container, Facts, Pod, Workload, container_id, kubernetes_name, pod_uid},
    proto::core,
    quantity,
};

/// Annotations of a static pod: on the kubelet's own object, and on its mirror in the API.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// The name of a ReplicaSet of a Deployment ends with it.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotations that are used, beside those.
const OPENTELEMETRY: &str = "resource.opentelemetry.io/";

/// What pods tell; nothing of one without names.
pub(super) fn facts(pods: &[core::Pod]) -> Facts {
    let mut facts = Facts::default();
    for pod in pods {
        let _ = add(&mut facts, pod);
    }
    facts
}

fn add(facts: &mut Facts, object: &core::Pod) -> Option<()> {
    let meta = object.metadata.as_ref()?;
    let namespace = kubernetes_name(&meta.namespace)?;
    let name = kubernetes_name(&meta.name)?;
    let requests = requests(object.spec.as_ref());
    for (container, id) in ids(object.status.as_ref()) {
        let container = Container {
            cpu_request: requests.get(container).copied(),
            name: kubernetes_name(container),
            namespace: Some(namespace.clone()),
            pod: Some(name.clone()),
        };
        facts.containers.insert(id, container);
    }
    let annotations = meta.annotations.iter();
    let annotations = annotations.filter(|(key, _)| key.starts_with(OPENTELEMETRY));
    let pod = Pod {
        workload: Some(workload(meta)),
        namespace: Some(namespace),
        name: Some(name),
        labels: Some(meta.labels.clone()),
        annotations: Some(annotations.map(|(k, v)| (k.clone(), v.clone())).collect()),
    };
    facts.pods.insert(uid(meta)?, pod);
    Some(())
}

/// As cgroup paths have it. Whoever creates pods may annotate them as they like; only the kubelet
/// makes mirrors, which belong to its node.
fn uid(meta: &core::ObjectMeta) -> Option<String> {
    let hash = meta.annotations.get(CONFIG_HASH);
    let is_mirror = hash.is_some() && meta.annotations.get(CONFIG_MIRROR) == hash;
    let of_node = meta
        .owner_references
        .iter()
        .any(|owner| owner.kind == "Node");
    match hash.filter(|hash| is_mirror && of_node && hash.len() == 32) {
        Some(hash) => pod_uid(hash),
        None => pod_uid(&meta.uid),
    }
}

fn requests(spec: Option<&core::PodSpec>) -> BTreeMap<&str, f64> {
    let containers = spec
        .into_iter()
        .flat_map(|spec| spec.containers.iter().chain(&spec.init_containers));
    let request = |container: &core::Container| {
        let cpu = container.resources.as_ref()?.requests.get("cpu")?;
        quantity::cpus(&cpu.string)
    };
    containers
        .filter_map(|container| Some((container.name.as_str(), request(container)?)))
        .collect()
}

/// Of containers of every kind that run or ran last. Ids are `containerd://…`.
fn ids(status: Option<&core::PodStatus>) -> Vec<(&str, String)> {
    let Some(status) = status else {
        return Vec::new();
    };
    let kinds = [
        &status.container_statuses,
        &status.init_container_statuses,
        &status.ephemeral_container_statuses,
    ];
    let mut ids = Vec::new();
    for status in kinds.into_iter().flatten() {
        let last = status
            .last_state
            .as_ref()
            .and_then(|last| last.terminated.as_ref());
        let last = last.map(|last| last.container_id.as_str());
        for id in [Some(status.container_id.as_str()), last]
            .into_iter()
            .flatten()
        {
            let bare = id.rsplit_once("://").map_or(id, |(_, bare)| bare);
            ids.extend(container_id(bare).map(|id| (status.name.as_str(), id)));
        }
    }
    ids
}

/// A Deployment's ReplicaSets and a CronJob's Jobs are named by rules of their controllers.
fn workload(meta: &core::ObjectMeta) -> Workload {
    let controller = meta.owner_references.iter().find(|owner| owner.controller);
    let Some(owner) = controller.filter(|owner| owner.kind != "Node") else {
        return Workload {
            kind: "Pod".into(),
            name: meta.name.clone(),
        };
    };
    let above = match owner.kind.as_str() {
        "ReplicaSet" => deployment(meta, &owner.name).map(|name| ("Deployment", name)),
        "Job" => cron_job(&owner.name).map(|name| ("CronJob", name)),
        _ => None,
    };
    let (kind, name) = above.unwrap_or((&owner.kind, &owner.name));
    Workload {
        kind: kind.into(),
        name: name.into(),
    }
}

fn deployment<'a>(meta: &core::ObjectMeta, replica_set: &'a str) -> Option<&'a str> {
    let hash = meta
        .labels
        .get(TEMPLATE_HASH)
        .filter(|hash| !hash.is_empty())?;
    replica_set.strip_suffix(hash.as_str())?.strip_suffix('-')
}

/// `<cron job>-<scheduled minute since 1970>`.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute = minute.len() == 8 && minute.bytes().all(|byte| byte.is_ascii_digit());
    (is_minute && !name.is_empty()).then_some(name)
}
