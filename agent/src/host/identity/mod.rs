//! What a cgroup is to people, from its path alone.
//!
//! Pure. Every cgroup belongs to exactly one entity, whose boundary is a prefix of its path:
//! descendants roll up. Deeper boundaries win (a container in a service is a container; nested
//! containers count by the innermost), with one exception: below a container of a pod nothing
//! counts, since there the tenant chooses the names and could pose as someone else.
//!
//! A pod's pause sandbox looks like any container by its path. No list of containers has its id,
//! nor that of a container that has just begun: so it stays one, without a name.

mod components;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
};

use self::components::{Component, components};
use super::text::{display_bytes, display_path};

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One container of any runtime.
    Container,
    /// What runs in a pod outside its containers.
    Pod,
    /// A systemd service or scope, such as a virtual machine of libvirt.
    Service,
    /// All sessions of one user.
    Session,
    /// A cgroup that is none of these.
    Cgroup,
    /// The user tasks of the root cgroup.
    Host,
    /// Kernel threads; never found from a path.
    Kernel,
    /// What is not known by name; never found from a path.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Container => "container",
            Kind::Pod => "pod",
            Kind::Service => "service",
            Kind::Session => "session",
            Kind::Cgroup => "cgroup",
            Kind::Host => "host",
            Kind::Kernel => "kernel",
            Kind::Other => "other",
        })
    }
}

/// Who made a container, as far as its path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// containerd, through the kubelet or nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
    /// Docker, cri-dockerd too.
    Docker,
    /// podman.
    Podman,
    /// LXC.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}

impl Runtime {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Runtime::Containerd => "containerd",
            Runtime::Crio => "cri-o",
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Lxc => "lxc",
            Runtime::Nspawn => "nspawn",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The class that the kubelet gives a pod by its requests and limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// Requests are limits.
    Guaranteed,
    /// Some requests or limits.
    Burstable,
    /// Neither.
    BestEffort,
}

impl Qos {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "guaranteed",
            Qos::Burstable => "burstable",
            Qos::BestEffort => "besteffort",
        }
    }
}

impl fmt::Display for Qos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The entity that a cgroup belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityPath {
    /// What it is.
    pub kind: Kind,
    /// The cgroup that all of the entity's cgroups are below, or are. Unique to the entity.
    pub boundary: OsString,
    /// For people, until better names are known. One line, safe to print, not unique.
    pub name: String,
    /// The maker of a container, where the path tells.
    pub runtime: Option<Runtime>,
    /// The id of a container: 64 hexadecimal digits.
    pub container_id: Option<String>,
    /// The uid of the pod, with dashes; 32 hexadecimal digits without dashes for a static pod,
    /// whose object in the API has another uid (annotation `kubernetes.io/config.hash`).
    pub pod_uid: Option<String>,
    /// The class of the pod.
    pub qos: Option<Qos>,
}

/// The entity of the cgroup at `path`.
pub fn entity_of(path: &OsStr) -> EntityPath {
    let bytes = path.as_bytes();
    let mut found = Found::default();
    for component in components(bytes) {
        found.take(&component);
        if found.is_container_of_pod() {
            break;
        }
    }
    found.entity(bytes)
}

/// What the components so far amount to.
#[derive(Default)]
struct Found<'a> {
    container: Option<Container<'a>>,
    pod: Option<Pod>,
    session: Option<(u32, usize)>,
    unit: Option<(&'a [u8], usize)>,
}

#[derive(Clone)]
struct Pod {
    uid: String,
    qos: Option<Qos>,
    end: usize,
}

struct Container<'a> {
    end: usize,
    runtime: Option<Runtime>,
    label: Label<'a>,
    pod: Option<Pod>,
}

enum Label<'a> {
    Id(String),
    Name(&'a [u8]),
}

impl<'a> Found<'a> {
    fn take(&mut self, component: &Component<'a>) {
        let end = component.end;
        if let Some(uid) = component.pod_uid() {
            let qos = component.qos();
            self.pod = Some(Pod { uid, qos, end });
        }
        if let Some(id) = component.container_id() {
            self.set_container(end, component.runtime(), Label::Id(id));
        } else if let Some(name) = component.lxc_name() {
            self.set_container(end, Some(Runtime::Lxc), Label::Name(name));
        } else if let Some(name) = component.nspawn_name() {
            self.set_container(end, Some(Runtime::Nspawn), Label::Name(name));
        } else if let Some(uid) = component.user() {
            self.session.get_or_insert((uid, end));
        } else if component.is_unit() {
            self.unit.get_or_insert((component.name, end));
        }
    }

    fn set_container(&mut self, end: usize, runtime: Option<Runtime>, label: Label<'a>) {
        let pod = self.pod.clone();
        self.container = Some(Container {
            end,
            runtime,
            label,
            pod,
        });
    }

    fn is_container_of_pod(&self) -> bool {
        self.container
            .as_ref()
            .is_some_and(|container| container.pod.is_some())
    }

    fn entity(self, path: &[u8]) -> EntityPath {
        let pod_end = self.pod.as_ref().map(|pod| pod.end);
        let whole = path.len();
        // A pod below a container without one is a node in a container (kind).
        if let Some(container) = self
            .container
            .filter(|found| pod_end.is_none_or(|end| end <= found.end))
        {
            return container.entity(path);
        }
        if let Some(pod) = self.pod {
            let name = format!("pod {}", short(&pod.uid, POD_DIGITS));
            return EntityPath {
                pod_uid: Some(pod.uid),
                qos: pod.qos,
                ..entity(Kind::Pod, path, pod.end, name)
            };
        }
        if let Some((uid, end)) = self.session {
            return entity(Kind::Session, path, end, format!("user {uid}"));
        }
        if let Some((unit, end)) = self.unit {
            return entity(Kind::Service, path, end, display_bytes(unit));
        }
        if path.iter().all(|&byte| byte == b'/') {
            return entity(Kind::Host, b"/", 1, "host".to_owned());
        }
        entity(
            Kind::Cgroup,
            path,
            whole,
            display_path(OsStr::from_bytes(path)),
        )
    }
}

impl Container<'_> {
    fn entity(self, path: &[u8]) -> EntityPath {
        let (label, id) = match self.label {
            Label::Id(id) => (short(&id, ID_DIGITS).to_owned(), Some(id)),
            Label::Name(name) => (display_bytes(name), None),
        };
        let name = match &self.pod {
            Some(pod) => format!("container {label} (pod {})", short(&pod.uid, POD_DIGITS)),
            None => format!("container {label}"),
        };
        EntityPath {
            runtime: self.runtime,
            container_id: id,
            qos: self.pod.as_ref().and_then(|pod| pod.qos),
            pod_uid: self.pod.map(|pod| pod.uid),
            ..entity(Kind::Container, path, self.end, name)
        }
    }
}

/// As `docker ps` shows ids.
const ID_DIGITS: usize = 12;
/// The first group of a uid.
const POD_DIGITS: usize = 8;

fn short(hex: &str, digits: usize) -> &str {
    hex.get(..digits).unwrap_or(hex)
}

fn entity(kind: Kind, path: &[u8], end: usize, name: String) -> EntityPath {
    EntityPath {
        kind,
        boundary: OsStr::from_bytes(&path[..end]).to_owned(),
        name,
        runtime: None,
        container_id: None,
        pod_uid: None,
        qos: None,
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
