use std::time::Duration;

use crate::{
    model::{
        Model, Resource,
        fixture::{
            Scene,
            disk::{reads, writes},
        },
    },
    sample::{
        CgroupId,
        disk::{DeviceId, DiskOwner},
        pressure::Stalled,
    },
    signal::{Class, Culprits, Doubt, Hurt, OwnCause, Signals, Thresholds, Verdict},
};

fn signals(scene: &Scene) -> (Model, Signals) {
    let model = scene.model();
    let signals = Signals::detect(&model, &Thresholds::default());
    (model, signals)
}

/// 100 reads that took `each` seconds, half of it behind a backup that was served longer.
fn noisy(each: f64) -> (Scene, DeviceId, DiskOwner) {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    let backup = scene.disk_cgroup(3, "/backup.service");
    scene.requests(reads(db, vda), 100, [each / 2.0, each / 2.0]);
    scene.attributed(reads(db, vda), 1.0, &[(backup, 1.0)]);
    scene.requests(writes(backup, vda), 1_000, [0.0, each]);
    scene.attributed(writes(backup, vda), 1.0, &[]);
    (scene, vda, db)
}

fn verdict(scene: &Scene) -> Verdict {
    signals(scene).1.verdict
}

const HURT: Verdict = Verdict::Hurts { hurt: 1, of: 2 };

#[test]
fn requests_behind_those_of_others_hurt() {
    let (scene, vda, _) = noisy(0.020);
    let (model, signals) = signals(&scene);
    assert_eq!(signals.verdict, HURT);
    let hurt = &signals.hurt[0];
    assert_eq!(model.entities.rows[hurt.row].name, "db.service");
    assert_eq!(hurt.resource, Resource::Disk(vda));
    assert_eq!((hurt.lost_ns, hurt.lost_share), (1_000_000_000, 0.5));
    assert_eq!(hurt.class, Some(Class::NoisyNeighbor));
    let culprit = hurt.culprits.named()[0];
    assert_eq!(model.entities.rows[culprit.row].name, "backup.service");
    assert_eq!((culprit.share, culprit.over), (1.0, None));
}

#[test]
fn requests_within_the_objective_hurt_nobody() {
    let (mut scene, vda, db) = noisy(0.008);
    scene.requests(reads(db, vda), 900, [0.004, 0.004]);
    assert_eq!(verdict(&scene), Verdict::Calm);
    // Nor does a long write that had the disk for itself.
    scene.requests(writes(db, vda), 1, [0.0, 0.050]);
    scene.attributed(writes(db, vda), 1.0, &[]);
    assert_eq!(verdict(&scene), Verdict::Calm);
    scene.requests(reads(db, vda), 1, [0.0, 0.050]);
    assert_eq!(verdict(&scene), HURT);
}

#[test]
fn where_creation_is_not_noted_the_time_from_issue_on_counts() {
    let (mut scene, vda, db) = noisy(0.050);
    for owner in [db, DiskOwner::Cgroup(CgroupId(3))] {
        for stream in [reads(owner, vda), writes(owner, vda)] {
            let account = scene.disk_account(stream);
            account.untimed = account.requests;
            (account.queue_ns, account.queue, account.total) = Default::default();
        }
    }
    assert_eq!(verdict(&scene), HURT);
}

#[test]
fn little_time_and_small_parts_hurt_nobody() {
    let (mut scene, vda, db) = noisy(0.020);
    scene.disk_wait(reads(db, vda)).device_ns = 20_000_000_000;
    assert_eq!(verdict(&scene), Verdict::Calm, "a small part");
    let (mut scene, ..) = noisy(0.020);
    scene.after.monotonic += Duration::from_secs(90);
    assert_eq!(verdict(&scene), Verdict::Calm, "10 ms/s");
}

#[test]
fn who_was_served_longer_than_its_neighbors_is_told_for_information() {
    let (mut scene, vda, db) = noisy(0.020);
    scene.requests(reads(db, vda), 10_000, [0.0, 0.020]);
    let (_, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Calm);
    let told: Vec<_> = signals.hurt.iter().map(|hurt| hurt.class).collect();
    assert_eq!(told, [Some(Class::OverRequest)]);
}

#[test]
fn an_entity_counts_once_however_many_resources_it_waits_for() {
    let (mut scene, ..) = noisy(0.020);
    let db = scene.cgroup(2, "/db.service");
    let batch = scene.cgroup(4, "/batch.service");
    scene.ran(batch, 8.0);
    scene.waited_for(db, batch, 2.0, 0.050);
    let (model, signals) = signals(&scene);
    assert_eq!(signals.verdict, Verdict::Hurts { hurt: 1, of: 3 });
    assert_eq!(signals.hurt.len(), 2);
    let culprits = |hurt: &Hurt| {
        model.entities.rows[hurt.culprits.named()[0].row]
            .name
            .clone()
    };
    let culprits: Vec<_> = signals.hurt.iter().map(culprits).collect();
    assert_eq!(culprits, ["batch.service", "backup.service"]);
}

#[test]
fn what_was_lost_below_is_not_told_of_a_stacked_device() {
    let (mut scene, vda, db) = noisy(0.020);
    let dm = scene.disk(1, "dm-0");
    let backup = DiskOwner::Cgroup(CgroupId(3));
    scene.requests(reads(db, dm), 100, [0.010, 0.010]);
    scene.attributed(reads(db, dm), 1.0, &[(backup, 1.0)]);
    let stacked = |scene: &mut Scene, device: DeviceId| {
        for disk in scene.disks() {
            disk.devices.get_mut(&device).unwrap().stacked = true;
        }
    };
    let resources = |scene: &Scene| -> Vec<Resource> {
        let hurt = signals(scene).1.hurt;
        hurt.iter().map(|hurt| hurt.resource).collect()
    };
    assert_eq!(resources(&scene), [vda, dm].map(Resource::Disk));
    stacked(&mut scene, dm);
    assert_eq!(resources(&scene), [Resource::Disk(vda)]);
    stacked(&mut scene, vda);
    assert_eq!(resources(&scene), [vda, dm].map(Resource::Disk));
}

#[test]
fn those_without_a_name_are_no_culprits_and_no_victims() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let db = scene.disk_cgroup(2, "/db.service");
    for (victim, culprit) in [
        (db, DiskOwner::Other),
        (DiskOwner::Other, db),
        (DiskOwner::Device, db),
    ] {
        scene.requests(reads(victim, vda), 100, [0.010, 0.010]);
        scene.attributed(reads(victim, vda), 1.0, &[(culprit, 1.0)]);
    }
    let (_, signals) = signals(&scene);
    assert_eq!(signals.hurt.len(), 1);
    assert_eq!(signals.hurt[0].culprits, Culprits::Crowd(0));
    assert_eq!((signals.hurt[0].class, signals.active), (None, 1));
    assert_eq!(signals.doubts, [], "not of CPUs");
}

#[test]
fn a_disk_that_is_slow_by_itself_is_noted() {
    let mut scene = Scene::new(1);
    let sda = scene.disk(0, "sda");
    let db = scene.disk_cgroup(2, "/db.service");
    scene.requests(reads(db, sda), 200, [0.001, 0.019]);
    scene.attributed(reads(db, sda), 4.0, &[]);
    let causes = |scene: &Scene| -> Vec<OwnCause> {
        let notes = signals(scene).1.notes;
        notes.iter().map(|note| note.cause).collect()
    };
    assert_eq!(causes(&scene), [OwnCause::Device(sda)]);
    // As much time of a fast disk is many requests.
    scene.requests(reads(db, sda), 100_000, [0.0, 0.000_1]);
    assert_eq!(causes(&scene), []);
}

#[test]
fn a_limit_is_hinted_at_where_requests_do_not_explain_the_pressure() {
    let (mut scene, vda, _) = noisy(0.020);
    let set = |scene: &mut Scene, seconds: u64, limited: bool| {
        scene.kernel_read(2, vda, 1_000);
        for (disk, seconds) in scene.disks().into_iter().zip([0, seconds]) {
            let figures = disk.cgroups.get_mut(&CgroupId(2)).unwrap().figures.as_mut();
            let figures = figures.unwrap();
            figures.limited = Some(limited);
            figures.pressure = Some(Stalled {
                some: Duration::from_secs(seconds),
                full: Some(Duration::ZERO),
            });
        }
    };
    let hint = |scene: &Scene| {
        let notes = signals(scene).1.notes;
        let mut limits = notes.iter().filter(|note| note.cause == OwnCause::IoLimit);
        limits.next().map(|note| note.lost_ns)
    };
    set(&mut scene, 8, true);
    assert_eq!(hint(&scene), Some(6_000_000_000));
    set(&mut scene, 3, true);
    assert_eq!(hint(&scene), None, "explained");
    set(&mut scene, 8, false);
    assert_eq!(hint(&scene), None, "no limit");
}

#[test]
fn gaps_in_the_account_of_requests_are_doubts() {
    let (mut scene, vda, db) = noisy(0.020);
    assert_eq!(signals(&scene).1.doubts, []);
    scene.disk_wait(reads(db, vda)).unattributed_ns = 8_000_000_000;
    let [_, after] = scene.disks();
    after.health.accounted = 1_000;
    after.health.records_lost = 100;
    after.health.other_streams = 5;
    after.health.sampled = 2;
    let (_, signals) = signals(&scene);
    assert_eq!(
        signals.doubts[..2],
        [Doubt::DiskSampled(4), Doubt::DiskRecordsLost(0.1)]
    );
    assert!(matches!(signals.doubts[2], Doubt::DiskUnattributed(part) if part > 0.05));
    assert_eq!(signals.doubts[3], Doubt::DiskStreamsExhausted(5));
}
