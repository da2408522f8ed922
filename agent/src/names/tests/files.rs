use std::{fs, os::unix::fs::symlink, path::Path};

use crate::names::{Container, Docker, Error, Facts, LogFolders, Podman, Source};

pub(super) const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
pub(super) const UID: &str = "11112222-3333-4444-5555-666677778888";
pub(super) const HASH: &str = "aaaabbbbccccddddeeeeffff00001111";

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// `namespace/pod/name` of a container.
fn shown(facts: &Facts, id: &str) -> String {
    let Container {
        name,
        namespace,
        pod,
        ..
    } = &facts.containers[id];
    let part = |part: &Option<String>| part.clone().unwrap_or("?".into());
    [part(namespace), part(pod), part(name)].join("/")
}

#[test]
fn log_folders() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for folder in [
        format!("pods/shop_checkout-7d9f-x2_{UID}/app"),
        format!("pods/kube-system_etcd-node1_{HASH}/etcd"),
        format!("pods/Shop_UPPER_{UID}0"),
        "pods/not-a-pod".into(),
        "pods/a_b_c_d".into(),
        "containers".into(),
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for link in [
        format!("checkout-7d9f-x2_shop_side-car-{ID}.log"),
        format!("etcd-node1_kube-system_etcd-{OTHER}.log"),
        format!("evil\x1b_shop_app-{}.log", ID.replace('0', "1")),
        "a_b_c-123.log".into(),
    ] {
        symlink("/nowhere", root.join("containers").join(link)).unwrap();
    }
    let facts = LogFolders::new(root).read().unwrap();
    assert_eq!(facts.pods.len(), 2);
    assert_eq!(facts.pods[UID].namespace.as_deref(), Some("shop"));
    assert_eq!(facts.pods[UID].name.as_deref(), Some("checkout-7d9f-x2"));
    assert_eq!(facts.pods[UID].workload, None);
    assert_eq!(facts.pods[HASH].name.as_deref(), Some("etcd-node1"));
    assert_eq!(facts.containers.len(), 2);
    assert_eq!(shown(&facts, ID), "shop/checkout-7d9f-x2/side-car");
    assert_eq!(shown(&facts, OTHER), "kube-system/etcd-node1/etcd");
}

#[test]
fn log_folders_of_one_kind_are_enough() {
    let root = tempfile::tempdir().unwrap();
    let pods = root.path().join("pods").join(format!("a_b_{UID}"));
    fs::create_dir_all(pods).unwrap();
    let facts = LogFolders::new(root.path()).read().unwrap();
    assert!(facts.pods.contains_key(UID));
    let none = LogFolders::new(&root.path().join("none")).read();
    assert!(matches!(none, Err(Error::Absent)), "{none:?}");
}

#[test]
fn files_of_docker() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let config = |id: &str| format!("containers/{id}/config.v2.json");
    let third = ID.replace('0', "3");
    put(
        root,
        &config(ID),
        r#"{"ID":"x","Name":"/web_1","Config":{}}"#,
    );
    put(
        root,
        &config(OTHER),
        r#"{"Name":"/k8s_app_checkout_shop_11112222-3333-4444-5555-666677778888_0"}"#,
    );
    put(root, &config(&third), "{");
    put(root, &config("abc"), "{}");
    let mut docker = Docker::new(root);
    let facts = docker.read().unwrap();
    assert_eq!(shown(&facts, ID), "?/?/web_1");
    assert_eq!(shown(&facts, OTHER), "shop/checkout/app");
    assert_eq!(facts.containers.len(), 2);
    put(root, &config(&third), r#"{"Name":"/later"}"#);
    fs::remove_dir_all(root.join("containers").join(ID)).unwrap();
    let facts = docker.read().unwrap();
    assert_eq!(shown(&facts, &third), "?/?/later");
    assert!(!facts.containers.contains_key(ID));
    fs::remove_dir_all(root.join("containers")).unwrap();
    assert!(matches!(docker.read(), Err(Error::Absent)));
}

#[test]
fn files_of_docker_that_cannot_be_read_are_a_failure() {
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        &format!("containers/{ID}/config.v2.json"),
        "no JSON",
    );
    let read = Docker::new(root.path()).read();
    assert!(matches!(read, Err(Error::Failed(_))), "{read:?}");
}

#[test]
fn files_of_podman_and_cri_o() {
    let root = tempfile::tempdir().unwrap();
    let list = format!(
        r#"[{{"id":"{ID}","names":["db","alias"],"image":"x","flags":{{}}}},
            {{"id":"{OTHER}","names":["k8s_POD_checkout_shop_{UID}_0"]}},
            {{"id":"short","names":["a"]}}]"#
    );
    put(root.path(), "overlay-containers/containers.json", &list);
    let volatile = ID.replace('0', "4");
    let list = format!(r#"[{{"id":"{volatile}","names":["job"]}}]"#);
    put(
        root.path(),
        "overlay-containers/volatile-containers.json",
        &list,
    );
    let facts = Podman::new(root.path()).read().unwrap();
    assert_eq!(shown(&facts, ID), "?/?/db");
    assert_eq!(shown(&facts, OTHER), "shop/checkout/POD");
    assert_eq!(shown(&facts, &volatile), "?/?/job");
    assert_eq!(facts.containers.len(), 3);
    put(root.path(), "vfs-containers/containers.json", "[{]");
    let broken = Podman::new(root.path()).read();
    assert!(matches!(broken, Err(Error::Failed(_))), "{broken:?}");
}

proptest::proptest! {
    #[test]
    fn no_folder_name_gives_an_unsafe_name(
        name in proptest::prop_oneof![
            "\\PC{0,40}",
            "[a-zA-Z0-9._\u{1b}-]{0,12}_[a-z0-9.A-Z-]{0,12}_[a-f0-9-]{30,37}",
        ],
    ) {
        let root = tempfile::tempdir().unwrap();
        let pods = root.path().join("pods");
        fs::create_dir(&pods).unwrap();
        // Some names, such as `.`, no folder can have.
        let _ = fs::create_dir(pods.join(name.replace(['/', '\0'], "_")));
        let facts = LogFolders::new(root.path()).read().unwrap();
        for (uid, pod) in &facts.pods {
            let safe = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
            let names = [pod.namespace.as_deref().unwrap(), pod.name.as_deref().unwrap()];
            assert!(safe(uid) && names.into_iter().all(safe), "{pod:?}");
        }
    }
}
