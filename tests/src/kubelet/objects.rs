//! Pods as the kubelet tells them: as protobuf over the Pods API, as JSON over HTTP.

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::{Value, json};

use super::Listed;

/// Fields of Kubernetes' `core/v1`, with their numbers.
mod core {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Pod {
        #[prost(message, optional, tag = "1")]
        pub(super) metadata: Option<ObjectMeta>,
        #[prost(message, optional, tag = "2")]
        pub(super) spec: Option<PodSpec>,
        #[prost(message, optional, tag = "3")]
        pub(super) status: Option<PodStatus>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ObjectMeta {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "3")]
        pub(super) namespace: String,
        #[prost(string, tag = "5")]
        pub(super) uid: String,
        #[prost(btree_map = "string, string", tag = "11")]
        pub(super) labels: std::collections::BTreeMap<String, String>,
        #[prost(btree_map = "string, string", tag = "12")]
        pub(super) annotations: std::collections::BTreeMap<String, String>,
        #[prost(message, repeated, tag = "13")]
        pub(super) owners: Vec<OwnerReference>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct OwnerReference {
        #[prost(string, tag = "1")]
        pub(super) kind: String,
        #[prost(string, tag = "3")]
        pub(super) name: String,
        #[prost(bool, optional, tag = "6")]
        pub(super) controller: Option<bool>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PodSpec {
        #[prost(message, repeated, tag = "2")]
        pub(super) containers: Vec<Container>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Container {
        #[prost(string, tag = "1")]
        pub(super) name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct PodStatus {
        #[prost(message, repeated, tag = "8")]
        pub(super) containers: Vec<ContainerStatus>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ContainerStatus {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "8")]
        pub(super) id: String,
    }
}

/// The answer of the Pods API.
#[derive(Clone, PartialEq, prost::Message)]
struct ListPodsResponse {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pods: Vec<Vec<u8>>,
}

const TEMPLATE_HASH: &str = "pod-template-hash";
/// Annotations of what the API has of a static pod.
const MIRROR: [&str; 2] = ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"];

/// The answer of the Pods API.
pub(super) fn protobuf(pods: &[Listed]) -> Vec<u8> {
    let pods = pods.iter().map(|pod| object(pod).encode_to_vec());
    ListPodsResponse {
        pods: pods.collect(),
    }
    .encode_to_vec()
}

/// The answer of `/pods`.
pub(super) fn json(pods: &[Listed]) -> Value {
    let items: Vec<Value> = pods.iter().map(json_object).collect();
    json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items })
}

/// Kind and name.
fn owner(pod: &Listed) -> (&'static str, String) {
    match &pod.deployment {
        Some(deployment) => ("ReplicaSet", format!("{deployment}-{}", pod.hash)),
        None => ("Node", "node-1".to_owned()),
    }
}

fn annotations(pod: &Listed) -> BTreeMap<String, String> {
    let is_mirror = pod.deployment.is_none();
    let keys = MIRROR.into_iter().filter(|_| is_mirror);
    keys.map(|key| (key.to_owned(), pod.uid.clone())).collect()
}

fn container_id(pod: &Listed) -> String {
    format!("{}://{}", pod.scheme, pod.id)
}

fn object(pod: &Listed) -> core::Pod {
    let container = pod.container.clone();
    let (kind, owner) = owner(pod);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    core::Pod {
        metadata: Some(core::ObjectMeta {
            name: pod.name.clone(),
            namespace: pod.namespace.clone(),
            uid: pod.uid_of_api.clone(),
            labels: [pair(TEMPLATE_HASH, &pod.hash)].into(),
            annotations: annotations(pod),
            owners: vec![core::OwnerReference {
                kind: kind.into(),
                name: owner,
                controller: Some(true),
            }],
        }),
        spec: Some(core::PodSpec {
            containers: vec![core::Container {
                name: container.clone(),
            }],
        }),
        status: Some(core::PodStatus {
            containers: vec![core::ContainerStatus {
                name: container,
                id: container_id(pod),
            }],
        }),
    }
}

fn json_object(pod: &Listed) -> Value {
    let (kind, owner) = owner(pod);
    json!({
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid_of_api,
            "labels": { TEMPLATE_HASH: pod.hash },
            "annotations": annotations(pod),
            "ownerReferences": [{
                "apiVersion": "v1", "kind": kind, "name": owner, "uid": "x",
                "controller": true,
            }],
        },
        "spec": { "containers": [{ "name": pod.container, "resources": {} }] },
        "status": { "containerStatuses": [{ "name": pod.container, "containerID": container_id(pod) }] },
    })
}
