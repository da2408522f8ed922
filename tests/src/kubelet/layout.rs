//! What makers of containers call their cgroups.

/// A container's cgroup, below wherever the host's cgroups begin. `{uid}` is the pod's, `{uid_}` the same with underscores,
/// `{id}` the container's, `{node}` that of a container that is a node itself.
#[derive(Debug)]
pub struct Layout {
    /// Up to the pod.
    pub pod: &'static str,
    /// From there to what is the container; empty where one folder is both.
    pub container: &'static str,
    /// The folder in it that its processes are in, if they are not in itself.
    pub inside: &'static str,
    /// What the kubelet writes before its id.
    pub scheme: &'static str,
    /// Whether the kubelet made the pod from a file: its uid is a hash, and the API's is another.
    pub is_static: bool,
}

const fn layout(scheme: &'static str, pod: &'static str, container: &'static str) -> Layout {
    Layout {
        pod,
        container,
        inside: "",
        scheme,
        is_static: false,
    }
}

const CONTAINERD: &str = "containerd";
const CRIO: &str = "cri-o";
const DOCKER: &str = "docker";

/// All that there are on nodes of Kubernetes.
pub const LAYOUTS: [Layout; 15] = [
    // systemd as the driver.
    layout(
        CONTAINERD,
        "kubepods.slice/kubepods-pod{uid_}.slice",
        "cri-containerd-{id}.scope",
    ),
    layout(
        CONTAINERD,
        "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice",
        "cri-containerd-{id}.scope",
    ),
    layout(
        CONTAINERD,
        "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice",
        "cri-containerd-{id}.scope",
    ),
    layout(
        CRIO,
        "kubepods.slice/kubepods-pod{uid_}.slice",
        "crio-{id}.scope",
    ),
    Layout {
        inside: "container",
        ..layout(
            CRIO,
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice",
            "crio-{id}.scope",
        )
    },
    layout(
        DOCKER,
        "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice",
        "docker-{id}.scope",
    ),
    // cgroupfs as the driver.
    layout(CONTAINERD, "kubepods/pod{uid}", "{id}"),
    layout(CONTAINERD, "kubepods/burstable/pod{uid}", "{id}"),
    layout(DOCKER, "kubepods/besteffort/pod{uid}", "{id}"),
    layout(CRIO, "kubepods/burstable/pod{uid}", "crio-{id}"),
    Layout {
        is_static: true,
        ..layout(CONTAINERD, "kubepods/burstable/pod{uid}", "{id}")
    },
    // Names for the one driver, and the other.
    layout(
        CONTAINERD,
        "system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}",
        "",
    ),
    // A node in a container.
    layout(
        CONTAINERD,
        "docker/{node}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
         kubelet-kubepods-burstable-pod{uid_}.slice",
        "cri-containerd-{id}.scope",
    ),
    // A container that makes cgroups of its own: a tenant may call them what it likes.
    Layout {
        inside: "docker/{node}",
        ..layout(CONTAINERD, "kubepods/burstable/pod{uid}", "{id}")
    },
    Layout {
        inside: "init.scope",
        ..layout(
            CONTAINERD,
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice",
            "cri-containerd-{id}.scope",
        )
    },
];
