//! A kubelet's Pods API of our own, on a Unix socket.

use std::{collections::BTreeMap, os::unix::net::UnixListener, path::Path, thread, time::Duration};

use prost::Message as _;
use tonic::{Request, Response, Status, transport::Server};

use super::files::{HASH, ID, OTHER, UID};
use crate::names::{
    Error, Facts, PodsApi, Source, objects,
    proto::{
        core,
        pods::{
            ListPodsRequest, ListPodsResponse,
            pods_server::{Pods, PodsServer},
        },
    },
};

const INIT: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const BEFORE: &str = "2222222222222222222222222222222222222222222222222222222222222222";

struct Kubelet(Result<Vec<Vec<u8>>, Status>);

#[tonic::async_trait]
impl Pods for Kubelet {
    async fn list_pods(
        &self,
        _: Request<ListPodsRequest>,
    ) -> Result<Response<ListPodsResponse>, Status> {
        let pods = self.0.clone()?;
        Ok(Response::new(ListPodsResponse { pods }))
    }
}

/// Serves until the test ends.
fn serve(socket: &Path, answer: Result<Vec<Vec<u8>>, Status>) {
    let listener = UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
            let server = Server::builder().add_service(PodsServer::new(Kubelet(answer)));
            server.serve_with_incoming(incoming).await.unwrap();
        });
    });
}

fn asked(answer: Result<Vec<Vec<u8>>, Status>) -> Result<Facts, Error> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("pods-api.sock");
    serve(&socket, answer);
    PodsApi::new(&socket).read()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn owner(kind: &str, name: &str) -> core::OwnerReference {
    core::OwnerReference {
        kind: kind.into(),
        name: name.into(),
        controller: true,
    }
}

fn container(name: &str, cpu: Option<&str>) -> core::Container {
    let requests = cpu.map(|cpu| ("cpu".to_owned(), core::Quantity { string: cpu.into() }));
    core::Container {
        name: name.into(),
        resources: Some(core::ResourceRequirements {
            requests: requests.into_iter().collect(),
        }),
    }
}

fn status(name: &str, id: &str, before: Option<&str>) -> core::ContainerStatus {
    core::ContainerStatus {
        name: name.into(),
        container_id: id.into(),
        last_state: before.map(|id| core::ContainerState {
            terminated: Some(core::ContainerStateTerminated {
                container_id: id.into(),
            }),
        }),
    }
}

/// With a native sidecar, which is among the init containers, and one that was started again.
fn checkout() -> core::Pod {
    core::Pod {
        metadata: Some(core::ObjectMeta {
            name: "checkout-7d9f-x2".into(),
            namespace: "shop".into(),
            uid: UID.into(),
            labels: map(&[("pod-template-hash", "7d9f"), ("app", "checkout")]),
            annotations: map(&[
                ("resource.opentelemetry.io/service.name", "checkout-service"),
                ("example.com/secret", "x"),
            ]),
            owner_references: vec![owner("ReplicaSet", "checkout-7d9f")],
        }),
        spec: Some(core::PodSpec {
            containers: vec![container("app", Some("1500m"))],
            init_containers: vec![container("proxy", None)],
        }),
        status: Some(core::PodStatus {
            container_statuses: vec![status(
                "app",
                &format!("containerd://{ID}"),
                Some(&format!("containerd://{BEFORE}")),
            )],
            init_container_statuses: vec![status("proxy", &format!("cri-o://{INIT}"), None)],
            ephemeral_container_statuses: vec![],
        }),
    }
}

/// As the API has it: with a uid of its own, and the hash in annotations.
fn mirror() -> core::Pod {
    core::Pod {
        metadata: Some(core::ObjectMeta {
            name: "etcd-node1".into(),
            namespace: "kube-system".into(),
            uid: "99998888-7777-6666-5555-444433332222".into(),
            annotations: map(&[
                ("kubernetes.io/config.hash", HASH),
                ("kubernetes.io/config.mirror", HASH),
            ]),
            owner_references: vec![owner("Node", "node1")],
            ..core::ObjectMeta::default()
        }),
        spec: None,
        status: Some(core::PodStatus {
            container_statuses: vec![status("etcd", &format!("docker://{OTHER}"), None)],
            ..core::PodStatus::default()
        }),
    }
}

/// As the Pods API tells them.
pub(super) fn some_pods() -> Vec<Vec<u8>> {
    vec![checkout().encode_to_vec(), mirror().encode_to_vec()]
}

#[test]
fn names_owners_labels_and_requests() {
    let pods = some_pods();
    let facts = asked(Ok(pods)).unwrap();
    let pod = &facts.pods[UID];
    assert_eq!(pod.namespace.as_deref(), Some("shop"));
    assert_eq!(pod.name.as_deref(), Some("checkout-7d9f-x2"));
    let workload = pod.workload.as_ref().unwrap();
    assert_eq!(
        (&*workload.kind, &*workload.name),
        ("Deployment", "checkout")
    );
    assert_eq!(pod.labels.as_ref().unwrap()["app"], "checkout");
    assert_eq!(pod.annotations.as_ref().unwrap().len(), 1);
    let shown = |id: &str| {
        let container = &facts.containers[id];
        (container.name.clone().unwrap(), container.cpu_request)
    };
    assert_eq!(shown(ID), ("app".into(), Some(1.5)));
    assert_eq!(shown(BEFORE), ("app".into(), Some(1.5)));
    assert_eq!(shown(INIT), ("proxy".into(), None));
    assert_eq!(shown(OTHER), ("etcd".into(), None));
    let etcd = &facts.pods[HASH];
    assert_eq!(etcd.name.as_deref(), Some("etcd-node1"));
    assert_eq!(etcd.workload.as_ref().unwrap().kind, "Pod");
}

#[test]
fn one_pod_that_cannot_be_read_hides_no_other() {
    let facts = asked(Ok(vec![vec![0xff, 0xff], checkout().encode_to_vec()])).unwrap();
    assert_eq!(facts.pods.len(), 1);
    let none = asked(Ok(vec![vec![0xff, 0xff]]));
    assert!(matches!(none, Err(Error::Failed(_))), "{none:?}");
}

#[test]
fn refusals_and_silence_are_failures() {
    let refused = asked(Err(Status::failed_precondition("starting"))).unwrap_err();
    assert!(refused.to_string().contains("starting"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let absent = PodsApi::new(&socket).read();
    assert!(matches!(absent, Err(Error::Absent)), "{absent:?}");
    // Takes connections, and never answers.
    let listener = UnixListener::bind(&socket).unwrap();
    let mut silent = PodsApi::new(&socket).with_patience(Duration::from_millis(50));
    let silence = silent.read().unwrap_err();
    assert!(silence.to_string().contains("did not answer"), "{silence}");
    drop(listener);
    let gone = PodsApi::new(&socket).read();
    assert!(matches!(gone, Err(Error::Failed(_))), "{gone:?}");
}

#[test]
fn a_tenant_cannot_annotate_itself_into_a_static_pod() {
    let mut pod = checkout();
    let meta = pod.metadata.as_mut().unwrap();
    for key in ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"] {
        meta.annotations.insert(key.into(), HASH.into());
    }
    let facts = objects::facts(&[pod]);
    assert!(facts.pods.contains_key(UID) && !facts.pods.contains_key(HASH));
}

#[test]
fn workloads() {
    let workload = |kind: &str, name: &str, hash: &str| {
        let mut pod = checkout();
        let meta = pod.metadata.as_mut().unwrap();
        meta.owner_references = vec![owner(kind, name)];
        meta.labels = map(&[("pod-template-hash", hash)]);
        let facts = objects::facts(&[pod]);
        let workload = facts.pods[UID].workload.clone().unwrap();
        format!("{} {}", workload.kind, workload.name)
    };
    assert_eq!(workload("ReplicaSet", "web-5c8", "5c8"), "Deployment web");
    assert_eq!(workload("ReplicaSet", "web-5c8", ""), "ReplicaSet web-5c8");
    assert_eq!(
        workload("ReplicaSet", "web-5c8", "other"),
        "ReplicaSet web-5c8"
    );
    assert_eq!(workload("StatefulSet", "db", ""), "StatefulSet db");
    assert_eq!(workload("Job", "backup-29384720", ""), "CronJob backup");
    assert_eq!(workload("Job", "migrate-2", ""), "Job migrate-2");
    assert_eq!(workload("Node", "node1", ""), "Pod checkout-7d9f-x2");
}

proptest::proptest! {
    #[test]
    fn whatever_is_sent_names_are_safe_or_missing(
        cut in 0..400usize,
        changes in proptest::collection::vec((0..400usize, proptest::num::u8::ANY), 0..8),
    ) {
        let mut bytes = checkout().encode_to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut % 40));
        if let Ok(pod) = core::Pod::decode(bytes.as_slice()) {
            let facts = objects::facts(&[pod]);
            let names = facts.pods.values().filter_map(|pod| pod.name.clone());
            let containers = facts.containers.values().filter_map(|it| it.name.clone());
            for name in names.chain(containers) {
                assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
            }
            let requests = facts.containers.values().filter_map(|it| it.cpu_request);
            assert!(requests.into_iter().all(|cpus| cpus.is_finite() && cpus > 0.0));
        }
    }
}
