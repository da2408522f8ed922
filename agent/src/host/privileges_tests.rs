//! A fake `/proc/self`, and this process's own.

use super::*;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    tree
}

#[test]
fn a_restricted_container() {
    let tree = tree(&[
        (
            "self/status",
            "Name:\tx\nCapEff:\t000000c000000000\nCapBnd:\t000000c001000000\nNoNewPrivs:\t1\n\
             Seccomp:\t2\nSeccomp_filters:\t1\n",
        ),
        (
            "kernel/security/lockdown",
            "none integrity [confidentiality]\n",
        ),
        ("sys/kernel/unprivileged_bpf_disabled", "2\n"),
        ("sys/kernel/osrelease", "5.10.0-33-amd64\n"),
        ("self/uid_map", "         0     100000      65536\n"),
        (
            "self/attr/current",
            "system_u:system_r:container_t:s0:c1,c2\0",
        ),
        (
            "self/limits",
            "Max locked memory         65536                65536                bytes\n",
        ),
    ]);
    let found = read(tree.path(), tree.path()).unwrap();
    let expected = Privileges {
        effective: Capabilities(0xc0_0000_0000),
        bounding: Capabilities(0xc0_0100_0000),
        no_new_privileges: Some(true),
        seccomp: Some(Seccomp::Filter),
        lockdown: Some(Lockdown::Confidentiality),
        unprivileged_bpf_disabled: Some(2),
        initial_user_namespace: Some(false),
        label: Some("system_u:system_r:container_t:s0:c1,c2".to_owned()),
        locked_memory: Some(65536),
        kernel: Some((5, 10)),
    };
    assert_eq!(found, expected);
    assert!(found.effective.can_trace() && !found.effective.has(Capability::SysResource));
    assert!(found.bounding.has(Capability::SysResource));
}

#[test]
fn what_is_absent_is_unknown() {
    let tree = tree(&[("self/status", "CapEff:\t0\n")]);
    assert_eq!(
        read(tree.path(), tree.path()).unwrap(),
        Privileges::default()
    );
}

#[test]
fn no_capabilities_at_all_is_an_error() {
    let tree = tree(&[("self/status", "Name:\tx\n")]);
    assert!(
        read(tree.path(), tree.path())
            .unwrap_err()
            .to_string()
            .contains("CapEff")
    );
}

#[test]
fn namespaces() {
    for (map, initial) in [("0 0 4294967295\n", true), ("0 1000 1\n", false)] {
        let tree = tree(&[("uid_map", map)]);
        assert_eq!(initial_user_namespace(tree.path()), Some(initial));
    }
    let tree = tree(&[("uid_map", "0 0 4294967295\n")]);
    fs::create_dir(tree.path().join("ns")).unwrap();
    std::os::unix::fs::symlink("user:[4026532000]", tree.path().join("ns/user")).unwrap();
    assert_eq!(initial_user_namespace(tree.path()), Some(false));
}

#[test]
fn this_process() {
    let found = read(Path::new("/proc"), Path::new("/sys")).unwrap();
    assert!(found.seccomp.is_some() && found.locked_memory.is_some());
    assert!(found.initial_user_namespace.is_some());
}
