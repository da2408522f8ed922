use std::ffi::OsStr;
use std::time::Duration;

use agent_ebpf::{cause::Cause, owner::KernelFamily};

use crate::{
    model::{
        Key, Model, Row, Table,
        fixture::{Scene, identify, kernel},
    },
    sample::{CgroupId, Party},
};

fn row<'a>(table: &'a Table, path: &str) -> &'a Row {
    table
        .rows
        .iter()
        .find(|row| row.path == OsStr::new(path))
        .unwrap()
}

fn entitled(model: &Model, path: &str) -> Option<f64> {
    row(&model.entities, path)
        .entitled_s
        .map(|s| (s * 1000.0).round() / 1000.0)
}

#[test]
fn two_cgroups_of_one_entity_are_no_neighbors() {
    let mut scene = Scene::new(2);
    scene.cgroup(2, "/web.service");
    let a = scene.cgroup(3, "/web.service/a");
    let b = scene.cgroup(4, "/web.service/b");
    let batch = scene.cgroup(5, "/batch.service");
    scene.waited_for(a, b, 2.0, 0.01);
    scene.waited_for(a, batch, 1.0, 0.01);
    scene.waited(a, Cause::SelfInflicted, 0.5, 0.01);
    let model = scene.model();
    let web = row(&model.entities, "/web.service").usage.as_ref().unwrap();
    assert_eq!(web.wait.get(Cause::SelfInflicted), Some(2_500_000_000));
    assert_eq!(web.wait.get(Cause::Neighbor), Some(1_000_000_000));
    let leaf = row(&model.cgroups, "/web.service/a");
    let leaf = leaf.usage.as_ref().unwrap();
    assert_eq!(leaf.wait.get(Cause::Neighbor), Some(3_000_000_000));
}

#[test]
fn blame_that_is_ahead_of_its_cause_is_fitted_into_it() {
    let mut scene = Scene::new(2);
    let a = scene.cgroup(2, "/a.service");
    let b = scene.cgroup(3, "/b.service");
    scene.waited_for(a, b, 1.0, 0.01);
    scene.waited_for(a, kernel(KernelFamily::Kworker), 0.5, 0.01);
    scene.after.blame.add(&mut [((a, b), 1_000_000_000)]);
    let entities = scene.model().entities;
    let shares: Vec<_> = entities.blame.iter().map(|b| b.ns).collect();
    assert_eq!(shares, [1_000_000_000, 500_000_000]);
}

#[test]
fn what_names_nobody_is_others() {
    let mut scene = Scene::new(2);
    let a = scene.cgroup(2, "/a.service");
    scene.waited(a, Cause::Neighbor, 1.0, 0.01);
    let entities = scene.model().entities;
    let culprit = &entities.rows[entities.blame[0].culprit];
    assert_eq!(
        (&culprit.key, entities.blame[0].ns),
        (&Key::Other, 1_000_000_000)
    );
}

#[test]
fn weights_quotas_and_cpu_sets_entitle() {
    let mut scene = Scene::new(4);
    let a = scene.cgroup(2, "/a.service");
    let b = scene.cgroup(3, "/b.service");
    let idle = scene.cgroup(4, "/idle.service");
    let pinned = scene.cgroup(5, "/pinned.service");
    for party in [a, b, pinned] {
        scene.ran(party, 5.0);
    }
    scene.ran(idle, 0.05);
    scene.after.cgroups.get_mut(&CgroupId(2)).unwrap().weight = Some(2048);
    scene.after.cgroups.get_mut(&CgroupId(5)).unwrap().cpuset = Some(vec![3]);
    scene.quota(3, 0.5);
    let model = scene.model();
    assert_eq!(entitled(&model, "/a.service"), Some(20.0));
    assert_eq!(entitled(&model, "/b.service"), Some(5.0), "quota");
    assert_eq!(entitled(&model, "/pinned.service"), Some(10.0), "CPU set");
    assert_eq!(entitled(&model, "/idle.service"), Some(8.0), "as if active");
}

#[test]
fn tasks_beside_child_cgroups_compete_as_one_sibling() {
    let mut scene = Scene::new(1);
    let parent = scene.cgroup(2, "/p");
    let child = scene.cgroup(3, "/p/c");
    scene.ran(parent, 3.0);
    scene.ran(child, 3.0);
    let model = scene.model();
    assert_eq!(entitled(&model, "/p"), Some(5.0));
    assert_eq!(entitled(&model, "/p/c"), Some(5.0));
}

#[test]
fn an_unknown_weight_makes_shares_unknown() {
    let mut scene = Scene::new(1);
    let a = scene.cgroup(2, "/a.service");
    let b = scene.cgroup(3, "/b.service");
    scene.ran(a, 3.0);
    scene.ran(b, 3.0);
    scene.after.cgroups.get_mut(&CgroupId(3)).unwrap().weight = None;
    let model = scene.model();
    assert_eq!(entitled(&model, "/a.service"), None);
    assert_eq!(entitled(&model, "/b.service"), None);
}

#[test]
fn new_and_dead_cgroups_count() {
    let mut scene = Scene::new(1);
    let new = scene.cgroup(2, "/new.service");
    let dead = scene.cgroup(3, "/dead.service");
    let unnamed = Party::Cgroup(CgroupId(99));
    for party in [new, dead, unnamed] {
        scene.ran(party, 1.0);
    }
    scene.before.cgroups.remove(&CgroupId(2));
    scene.after.cgroups.remove(&CgroupId(3));
    let entities = scene.model().entities;
    for path in ["/new.service", "/dead.service", "cgroup 99"] {
        let usage = row(&entities, path).usage.as_ref().unwrap();
        assert_eq!(usage.run_ns, 1_000_000_000, "{path}");
    }
}

#[test]
fn a_counter_that_went_backwards_is_unknown_and_named() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 1.0);
    scene.before.accounts = scene.after.accounts.clone();
    scene.account(web).run_ns -= 1;
    let model = scene.model();
    assert_eq!(row(&model.entities, "/web.service").usage, None);
    let reasons: Vec<_> = model.unknown.iter().map(|u| u.reason.as_str()).collect();
    assert!(
        reasons.contains(&"the counters of /web.service went backwards"),
        "{reasons:?}"
    );
}

#[test]
fn a_cpu_that_was_off_line_has_no_reading() {
    let mut scene = Scene::new(3);
    scene.before.cpus[1] = None;
    scene.after.cpus[2] = None;
    let host = scene.model().host;
    assert_eq!(host.online(), 1);
    assert_eq!(host.capacity_s(), Some(10.0));
}

#[test]
fn an_hour_of_wall_clock_makes_no_difference() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 1.0);
    let model = scene.model();
    scene.after.wall -= Duration::from_hours(1);
    assert_eq!(scene.model().entities, model.entities);
    assert!((scene.model().seconds() - 10.0).abs() < 1e-9);
}

#[test]
fn no_length_no_rows() {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 1.0);
    scene.after.monotonic = scene.before.monotonic;
    let model = Model::new(&scene.before, &scene.after, &identify);
    assert!(model.entities.rows.is_empty());
    assert_eq!((model.host.used, model.host.capacity_s()), (None, None));
    assert_eq!(model.cpus(5), None);
}
