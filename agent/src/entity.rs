//! Which entity a cgroup belongs to: what the host's paths and the sources of names say, in the
//! model's terms.

use std::ffi::OsStr;

use crate::{
    canary,
    host::identity::{self, EntityPath, entity_of},
    model::{Identity, Kind, Labels, labels::Workload},
    names::{Container, Facts, Pod, service},
};

/// Digits of a container id, as `docker ps` shows them.
const ID_DIGITS: usize = 12;

/// The entity of a cgroup path, as far as the path tells.
pub fn identify(path: &OsStr) -> Identity {
    identify_with(&Facts::default(), path)
}

/// The entity of a cgroup path, with the names that are known.
pub fn identify_with(facts: &Facts, path: &OsStr) -> Identity {
    identity(entity_of(canary::without(path)), facts)
}

fn identity(entity: EntityPath, facts: &Facts) -> Identity {
    let labels = labels(&entity, facts);
    Identity {
        kind: kind(entity.kind),
        name: name(&labels, entity.kind).unwrap_or(entity.name),
        boundary: entity.boundary,
        labels,
    }
}

fn labels(entity: &EntityPath, facts: &Facts) -> Labels {
    let id = entity.container_id.as_ref();
    let container = id.and_then(|id| facts.containers.get(id));
    let container = container.cloned().unwrap_or_default();
    let uid = entity.pod_uid.as_ref();
    let mut pod = uid.and_then(|uid| facts.pods.get(uid)).cloned();
    // Without a uid in its path it is nobody's pod, whatever its maker calls it.
    if uid.is_some() {
        pod.get_or_insert_default().fill(&Pod {
            namespace: container.namespace.clone(),
            name: container.pod.clone(),
            ..Pod::default()
        });
    }
    let pod = pod.unwrap_or_default();
    let Container {
        name, cpu_request, ..
    } = container;
    let service = service(&pod);
    Labels {
        runtime: entity.runtime.map(|runtime| runtime.name().into()),
        container_id: entity.container_id.clone(),
        pod_uid: entity.pod_uid.clone(),
        qos: entity.qos.map(|qos| qos.name().into()),
        service_name: service.name,
        service_namespace: service.namespace,
        namespace: pod.namespace,
        pod: pod.name,
        container: name,
        workload: pod.workload.map(|workload| Workload {
            kind: workload.kind,
            name: workload.name,
        }),
        cpu_request,
    }
}

/// `namespace/pod/container`, `namespace/pod`, or the name of a container without a pod. A
/// container whose name is not known goes by the first digits of its id.
fn name(labels: &Labels, kind: identity::Kind) -> Option<String> {
    let digits = labels.container_id.as_ref();
    let digits = digits.and_then(|id| id.get(..ID_DIGITS)).map(str::to_owned);
    let container = labels.container.clone();
    match kind {
        identity::Kind::Container if labels.pod_uid.is_some() => {
            let (namespace, pod) = (labels.namespace.as_ref()?, labels.pod.as_ref()?);
            Some(format!("{namespace}/{pod}/{}", container.or(digits)?))
        }
        identity::Kind::Container => container,
        identity::Kind::Pod => {
            let (namespace, pod) = (labels.namespace.as_ref()?, labels.pod.as_ref()?);
            Some(format!("{namespace}/{pod}"))
        }
        _ => None,
    }
}

fn kind(kind: identity::Kind) -> Kind {
    match kind {
        identity::Kind::Container => Kind::Container,
        identity::Kind::Pod => Kind::Pod,
        identity::Kind::Service => Kind::Service,
        identity::Kind::Session => Kind::Session,
        identity::Kind::Cgroup => Kind::Cgroup,
        identity::Kind::Host => Kind::Host,
        identity::Kind::Kernel => Kind::Kernel,
        identity::Kind::Other => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "11112222-3333-4444-5555-666677778888";

    #[test]
    fn names_are_the_same_on_both_sides() {
        for path in ["/", "/a", "/a.service/b", "/user.slice/user-1.slice"] {
            let path = OsStr::new(path);
            let (here, there) = (identify(path), entity_of(path));
            assert_eq!(here.kind.name(), there.kind.to_string());
        }
    }

    fn container(namespace: Option<&str>, name: Option<&str>) -> Container {
        Container {
            name: name.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            pod: namespace.map(|_| "checkout-x2".into()),
            cpu_request: None,
        }
    }

    fn facts(container: Option<Container>, pod: Option<&str>) -> Facts {
        let pod = pod.map(|name| Pod {
            namespace: Some("shop".into()),
            name: Some(name.into()),
            ..Pod::default()
        });
        Facts {
            containers: container.map(|it| (ID.into(), it)).into_iter().collect(),
            pods: pod.map(|it| (UID.into(), it)).into_iter().collect(),
        }
    }

    #[test]
    fn as_much_of_a_name_as_is_known() {
        let in_pod = format!("/kubepods/burstable/pod{UID}/{ID}/inner");
        let alone = format!("/system.slice/docker-{ID}.scope");
        let pod = format!("/kubepods/burstable/pod{UID}");
        let app = || Some(container(Some("shop"), Some("app")));
        for (path, facts, expected) in [
            (&in_pod, facts(app(), None), "shop/checkout-x2/app"),
            (
                &in_pod,
                facts(None, Some("checkout-x2")),
                "shop/checkout-x2/0123456789ab",
            ),
            (
                &in_pod,
                facts(None, None),
                "container 0123456789ab (pod 11112222)",
            ),
            (&pod, facts(app(), None), "pod 11112222"),
            (&pod, facts(app(), Some("checkout-x2")), "shop/checkout-x2"),
            (
                &alone,
                facts(Some(container(None, Some("web"))), None),
                "web",
            ),
            (&alone, facts(None, None), "container 0123456789ab"),
            (&alone, facts(app(), None), "app"),
        ] {
            let identity = identify_with(&facts, OsStr::new(path));
            assert_eq!(identity.name, expected, "{path}");
        }
        let labels = identify_with(&facts(app(), None), OsStr::new(&in_pod)).labels;
        assert_eq!(labels.namespace.as_deref(), Some("shop"));
        assert_eq!(labels.service_namespace.as_deref(), Some("shop"));
        assert_eq!(
            (labels.service_name, labels.qos.as_deref()),
            (None, Some("burstable"))
        );
    }

    #[test]
    fn a_container_outside_of_pods_cannot_pose_as_one_of_them() {
        let path = format!("/system.slice/docker-{ID}.scope");
        let facts = facts(Some(container(Some("shop"), Some("app"))), None);
        let labels = identify_with(&facts, OsStr::new(&path)).labels;
        assert_eq!((labels.namespace, labels.pod), (None, None));
    }
}
