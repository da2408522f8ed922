use std::{ffi::OsStr, time::Duration};

use crate::{
    model::{
        Model, Row, Table,
        disk::IoUse,
        fixture::{Scene, disk::reads},
    },
    sample::{
        CgroupId,
        disk::{DeviceId, DiskOwner, InFlight, IoStat},
        pressure::Stalled,
    },
};

fn row<'a>(table: &'a Table, path: &str) -> &'a Row {
    let mut rows = table.rows.iter();
    rows.find(|row| row.path == OsStr::new(path)).unwrap()
}

fn read_bytes(model: &Model, path: &str) -> Option<u64> {
    let stat = row(&model.entities, path).io?.stat?;
    Some(stat.read_bytes)
}

/// A slice with two services in it, of which one has a child.
fn nested() -> (Scene, DeviceId) {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let paths = ["/s", "/s/a.service", "/s/a.service/x", "/s/b.service"];
    for (id, path) in (2..).zip(paths) {
        let owner = scene.disk_cgroup(id, path);
        scene.requests(reads(owner, vda), 1, [0.0, 0.001]);
    }
    for (id, bytes) in [(1, 100), (2, 90), (3, 50), (4, 20), (5, 30)] {
        scene.kernel_read(id, vda, bytes);
    }
    (scene, vda)
}

#[test]
fn the_kernels_figures_are_without_those_of_other_rows() {
    let (mut scene, _) = nested();
    let own =
        |model: &Model| ["/s", "/s/a.service", "/s/b.service"].map(|path| read_bytes(model, path));
    assert_eq!(own(&scene.model()), [Some(10), Some(50), Some(30)]);
    let leaf = row(&scene.model().cgroups, "/s/a.service").io;
    assert_eq!(leaf.unwrap().stat.unwrap().read_bytes, 30);
    for disk in scene.disks() {
        disk.recursive = false;
    }
    assert_eq!(own(&scene.model()), [Some(90), Some(70), Some(30)]);
}

#[test]
fn a_missing_first_figure_is_unknown_unless_the_cgroup_is_new() {
    let (mut scene, _) = nested();
    scene.disks()[0].cgroups.remove(&CgroupId(4));
    let own = |model: &Model| ["/s", "/s/a.service"].map(|path| read_bytes(model, path));
    assert_eq!(own(&scene.model()), [Some(10), None]);
    let [_, after] = scene.disks();
    after.cgroups.get_mut(&CgroupId(4)).unwrap().is_new = true;
    assert_eq!(own(&scene.model()), [Some(10), Some(50)]);
}

#[test]
fn figures_of_stacked_and_unseen_devices_are_not_compared() {
    let (mut scene, vda) = nested();
    let unseen = DeviceId { major: 253, ..vda };
    scene.kernel_read(5, unseen, 1_000);
    let stat = row(&scene.model().entities, "/s/b.service")
        .io
        .unwrap()
        .stat;
    let expected = IoStat {
        read_bytes: 30,
        ..IoStat::default()
    };
    assert_eq!(stat, Some(expected));
}

#[test]
fn a_disk_is_busy_for_no_longer_than_its_requests_took_where_all_are_known() {
    let mut scene = Scene::new(1);
    let vda = scene.disk(0, "vda");
    let owner = scene.disk_cgroup(2, "/a.service");
    scene.requests(reads(owner, vda), 100, [0.0, 0.010]);
    let busy = |scene: &Scene| {
        let disks = scene.model().disks.unwrap();
        let share = disks.devices[&vda].busy_share(Duration::from_secs(10));
        share.map(|share| (share * 100.0).round())
    };
    assert_eq!(busy(&scene), None, "the kernel does not say");
    for (disk, time) in scene.disks().into_iter().zip([3, 8]) {
        let time = Duration::from_secs(time);
        let in_flight = InFlight { time, requests: 0 };
        disk.in_flight.insert(vda, in_flight);
    }
    assert_eq!(busy(&scene), Some(10.0));
    scene.disk_account(reads(owner, vda)).untimed = 1;
    assert_eq!(busy(&scene), Some(50.0), "one took an unknown time");
    scene.disk_account(reads(owner, vda)).untimed = 0;
    for (disk, misses) in scene.disks().into_iter().zip([0, 1]) {
        disk.health.recursion_misses = Some(misses);
    }
    assert_eq!(busy(&scene), Some(50.0), "one was not seen");
}

#[test]
fn limits_count_on_the_whole_path_and_pressure_at_the_boundary() {
    let (mut scene, _) = nested();
    let io = |scene: &Scene, path| -> IoUse { row(&scene.model().entities, path).io.unwrap() };
    assert_eq!(io(&scene, "/s/b.service").limited, Some(false));
    for (disk, seconds) in scene.disks().into_iter().zip([1, 3]) {
        let cgroup = disk.cgroups.get_mut(&CgroupId(3)).unwrap();
        cgroup.figures.as_mut().unwrap().pressure = Some(Stalled {
            some: Duration::from_secs(seconds),
            full: Some(Duration::ZERO),
        });
    }
    let pressure = io(&scene, "/s/a.service").pressure.unwrap();
    assert_eq!(pressure.some, Duration::from_secs(2));
    assert_eq!(io(&scene, "/s/b.service").pressure, None);
    let set = |scene: &mut Scene, limited| {
        let [_, after] = scene.disks();
        let slice = after.cgroups.get_mut(&CgroupId(2)).unwrap();
        slice.figures.as_mut().unwrap().limited = limited;
    };
    set(&mut scene, Some(true));
    assert_eq!(io(&scene, "/s/b.service").limited, Some(true));
    set(&mut scene, None);
    assert_eq!(io(&scene, "/s/b.service").limited, None);
    set(&mut scene, Some(false));
    let [before, after] = scene.disks();
    for disk in [before, after] {
        disk.cgroups.remove(&CgroupId(2));
    }
    assert_eq!(io(&scene, "/s/b.service").limited, None, "no way up");
}

#[test]
fn requests_of_a_cgroup_that_was_not_read_are_in_nobodys_figures() {
    let (mut scene, vda) = nested();
    for disk in scene.disks() {
        disk.cgroups.get_mut(&CgroupId(4)).unwrap().figures = None;
    }
    let own = |model: &Model| ["/s", "/s/a.service"].map(|path| read_bytes(model, path));
    assert_eq!(own(&scene.model()), [Some(10), None]);
    let [_, after] = scene.disks();
    after
        .accounts
        .retain(|stream, _| stream.owner != DiskOwner::Cgroup(CgroupId(4)));
    assert_eq!(own(&scene.model()), [Some(10), Some(50)], "it had none");
    // It was read once, and had no requests since.
    scene.kernel_read(4, vda, 0);
    let [_, after] = scene.disks();
    after.cgroups.get_mut(&CgroupId(4)).unwrap().figures = None;
    assert_eq!(own(&scene.model()), [Some(10), Some(50)]);
    let limited = row(&scene.model().entities, "/s/a.service")
        .io
        .unwrap()
        .limited;
    assert_eq!(limited, Some(false));
}

#[test]
fn a_figure_that_went_backwards_is_unknown() {
    let (mut scene, vda) = nested();
    scene.kernel_read(5, vda, 30);
    let [before, _] = scene.disks();
    let figures = before
        .cgroups
        .get_mut(&CgroupId(5))
        .unwrap()
        .figures
        .as_mut();
    let stats = figures.unwrap().stat.as_mut().unwrap();
    stats.get_mut(&vda).unwrap().read_bytes = 31;
    let model = scene.model();
    let own = ["/s", "/s/a.service", "/s/b.service"].map(|path| read_bytes(&model, path));
    assert_eq!(own, [None, Some(50), None]);
}
