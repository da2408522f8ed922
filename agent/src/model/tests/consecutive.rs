//! Consecutive intervals as one tell what one interval over all of them would.

use std::time::Duration;

use agent_ebpf::owner::KernelFamily;
use proptest::prelude::*;

use super::properties::{
    blame_adds_up, causes_add_up, entities_add_up, sample, some_come_and_go, succeeding,
};
use crate::{
    model::{
        Consecutive, Key, Model, Row, Table, Usage, WaitingNow,
        fixture::{
            Scene,
            disk::{reads, writes},
            identify, kernel,
        },
    },
    sample::{CgroupId, Sample},
};

fn joined(models: impl IntoIterator<Item = Model>) -> Option<Model> {
    let mut whole = Consecutive::default();
    whole.extend(models);
    whole.finish()
}

fn between(before: &Sample, after: &Sample) -> Model {
    Model::new(before, after, &identify)
}

/// Three readings in a row, of a host that stays the same.
fn three() -> impl Strategy<Value = [Sample; 3]> {
    let all = (sample(), sample(), sample());
    all.prop_map(|(first, second, third)| {
        let (first, second) = some_come_and_go((first, second));
        let abilities = first.abilities;
        let second = succeeding(&first, second);
        let third = succeeding(&second, third);
        [first, second, third].map(|sample| Sample {
            abilities,
            ..sample
        })
    })
}

/// The next ten seconds of a scene.
fn go_on(scene: &mut Scene) {
    scene.before = scene.after.clone();
    scene.after.monotonic += Duration::from_secs(10);
    scene.after.wall += Duration::from_secs(10);
    for cpu in scene.after.cpus.iter_mut().flatten() {
        cpu.idle_ns += 10_000_000_000;
    }
}

fn row<'a>(table: &'a Table, path: &str) -> &'a Row {
    let mut rows = table.rows.iter();
    rows.find(|row| row.path == path).unwrap()
}

#[test]
fn nothing_is_no_interval() {
    assert!(joined([]).is_none());
    let mut scene = Scene::new(1);
    scene.after.monotonic = scene.before.monotonic;
    assert!(joined([scene.model()]).is_none());
}

#[test]
fn two_busy_intervals_are_one_of_twice_the_length() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.quota(3, 1.5);
    let vda = scene.disk(0, "vda");
    let [web_disk, batch_disk] =
        [(2, "/web.service"), (3, "/batch.service")].map(|(id, path)| scene.disk_cgroup(id, path));
    let first = scene.before.clone();
    let mut parts = Vec::new();
    for (ran, waited) in [(3.0, 1.0), (1.0, 2.5)] {
        scene.ran(web, ran);
        scene.ran(batch, 12.0);
        scene.waited_for(web, batch, waited, 0.020);
        scene.waited_for(web, kernel(KernelFamily::Kworker), 0.1, 0.001);
        scene.waiting(web, 0.5);
        scene.requests(writes(web_disk, vda), 100, [0.030, 0.010]);
        scene.attributed(writes(web_disk, vda), 1.0, &[(batch_disk, 3.0)]);
        scene.requests(reads(batch_disk, vda), 500, [0.001, 0.002]);
        scene.attributed(reads(batch_disk, vda), 1.5, &[]);
        parts.push(scene.model());
        go_on(&mut scene);
    }
    let whole = between(&first, &scene.before);
    let sum = joined(parts).unwrap();
    assert_eq!((sum.start, sum.length), (whole.start, whole.length));
    assert_eq!(sum.entities, whole.entities);
    assert_eq!(sum.cgroups, whole.cgroups);
    assert_eq!(sum.host, whole.host);
    assert_eq!(sum.disks, whole.disks);
    assert_eq!(sum.unknown, whole.unknown);
    assert_eq!(sum.accounting, whole.accounting);
}

#[test]
fn who_comes_late_is_entitled_as_if_it_had_been_there_and_waits_no_more_when_gone() {
    let mut scene = Scene::new(2);
    let early = scene.cgroup(2, "/early.service");
    scene.ran(early, 1.0);
    scene.waiting(early, 0.5);
    let mut first = scene.model();
    go_on(&mut scene);
    let late = scene.cgroup(3, "/late.service");
    scene.ran(late, 1.0);
    let mut second = scene.model();
    let entitled = row(&second.entities, "/late.service").entitled_s.unwrap();
    let at = |model: &Model, path: &str| {
        let mut keys = model.entities.rows.iter();
        keys.position(|row| row.path == path)
    };
    if let Some(row) = at(&first, "/late.service") {
        first.entities.rows.remove(row);
    }
    let gone = at(&second, "/early.service").unwrap();
    second.entities.rows.remove(gone);
    let whole = joined([first, second]).unwrap();
    let late = row(&whole.entities, "/late.service");
    assert!((late.entitled_s.unwrap() - 2.0 * entitled).abs() < 1e-9);
    let early = row(&whole.entities, "/early.service");
    assert_eq!(early.waiting, Some(WaitingNow::default()));
    assert_eq!(early.usage.as_ref().unwrap().run_ns, 1_000_000_000);
}

#[test]
fn what_one_interval_does_not_know_is_unknown_of_all() {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 1.0);
    scene.waited_for(web, batch, 1.0, 0.010);
    let first = scene.model();
    go_on(&mut scene);
    scene.account(web).run_ns = 0;
    let second = scene.model();
    let whole = joined([first, second]).unwrap();
    assert_eq!(row(&whole.entities, "/web.service").usage, None);
    assert!(whole.entities.blame.is_empty());
    assert!(whole.unknown.iter().any(|unknown| unknown.field == "cpu"));
}

#[test]
fn requests_of_nobody_do_not_make_the_kernels_figures_unknown() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    scene.cgroup(2, "/db.service");
    scene.requests(reads(db, vda), 10, [0.0, 0.001]);
    scene.kernel_read(2, vda, 655_360);
    let first = scene.model();
    let stat = row(&first.entities, "/db.service").io.unwrap().stat;
    assert_eq!(stat.unwrap().read_bytes, 655_360);
    go_on(&mut scene);
    for disk in scene.disks() {
        let cgroup = disk.cgroups.get_mut(&CgroupId(2)).unwrap();
        cgroup.figures = None;
    }
    let whole = joined([first, scene.model()]).unwrap();
    assert_eq!(row(&whole.entities, "/db.service").io.unwrap().stat, stat);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn sums_hold([first, second, third] in three()) {
        let whole = joined([between(&first, &second), between(&second, &third)]);
        let Some(whole) = whole else { return Ok(()) };
        blame_adds_up(&whole.entities)?;
        blame_adds_up(&whole.cgroups)?;
        causes_add_up(&whole)?;
        entities_add_up(&whole)?;
        let keys: Vec<_> = whole.entities.rows.iter().map(|row| &row.key).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b));
        let last = third.monotonic.saturating_sub(first.monotonic);
        prop_assert_eq!(whole.length, last);
    }

    #[test]
    fn every_row_is_that_of_the_whole([first, second, third] in three()) {
        // An interval without length has no rows.
        prop_assume!(first.monotonic < second.monotonic && second.monotonic < third.monotonic);
        let whole = between(&first, &third);
        let parts = [between(&first, &second), between(&second, &third)];
        let sum = joined(parts).expect("they have a length");
        let of = |table: &Table, key: &Key| {
            let mut rows = table.rows.iter().filter(|row| row.key == *key);
            rows.next().map(|row| row.usage.clone())
        };
        // Who did nothing need not have a row.
        let did_something = |row: &&Row| row.usage.as_ref().is_none_or(Usage::is_active);
        for (one, other) in [(&whole, &sum), (&sum, &whole)] {
            for row in one.cgroups.rows.iter().filter(did_something) {
                prop_assert_eq!(of(&other.cgroups, &row.key), Some(row.usage.clone()));
            }
        }
        prop_assert_eq!(sum.host.wait, whole.host.wait);
        prop_assert_eq!(sum.accounting, whole.accounting);
    }
}
