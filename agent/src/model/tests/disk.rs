use std::ffi::OsStr;

use agent_ebpf::block::Operation;

use crate::{
    model::{
        Key, Kind, Resource, Row, Table,
        disk::{DiskCause, DiskUsage},
        fixture::{
            Scene,
            disk::{reads, writes},
        },
    },
    sample::{
        CgroupId,
        disk::{DiskOwner, Stream},
    },
};

fn row<'a>(table: &'a Table, path: &str) -> (usize, &'a Row) {
    let mut rows = table.rows.iter().enumerate();
    rows.find(|(_, row)| row.path == OsStr::new(path)).unwrap()
}

fn usage<'a>(table: &'a Table, path: &str) -> &'a DiskUsage {
    let uses = row(table, path).1.disk.as_ref().unwrap();
    uses[0].usage.as_ref().unwrap()
}

fn blame(table: &Table, resource: Resource) -> Vec<(&Key, u64)> {
    let of = table
        .blame
        .iter()
        .filter(|blame| blame.resource == resource);
    of.map(|blame| (&table.rows[blame.culprit].key, blame.ns))
        .collect()
}

#[test]
fn proportions_of_what_was_observed_divide_the_exact_time() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    let backup = scene.disk_cgroup(3, "/backup.service");
    scene.requests(writes(db, vda), 100, [0.06, 0.02]);
    // A quarter of it was observed.
    scene.attributed(writes(db, vda), 0.5, &[(backup, 1.5)]);
    let model = scene.model();
    let wait = usage(&model.entities, "/db.service").wait;
    assert_eq!(wait.get(DiskCause::Neighbor), 6_000_000_000);
    assert_eq!(wait.get(DiskCause::Device), 2_000_000_000);
    assert_eq!(wait.total(), 8_000_000_000);
    let (victim, _) = row(&model.entities, "/db.service");
    let blame: Vec<_> = model.entities.all_blame_of(victim).collect();
    assert_eq!((blame.len(), blame[0].resource), (1, Resource::Disk(vda)));
    assert_eq!((blame[0].ns, blame[0].share), (6_000_000_000, 0.75));
    assert_eq!(row(&model.entities, "/backup.service").1.disk, Some(vec![]));
}

#[test]
fn what_was_not_observed_has_no_cause() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    let model = scene.model();
    let wait = usage(&model.entities, "/db.service").wait;
    assert_eq!(wait.get(DiskCause::Unattributed), 2_000_000_000);
    assert!(model.entities.blame.is_empty());
}

#[test]
fn two_cgroups_of_one_entity_are_no_neighbors_on_a_disk() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let (a, b) = ("/web.service/a", "/web.service/b");
    scene.disk_cgroup(2, "/web.service");
    let [a, b] = [(3, a), (4, b)].map(|(id, path)| scene.disk_cgroup(id, path));
    scene.requests(reads(a, vda), 10, [0.1, 0.1]);
    scene.attributed(reads(a, vda), 0.0, &[(b, 1.0), (DiskOwner::Device, 1.0)]);
    let model = scene.model();
    let entity = usage(&model.entities, "/web.service").wait;
    assert_eq!(entity.get(DiskCause::SelfInflicted), 1_000_000_000);
    let resource = Resource::Disk(vda);
    assert_eq!(
        blame(&model.entities, resource),
        [(&Key::Device, 1_000_000_000)]
    );
    let leaf = usage(&model.cgroups, "/web.service/a").wait;
    assert_eq!(leaf.get(DiskCause::Neighbor), 2_000_000_000);
    assert_eq!(row(&model.entities, "device").1.kind, Kind::Device);
}

#[test]
fn two_hierarchies_meet_in_the_path() {
    let mut scene = Scene::new(1);
    let cpu = scene.cgroup(2, "/box.scope");
    scene.ran(cpu, 1.0);
    let vda = scene.disk(0, "vda");
    let joined = scene.disk_cgroup(70, "/box.scope");
    let alone = scene.disk_cgroup(2, "/elsewhere.scope");
    let nameless = DiskOwner::Cgroup(CgroupId(99));
    for owner in [joined, alone, nameless, DiskOwner::Other] {
        scene.requests(reads(owner, vda), 1, [0.0, 0.001]);
    }
    let model = scene.model();
    let keys =
        |table: &Table| -> Vec<Key> { table.rows.iter().map(|row| row.key.clone()).collect() };
    let path = |path: &str| Key::Path(path.into());
    assert_eq!(
        keys(&model.cgroups),
        [
            Key::Cgroup(CgroupId(2)),
            path("/elsewhere.scope"),
            path("io cgroup 99"),
            Key::Other
        ]
    );
    let boxed = row(&model.cgroups, "/box.scope").1;
    assert_eq!(boxed.usage.as_ref().unwrap().run_ns, 1_000_000_000);
    assert_eq!(usage(&model.cgroups, "/box.scope").requests, 1);
    assert_eq!(
        keys(&model.entities),
        [
            Key::Entity("/box.scope".into()),
            Key::Entity("/elsewhere.scope".into()),
            path("io cgroup 99"),
            Key::Other
        ]
    );
    let alone = row(&model.entities, "/elsewhere.scope").1;
    assert_eq!(alone.usage.as_ref().map(|usage| usage.run_ns), Some(0));
    assert_eq!((alone.kind, alone.cgroup), (Kind::Container, None));
}

#[test]
fn a_stream_that_went_backwards_is_unknown_and_named() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    scene.requests(writes(db, vda), 10, [0.1, 0.1]);
    scene.attributed(reads(db, vda), 0.0, &[(DiskOwner::Other, 1.0)]);
    let mut first = scene.disk_account(reads(db, vda)).clone();
    first.queue_ns += 1;
    scene.disks()[0].accounts.insert(reads(db, vda), first);
    let model = scene.model();
    let uses = row(&model.entities, "/db.service").1.disk.as_ref().unwrap();
    let known: Vec<_> = uses.iter().map(|part| part.usage.is_some()).collect();
    assert_eq!(known, [false, true]);
    assert!(model.entities.blame.is_empty());
    let disks = model.disks.as_ref().unwrap();
    assert_eq!((&disks.total, &disks.devices[&vda].usage), (&None, &None));
    let reasons: Vec<_> = model.unknown.iter().map(|u| u.reason.as_str()).collect();
    let expected = "the read counters of /db.service on vda went backwards";
    assert!(reasons.contains(&expected), "{reasons:?}");
}

#[test]
fn what_a_forgotten_stream_did_counts_as_others() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let dead = scene.disk_cgroup(2, "/dead.service");
    let db = scene.disk_cgroup(3, "/db.service");
    scene.requests(reads(dead, vda), 10, [0.1, 0.1]);
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    scene.attributed(reads(db, vda), 1.0, &[(dead, 1.0)]);
    scene.before.disk = scene.after.disk.clone();
    // Since then it had two requests more, and all is part of the others.
    let account = scene.disks()[1].accounts.remove(&reads(dead, vda)).unwrap();
    scene
        .disk_account(reads(DiskOwner::Other, vda))
        .add(&account);
    scene.requests(reads(DiskOwner::Other, vda), 2, [0.1, 0.1]);
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    let wait = scene.disk_wait(reads(db, vda));
    wait.neighbor_ns = [(DiskOwner::Other, 2_000_000_000)].into();
    let model = scene.model();
    assert_eq!(usage(&model.entities, "other").requests, 2);
    let expected = [(&Key::Other, 2_000_000_000)];
    assert_eq!(blame(&model.entities, Resource::Disk(vda)), expected);
}

#[test]
fn stacked_devices_are_in_no_total() {
    let mut scene = Scene::new(1);
    let (vda, dm) = (scene.disk(0, "vda"), scene.disk(1, "dm-0"));
    let db = scene.disk_cgroup(2, "/db.service");
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    scene.requests(reads(db, dm), 10, [0.1, 0.2]);
    for disk in scene.disks() {
        disk.devices.get_mut(&dm).unwrap().stacked = true;
    }
    let disks = scene.model().disks.unwrap();
    let requests = |usage: &Option<DiskUsage>| usage.as_ref().unwrap().requests;
    assert_eq!(requests(&disks.total), 10);
    assert_eq!(requests(&disks.devices[&dm].usage), 10);
    assert!(disks.is_stacked(dm) && !disks.is_stacked(vda));
}

#[test]
fn what_no_request_tells_is_unknown() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    let account = scene.disk_account(writes(db, vda));
    (account.requests, account.untimed, account.unissued) = (5, 5, 5);
    let flushes = Stream {
        operation: Operation::Flush,
        ..writes(db, vda)
    };
    let account = scene.disk_account(flushes);
    (account.requests, account.unissued, account.undivided_ns) = (5, 5, 1_000);
    let model = scene.model();
    let uses = row(&model.entities, "/db.service").1.disk.as_ref().unwrap();
    let times = |at: usize| {
        let usage = uses[at].usage.as_ref().unwrap();
        [usage.wait_ns(), usage.queue_ns(), usage.device_ns()]
    };
    assert_eq!(times(0), [None, None, None]);
    assert_eq!(times(1), [Some(1_000), None, None]);
}

#[test]
fn without_the_program_nothing_is_known() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    let cpu = scene.cgroup(2, "/db.service");
    scene.ran(cpu, 1.0);
    scene.requests(reads(db, vda), 10, [0.1, 0.1]);
    scene.after.disk = None;
    let model = scene.model();
    assert_eq!(model.disks, None);
    let mut unknown = model.unknown.iter();
    assert!(unknown.any(|unknown| unknown.field == "disk"));
    let row = row(&model.entities, "/db.service").1;
    assert_eq!((&row.disk, row.io), (&None, None));
}

#[test]
fn those_without_a_name_may_wait_behind_each_other() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let other = reads(DiskOwner::Other, vda);
    scene.requests(other, 10, [0.0, 0.1]);
    scene.attributed(other, 0.0, &[(DiskOwner::Other, 1.0)]);
    let entities = scene.model().entities;
    let expected = [(&Key::Other, 1_000_000_000)];
    assert_eq!(blame(&entities, Resource::Disk(vda)), expected);
    assert_eq!(
        usage(&entities, "other").wait.get(DiskCause::Neighbor),
        1_000_000_000
    );
}

#[test]
fn a_dead_cgroup_and_its_successor_are_two_rows() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    for (id, requests) in [(3, 5), (9, 7)] {
        scene.cgroup(id, "/a.service");
        let owner = scene.disk_cgroup(id, "/a.service");
        scene.requests(reads(owner, vda), requests, [0.0, 0.001]);
    }
    scene.after.cgroups.remove(&CgroupId(3));
    let model = scene.model();
    let rows = model.cgroups.rows.iter();
    let requests: Vec<_> = rows
        .filter_map(|row| {
            let part = row.disk.as_ref()?.first()?;
            Some((row.key.clone(), part.usage.as_ref()?.requests))
        })
        .collect();
    let key = |id| Key::Cgroup(CgroupId(id));
    assert_eq!(requests, [(key(3), 5), (key(9), 7)]);
    assert_eq!(usage(&model.entities, "/a.service").requests, 12);
}

#[test]
fn a_path_that_was_given_up_joins_nothing() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    scene.cgroup(3, "/old");
    scene.after.cgroups.get_mut(&CgroupId(3)).unwrap().path = OsStr::new("/new").into();
    let owner = scene.disk_cgroup(70, "/old");
    scene.requests(reads(owner, vda), 1, [0.0, 0.001]);
    let model = scene.model();
    let (_, row) = row(&model.cgroups, "/old");
    assert_eq!(row.key, Key::Path("/old".into()));
}
