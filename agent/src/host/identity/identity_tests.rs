//! Paths as the makers of containers, pods, services and sessions lay them out.

use std::fmt::Write as _;

use proptest::strategy::Strategy as _;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const INNER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const UID: &str = "11112222-3333-4444-5555-666677778888";
const STATIC: &str = "aaaabbbbccccddddeeeeffff00001111";

/// Writes `<id>`, `<inner>`, `<uid>`, `<u_id>` and `<static>` out.
fn written(path: &str) -> String {
    path.replace("<id>", ID)
        .replace("<inner>", INNER)
        .replace("<uid>", UID)
        .replace("<u_id>", &UID.replace('-', "_"))
        .replace("<static>", STATIC)
}

/// `path` has `|` where the boundary ends.
fn check(path: &str, expected: &str) {
    let boundary = written(path.split('|').next().unwrap());
    let entity = entity_of(OsStr::new(&written(&path.replace('|', ""))));
    assert_eq!(entity.boundary.to_str().unwrap(), boundary, "{path}");
    let mut shown = format!("{} \"{}\"", entity.kind, entity.name);
    if let Some(runtime) = entity.runtime {
        write!(shown, " by {runtime}").unwrap();
    }
    for (mark, text) in [("id", &entity.container_id), ("uid", &entity.pod_uid)] {
        if let Some(text) = text {
            write!(shown, " {mark} {text}").unwrap();
        }
    }
    assert_eq!(shown, written(expected), "{path}");
}

#[test]
fn kubernetes() {
    let by = |runtime: &str| {
        format!("container \"container 0123456789ab (pod 11112222)\"{runtime} id <id> uid <uid>")
    };
    let containerd = by(" by containerd");
    for path in [
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice/cri-containerd-<id>.scope|",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<u_id>.slice/cri-containerd-<id>.scope|",
        "/kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope|/init.scope",
        "/system.slice/containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>|",
        "/system.slice/containerd.service/kubepods-burstable-pod<u_id>.slice:cri-containerd:<id>|/nested",
        "/docker/<inner>/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod<u_id>.slice/cri-containerd-<id>.scope|",
    ] {
        check(path, &containerd);
    }
    let crio = by(" by cri-o");
    check(
        "/kubepods.slice/kubepods-pod<u_id>.slice/crio-<id>.scope|/container",
        &crio,
    );
    check("/kubepods/burstable/pod<uid>/crio-<id>|", &crio);
    check(
        "/kubepods.slice/kubepods-pod<u_id>.slice/docker-<id>.scope|",
        &by(" by docker"),
    );
    check("/kubepods/burstable/pod<uid>/<id>|", &by(""));
    check("/kubepods/pod<uid>/<id>|", &by(""));
    check("/../../kubepods/besteffort/pod<uid>/<id>|", &by(""));
}

#[test]
fn pods() {
    let pod = "pod \"pod 11112222\" uid <uid>";
    check("/kubepods/burstable/pod<uid>|", pod);
    check("/kubepods.slice/kubepods-pod<u_id>.slice|", pod);
    check(
        "/kubepods.slice/kubepods-pod<u_id>.slice|/crio-conmon-<id>.scope",
        pod,
    );
    check(
        "/docker/<id>/kubelet.slice/kubelet-kubepods-pod<u_id>.slice|",
        pod,
    );
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<static>.slice|",
        "pod \"pod aaaabbbb\" uid <static>",
    );
    check(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<static>.slice/cri-containerd-<id>.scope|",
        "container \"container 0123456789ab (pod aaaabbbb)\" by containerd id <id> uid <static>",
    );
    check(
        "/kubepods/burstable/podcast|",
        "cgroup \"/kubepods/burstable/podcast\"",
    );
    check("/kubepods.slice|", "cgroup \"/kubepods.slice\"");
    check(
        "/system.slice/tripod<uid>.service|",
        "service \"tripod<uid>.service\"",
    );
}

#[test]
fn more_layouts() {
    let container = "container \"container 0123456789ab (pod 11112222)\" id <id> uid <uid>";
    let containerd = container.replace(" id <id>", " by containerd id <id>");
    for path in [
        "/docker/<inner>/kubelet/kubepods/burstable/pod<uid>/<id>|/init.scope",
        "/docker/<inner>/kubepods/besteffort/pod<uid>/<id>|",
        "/system.slice/docker-<inner>.scope/kubepods/pod<uid>/<id>|",
    ] {
        check(path, container);
    }
    for path in [
        "/system.slice/docker-<inner>.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod<u_id>.slice/cri-containerd-<id>.scope|",
        "/machine.slice/libpod-<inner>.scope/container/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_id>.slice/cri-containerd-<id>.scope|",
        "/../../kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope|",
    ] {
        check(path, &containerd);
    }
    check(
        "/kubepods/besteffort/pod<static>/<id>|",
        "container \"container 0123456789ab (pod aaaabbbb)\" id <id> uid <static>",
    );
    let podman = "container \"container 0123456789ab\" by podman id <id>";
    check(
        "/machine.slice/machine-libpod_pod_<inner>.slice/libpod-<id>.scope|/container",
        podman,
    );
    check("/libpod_parent/<inner>/libpod-<id>|", podman);
    check(
        "/libpod_parent/<inner>|",
        "cgroup \"/libpod_parent/<inner>\"",
    );
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope|/init",
        "container \"container 0123456789ab\" by docker id <id>",
    );
}

#[test]
fn classes_of_pods() {
    let class = |path: &str| entity_of(OsStr::new(&written(path))).qos;
    for (path, expected) in [
        ("/kubepods/pod<uid>/<id>", Some(Qos::Guaranteed)),
        ("/kubepods/burstable/pod<uid>/<id>", Some(Qos::Burstable)),
        ("/kubepods/besteffort/pod<uid>", Some(Qos::BestEffort)),
        (
            "/kubepods.slice/kubepods-pod<u_id>.slice/crio-<id>.scope/container",
            Some(Qos::Guaranteed),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice",
            Some(Qos::Burstable),
        ),
        (
            "/docker/<inner>/kubelet.slice/kubelet-kubepods-besteffort-pod<u_id>.slice/cri-containerd-<id>.scope",
            Some(Qos::BestEffort),
        ),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>",
            Some(Qos::Burstable),
        ),
        ("/elsewhere/pod<uid>/<id>", None),
        ("/system.slice/docker-<id>.scope", None),
    ] {
        assert_eq!(class(path), expected, "{path}");
    }
}

#[test]
fn a_tenant_cannot_pose_as_another_container() {
    let outer = "container \"container 0123456789ab (pod 11112222)\" id <id> uid <uid>";
    check("/kubepods/pod<uid>/<id>|/docker/<inner>", outer);
    check(
        "/kubepods/pod<uid>/<id>|/kubepods/pod<static>/<inner>",
        outer,
    );
    check("/kubepods/pod<uid>/<id>|/user.slice/user-0.slice", outer);
}

#[test]
fn containers_without_a_pod() {
    let by = |runtime: &str| format!("container \"container 0123456789ab\" by {runtime} id <id>");
    check("/system.slice/docker-<id>.scope|", &by("docker"));
    check("/docker/<id>|", &by("docker"));
    check("/docker/<id>|/init.scope", &by("docker"));
    check("/docker/<inner>/docker/<id>|", &by("docker"));
    check("/machine.slice/libpod-<id>.scope|/container", &by("podman"));
    check("/libpod_parent/libpod-<id>|", &by("podman"));
    check(
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope|",
        &by("podman"),
    );
    check("/system.slice/nerdctl-<id>.scope|", &by("containerd"));
    check(
        "/ecs/task/<id>|",
        "container \"container 0123456789ab\" id <id>",
    );
    check(
        "/lxc.payload.web|/system.slice/nginx.service",
        "container \"container web\" by lxc",
    );
    check("/lxc/web|", "container \"container web\" by lxc");
    check("/lxc|", "cgroup \"/lxc\"");
    check(
        "/machine.slice/systemd-nspawn@db.service|/payload/init.scope",
        "container \"container db\" by nspawn",
    );
    check(
        "/machine.slice/libpod-conmon-<id>.scope|",
        "service \"libpod-conmon-<id>.scope\"",
    );
    check("/lxc.monitor.web|", "cgroup \"/lxc.monitor.web\"");
}

#[test]
fn services_and_sessions() {
    check("/system.slice/nginx.service|", "service \"nginx.service\"");
    check(
        "/system.slice/foo.service|/sub/bar.service",
        "service \"foo.service\"",
    );
    check(
        "/system.slice/system-getty.slice/getty@tty1.service|",
        "service \"getty@tty1.service\"",
    );
    check(
        "/system.slice/dev-disk\\x2d1.service|",
        "service \"dev-disk\\\\x2d1.service\"",
    );
    check(
        "/machine.slice/machine-qemu\\x2d1.scope|/libvirt/vcpu0",
        "service \"machine-qemu\\\\x2d1.scope\"",
    );
    check("/init.scope|", "service \"init.scope\"");
    check("/system.slice|", "cgroup \"/system.slice\"");
    check("/user.slice|", "cgroup \"/user.slice\"");
    let user = "session \"user 1000\"";
    check("/user.slice/user-1000.slice|", user);
    check("/user.slice/user-1000.slice|/session-3.scope", user);
    check(
        "/user.slice/user-1000.slice|/user@1000.service/app.slice/app-x.scope",
        user,
    );
    check(
        "/user.slice/user-root.slice|",
        "cgroup \"/user.slice/user-root.slice\"",
    );
}

#[test]
fn the_rest() {
    check("/|", "host \"host\"");
    check("/batch/job 7|", "cgroup \"/batch/job 7\"");
    check("/.service|", "cgroup \"/.service\"");
    check("/docker/0123456789AB|", "cgroup \"/docker/0123456789AB\"");
    assert_eq!(entity_of(OsStr::new("")).kind, Kind::Host);
}

#[test]
fn hostile_names_give_one_safe_line() {
    let long = "x".repeat(4096);
    let hostile: [&[u8]; 5] = [
        b"/a\n\x1b[2Jb\xff",
        b"/system.slice/\xff\n.service",
        b"/lxc/\x00\x07",
        "/pod\u{202e}/-/:/.scope/pod".as_bytes(),
        long.as_bytes(),
    ];
    for path in hostile {
        let entity = entity_of(OsStr::from_bytes(path));
        assert!(
            entity.name.chars().all(|character| !character.is_control()),
            "{}",
            entity.name
        );
        assert!(path.starts_with(entity.boundary.as_bytes()));
    }
    check("/system.slice/a\nb.service|", "service \"a\\x0ab.service\"");
}

#[test]
fn any_path_gives_a_boundary_whose_entity_is_itself() {
    let parts = [
        "docker",
        ID,
        "pod11112222-3333-4444-5555-666677778888",
        "a.service",
        "lxc",
        "..",
        "",
        "x",
        "user.slice",
        "user-7.slice",
    ];
    let count = parts.len();
    for seed in 0..count.pow(4) {
        let chosen: Vec<&str> = (0..4)
            .map(|at| parts[seed / count.pow(at) % count])
            .collect();
        let path = format!("/{}", chosen.join("/"));
        let entity = entity_of(OsStr::new(&path));
        let again = entity_of(&entity.boundary);
        assert_eq!(again.boundary, entity.boundary, "{path}");
        assert_eq!(again.kind, entity.kind, "{path}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_a_prefix_and_a_safe_name(
        parts in proptest::collection::vec(
            proptest::prop_oneof![
                "(kubepods|docker|user.slice|user-7.slice|a.service|lxc|[.][.])".prop_map(String::into_bytes),
                "(kubepods-(burstable-|besteffort-)?)?pod[0-9a-f_-]{32,37}([.]slice)?".prop_map(String::into_bytes),
                "(crio-|cri-containerd-|docker-|libpod-conmon-)?[0-9a-f]{63,65}([.]scope)?".prop_map(String::into_bytes),
                proptest::collection::vec(1u8.., 0..12),
            ],
            0..6,
        ),
    ) {
        let mut path = vec![b'/'];
        path.extend(parts.join(&b'/'));
        let entity = entity_of(OsStr::from_bytes(&path));
        assert!(path.starts_with(entity.boundary.as_bytes()));
        assert!(!entity.name.chars().any(char::is_control), "{}", entity.name);
        let again = entity_of(&entity.boundary);
        assert_eq!((again.kind, again.boundary), (entity.kind, entity.boundary));
        assert_eq!((again.container_id, again.pod_uid), (entity.container_id, entity.pod_uid));
    }
}
