//! Attributes of Resources: one Resource for each entity, and one for the agent itself.

use std::collections::BTreeMap;

use crate::model::{Kind, Row, identity::path_text};

/// Attributes of a Resource, in the order of their names.
pub type Resource = BTreeMap<String, String>;

/// Attributes that tell entities apart, as a reader wants them; `docs/agent.md` has the same.
const IDENTIFYING: [&str; 10] = [
    "service.instance.id",
    "service.name",
    "service.namespace",
    "host.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "crosstalk.entity.kind",
    "crosstalk.entity.name",
    "crosstalk.cgroup.path",
];

/// What all Resources of this host have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The name of the host.
    pub name: String,
    /// The id of the host, `/etc/machine-id`; `None` where it has none.
    pub id: Option<String>,
    /// Attributes that somebody set.
    pub given: Resource,
    /// The name of the agent's own service, where somebody set one.
    pub service_name: Option<String>,
}

impl Host {
    /// The Resource of a row, as far as its names are known. Without a workload that names the
    /// service there is no `service.name`: collectors that know better would not overwrite it.
    pub fn entity(&self, row: &Row) -> Resource {
        let mut resource = self.common();
        let mut set = |key: &str, value: String| resource.insert(key.to_owned(), value);
        set("crosstalk.entity.kind", row.kind.name().into());
        set("crosstalk.entity.name", row.name.clone());
        set("crosstalk.cgroup.path", path_text(&row.path));
        let labels = &row.labels;
        let instance = match (&labels.container_id, row.kind) {
            (Some(id), Kind::Container) => id.clone(),
            (_, Kind::Host) => self.instance(),
            _ => format!("{}:{}", self.instance(), row.key_text()),
        };
        set("service.instance.id", instance);
        let is_container = row.kind == Kind::Container;
        let of_container = |value: &Option<String>| value.clone().filter(|_| is_container);
        let is_in_pod = labels.pod_uid.is_some();
        let in_pod = |value: &Option<String>| value.clone().filter(|_| is_in_pod);
        for (key, value) in [
            ("container.id", of_container(&labels.container_id)),
            (
                "container.runtime.name",
                of_container(&labels.runtime.clone().map(Into::into)),
            ),
            (
                "container.name",
                of_container(&labels.container).filter(|_| !is_in_pod),
            ),
            ("k8s.pod.uid", labels.pod_uid.clone()),
            ("k8s.pod.name", in_pod(&labels.pod)),
            ("k8s.namespace.name", in_pod(&labels.namespace)),
            (
                "k8s.container.name",
                in_pod(&of_container(&labels.container)),
            ),
            ("service.name", labels.service_name.clone()),
            ("service.namespace", labels.service_namespace.clone()),
        ] {
            value.map(|value| set(key, value));
        }
        let workload = labels.workload.as_ref();
        let workload = workload.and_then(|it| Some((workload_key(&it.kind)?, it.name.clone())));
        workload.map(|(key, name)| set(key, name));
        resource
    }

    /// The Resource of the host itself, as that of the row that stands for it.
    pub fn itself(&self) -> Resource {
        let mut resource = self.common();
        for (key, value) in [
            ("crosstalk.entity.kind", Kind::Host.name()),
            ("crosstalk.entity.name", "host"),
            ("crosstalk.cgroup.path", "/"),
        ] {
            resource.insert(key.into(), value.into());
        }
        resource.insert("service.instance.id".into(), self.instance());
        resource
    }

    /// The Resource of the agent itself.
    pub fn agent(&self) -> Resource {
        let mut resource = self.common();
        for (key, value) in &self.given {
            resource.insert(key.clone(), value.clone());
        }
        let name = self.service_name.as_deref();
        let named = name.or(self.given.get("service.name").map(String::as_str));
        let name = named.unwrap_or("crosstalk").to_owned();
        resource.insert("service.name".into(), name);
        resource.insert("service.version".into(), env!("CARGO_PKG_VERSION").into());
        resource
            .entry("service.instance.id".into())
            .or_insert_with(|| self.instance());
        resource
    }

    /// What of a Resource says whose it is: attributes that tell entities apart, and those that
    /// somebody set.
    pub fn identity<'a>(&'a self, of: &'a Resource) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of = of.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        of.filter(|(key, _)| IDENTIFYING.contains(key) || self.given.contains_key(*key))
    }

    fn common(&self) -> Resource {
        let mut resource: Resource = BTreeMap::new();
        resource.insert("host.name".into(), self.name.clone());
        if let Some(id) = &self.id {
            resource.insert("host.id".into(), id.clone());
        }
        let given = self.given.iter().filter(|(key, _)| !is_of_agent(key));
        resource.extend(given.map(|(key, value)| (key.clone(), value.clone())));
        resource
    }

    fn instance(&self) -> String {
        self.id.clone().unwrap_or_else(|| self.name.clone())
    }
}

/// The attribute that the OpenTelemetry conventions have for a workload of a kind.
fn workload_key(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Deployment" => "k8s.deployment.name",
        "ReplicaSet" => "k8s.replicaset.name",
        "StatefulSet" => "k8s.statefulset.name",
        "DaemonSet" => "k8s.daemonset.name",
        "Job" => "k8s.job.name",
        "CronJob" => "k8s.cronjob.name",
        _ => return None,
    })
}

/// Set for the agent's own process: of other Resources it would say that all are the agent.
fn is_of_agent(key: &str) -> bool {
    [
        "service.",
        "k8s.pod.",
        "k8s.container.",
        "container.",
        "process.",
        "telemetry.",
    ]
    .iter()
    .any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::{
        entity::identify_with,
        model::{Model, fixture::Scene},
        names::{Container, Facts, Pod, Workload},
    };

    fn host() -> Host {
        let given = [
            ("deployment.environment.name", "prod"),
            ("service.name", "agents"),
            ("k8s.pod.name", "crosstalk-x7"),
        ];
        Host {
            name: "web-1".into(),
            id: Some("3d12".into()),
            given: given.map(|(key, value)| (key.into(), value.into())).into(),
            service_name: None,
        }
    }

    fn resources(path: &str) -> Vec<Resource> {
        resources_with(&Facts::default(), path)
    }

    fn resources_with(facts: &Facts, path: &str) -> Vec<Resource> {
        let mut scene = Scene::new(1);
        let ends = path.match_indices('/').map(|(end, _)| end).skip(1);
        for (id, end) in (10..).zip(ends) {
            scene.cgroup(id, &path[..end]);
        }
        let party = scene.cgroup(2, path);
        scene.ran(party, 1.0);
        let root = scene.cgroup(crate::model::fixture::ROOT, "/");
        scene.ran(root, 0.1);
        let model = Model::new(&scene.before, &scene.after, &|path: &OsStr| {
            identify_with(facts, path)
        });
        let rows = model.entities.rows.iter();
        rows.map(|row| host().entity(row)).collect()
    }

    #[test]
    fn a_container_has_its_id_and_never_the_name_of_the_agents_service() {
        let id = "ab".repeat(32);
        let all = resources(&format!("/docker-{id}.scope"));
        let container = all.iter().find(|one| one.contains_key("container.id"));
        let container = container.unwrap();
        assert_eq!(container["container.id"], id);
        assert_eq!(container["service.instance.id"], id);
        assert_eq!(container["deployment.environment.name"], "prod");
        for key in ["service.name", "k8s.pod.name"] {
            assert!(!container.contains_key(key), "{key}");
        }
    }

    #[test]
    fn names_are_told_as_far_as_they_are_known() {
        let id = "cd".repeat(32);
        let uid = "11112222-3333-4444-5555-666677778888";
        let path = format!("/kubepods/burstable/pod{uid}/{id}");
        let mut facts = Facts::default();
        let of_container = |facts: &Facts| {
            let all = resources_with(facts, &path);
            let container = all.into_iter().find(|one| one.contains_key("container.id"));
            container.unwrap()
        };
        let told = of_container(&facts);
        assert_eq!(told["k8s.pod.uid"], uid);
        for key in ["k8s.pod.name", "k8s.container.name", "service.name"] {
            assert!(!told.contains_key(key), "{key}");
        }
        let container = Container {
            name: Some("app".into()),
            namespace: Some("shop".into()),
            pod: Some("checkout-x2".into()),
            cpu_request: None,
        };
        facts.containers.insert(id.clone(), container);
        let pod = Pod {
            namespace: Some("shop".into()),
            name: Some("checkout-x2".into()),
            workload: Some(Workload {
                kind: "Deployment".into(),
                name: "checkout".into(),
            }),
            ..Pod::default()
        };
        facts.pods.insert(uid.into(), pod);
        let told = of_container(&facts);
        for (key, value) in [
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "checkout-x2"),
            ("k8s.container.name", "app"),
            ("k8s.deployment.name", "checkout"),
            ("service.name", "checkout"),
            ("service.namespace", "shop"),
            ("service.instance.id", &id),
        ] {
            assert_eq!(told[key], value, "{key}");
        }
        assert!(!told.contains_key("container.name"));
    }

    #[test]
    fn no_two_resources_have_one_identity_and_what_somebody_set_is_part_of_it() {
        let (host, all) = (host(), resources("/x.service"));
        let identities: Vec<Vec<_>> = all.iter().map(|of| host.identity(of).collect()).collect();
        assert_ne!(identities[0], identities[1]);
        for identity in identities {
            assert!(identity.contains(&("deployment.environment.name", "prod")));
            assert!(identity.iter().all(|(key, _)| *key != "host.id"));
        }
    }

    #[test]
    fn what_prometheus_is_to_promote_is_what_tells_entities_apart() {
        let documented = include_str!("../../../docs/agent.md");
        let (_, list) = documented
            .split_once("promote_resource_attributes:\n")
            .unwrap();
        let (list, _) = list.split_once("```").unwrap();
        let list: Vec<&str> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- "))
            .collect();
        assert_eq!(list, IDENTIFYING);
    }

    #[test]
    fn the_host_is_its_row() {
        assert!(resources("/x.service").contains(&host().itself()));
    }

    #[test]
    fn no_two_resources_have_one_instance() {
        let all = resources("/x.service");
        let ids: std::collections::BTreeSet<&String> =
            all.iter().map(|one| &one["service.instance.id"]).collect();
        assert_eq!((ids.len(), all.len()), (2, 2));
    }

    #[test]
    fn the_agent_has_a_name_that_can_be_set() {
        assert_eq!(host().agent()["service.name"], "agents");
        assert_eq!(host().agent()["k8s.pod.name"], "crosstalk-x7");
        let mut named = host();
        named.service_name = Some("noise".into());
        assert_eq!(named.agent()["service.name"], "noise");
        assert_eq!(Host::default().agent()["service.name"], "crosstalk");
    }
}
