//! What culprits are to victims, and requests.

use std::ffi::OsStr;

use crate::{
    model::{
        Identity, Kind, Labels, Model, Relation,
        fixture::{Scene, disk::reads, identify},
        labels::Workload,
    },
    signal::{Class, Signals, Thresholds},
};

/// `/<namespace>~<workload>~<pod>~<container>.scope`; `?` is not known.
fn in_pods(path: &OsStr) -> Identity {
    let identity = identify(path);
    let parts: Vec<String> = identity.name.split('~').map(str::to_owned).collect();
    let [namespace, workload, pod, _] = parts.as_slice() else {
        return identity;
    };
    let known = |part: &String| Some(part.clone()).filter(|part| part != "?");
    let labels = Labels {
        pod_uid: Some(pod.clone()),
        namespace: known(namespace),
        workload: known(workload).map(|name| Workload {
            kind: "Deployment".into(),
            name,
        }),
        ..Labels::default()
    };
    Identity {
        kind: Kind::Container,
        labels,
        ..identity
    }
}

/// One CPU, on which the culprit used nearly all while the victim waited.
fn contended(victim: &str, culprit: &str) -> Scene {
    let mut scene = Scene::new(1);
    let victim = scene.cgroup(2, victim);
    let culprit = scene.cgroup(3, culprit);
    scene.ran(victim, 2.0);
    scene.ran(culprit, 8.0);
    scene.waited_for(victim, culprit, 6.0, 0.020);
    scene
}

fn relation(victim: &str, culprit: &str) -> Option<Relation> {
    let scene = contended(victim, culprit);
    let model = Model::new(&scene.before, &scene.after, &in_pods);
    let blame = model.entities.blame[0];
    let rows = &model.entities.rows;
    Relation::between(&rows[blame.victim], &rows[blame.culprit])
}

#[test]
fn relations() {
    let web = "/shop~web~1~app.scope";
    for (culprit, expected) in [
        ("/shop~web~1~proxy.scope", Some(Relation::PodMate)),
        ("/shop~web~2~app.scope", Some(Relation::SameWorkload)),
        ("/shop~db~3~app.scope", Some(Relation::SameNamespace)),
        ("/blog~web~4~app.scope", Some(Relation::Other)),
        ("/shop~?~5~app.scope", None),
        ("/?~?~6~app.scope", None),
        ("/blog~?~7~app.scope", Some(Relation::Other)),
        ("/docker.scope", Some(Relation::Other)),
        ("/batch", Some(Relation::Other)),
        ("/cron.service", Some(Relation::System)),
    ] {
        assert_eq!(relation(web, culprit), expected, "{culprit}");
    }
    let nameless = "/?~?~1~app.scope";
    let mate = relation(nameless, "/?~?~1~proxy.scope");
    assert_eq!(mate, Some(Relation::PodMate));
    let by_cgroup = contended(web, "/shop~web~1~proxy.scope");
    let model = Model::new(&by_cgroup.before, &by_cgroup.after, &in_pods);
    let rows = &model.cgroups.rows;
    assert_eq!(Relation::between(&rows[0], &rows[1]), None);
}

fn class(victim: &str, culprit: &str) -> Option<Class> {
    let scene = contended(victim, culprit);
    let model = Model::new(&scene.before, &scene.after, &in_pods);
    let signals = Signals::detect(&model, &Thresholds::default());
    signals.hurt[0].class
}

#[test]
fn the_own_pod_and_workload_are_no_noisy_neighbors() {
    let web = "/shop~web~1~app.scope";
    for (culprit, expected) in [
        ("/shop~web~1~proxy.scope", Class::PodMate),
        ("/shop~web~2~app.scope", Class::SameWorkload),
        ("/shop~db~3~app.scope", Class::NoisyNeighbor),
        ("/blog~web~4~app.scope", Class::NoisyNeighbor),
        ("/shop~?~5~app.scope", Class::NoisyNeighbor),
        ("/cron.service", Class::NoisyNeighbor),
    ] {
        assert_eq!(class(web, culprit), Some(expected), "{culprit}");
    }
}

#[test]
fn a_stranger_is_not_excused_by_a_smaller_pod_mate() {
    let mut scene = Scene::new(1);
    let victim = scene.cgroup(2, "/shop~web~1~app.scope");
    let mate = scene.cgroup(3, "/shop~web~1~proxy.scope");
    let stranger = scene.cgroup(4, "/blog~web~2~app.scope");
    scene.ran(victim, 1.0);
    scene.ran(mate, 4.0);
    scene.ran(stranger, 5.0);
    scene.waited_for(victim, mate, 2.0, 0.020);
    scene.waited_for(victim, stranger, 3.0, 0.020);
    let model = Model::new(&scene.before, &scene.after, &in_pods);
    let signals = Signals::detect(&model, &Thresholds::default());
    assert_eq!(signals.hurt[0].class, Some(Class::NoisyNeighbor));
}

#[test]
fn disks_too() {
    for (culprit, expected) in [
        ("/shop~web~1~proxy.scope", Class::PodMate),
        ("/shop~web~2~app.scope", Class::SameWorkload),
        ("/blog~web~4~app.scope", Class::NoisyNeighbor),
    ] {
        let mut scene = Scene::new(1);
        let disk = scene.disk(0, "vda");
        let path = "/shop~web~1~app.scope";
        scene.cgroup(2, path);
        scene.cgroup(3, culprit);
        let victim = scene.disk_cgroup(2, path);
        let other = scene.disk_cgroup(3, culprit);
        scene.requests(reads(victim, disk), 100, [0.050, 0.005]);
        scene.attributed(reads(victim, disk), 0.5, &[(other, 4.9)]);
        scene.requests(reads(other, disk), 1_000, [0.001, 0.008]);
        scene.attributed(reads(other, disk), 8.0, &[]);
        let model = Model::new(&scene.before, &scene.after, &in_pods);
        let signals = Signals::detect(&model, &Thresholds::default());
        assert_eq!(signals.hurt[0].class, Some(expected), "{culprit}");
    }
}

#[test]
fn a_request_beyond_the_fair_share_is_the_contract() {
    let scene = contended("/shop~web~1~app.scope", "/blog~web~4~app.scope");
    let requests = |cpus: Option<f64>| {
        move |path: &OsStr| {
            let mut identity = in_pods(path);
            let is_culprit = identity.name.starts_with("blog");
            identity.labels.cpu_request = cpus.filter(|_| is_culprit);
            identity
        }
    };
    for (request, contract, expected) in [
        (None, 5.0, Class::NoisyNeighbor),
        (Some(0.3), 5.0, Class::NoisyNeighbor),
        (Some(0.9), 9.0, Class::Overcommit),
    ] {
        let model = Model::new(&scene.before, &scene.after, &requests(request));
        let rows = &model.entities.rows;
        let culprit = rows.iter().find(|row| row.name.starts_with("blog"));
        let culprit = culprit.unwrap();
        assert_eq!(culprit.entitled_s, Some(5.0));
        assert!((culprit.contract_s.unwrap() - contract).abs() < 1e-9);
        let signals = Signals::detect(&model, &Thresholds::default());
        assert_eq!(signals.hurt[0].class, Some(expected), "{request:?}");
    }
}
