use std::{collections::BTreeMap, ffi::OsStr, time::Duration};

use agent_ebpf::block::Operation;
use proptest::prelude::*;

use crate::{
    model::{
        Key, Model, Resource, Table,
        disk::{DiskCause, DiskUsage},
        fixture::{Scene, identify},
    },
    sample::{
        CgroupId, Counts, Sample,
        disk::{
            Device, DeviceId, Disk, DiskAccount, DiskCgroup, DiskOwner, DiskWait, IoFigures,
            IoStat, Stream, Timing,
        },
        pressure::Stalled,
    },
};

const PATHS: [&str; 6] = [
    "/a.service",
    "/a.service/x",
    "/a.service/y",
    "/b",
    "/b/c.scope",
    "/b/c.scope/init",
];
const DEVICES: u32 = 3;

fn device(minor: u32) -> DeviceId {
    DeviceId { major: 8, minor }
}

fn owner() -> impl Strategy<Value = DiskOwner> {
    prop_oneof![
        8 => (1u64..10).prop_map(|id| DiskOwner::Cgroup(CgroupId(id))),
        1 => Just(DiskOwner::Device),
        1 => Just(DiskOwner::Other),
    ]
}

fn stream() -> impl Strategy<Value = Stream> {
    (owner(), 0..DEVICES, 0usize..4).prop_map(|(owner, minor, operation)| Stream {
        owner,
        device: device(minor),
        operation: Operation::ALL[operation],
    })
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0u64..1_000, 0u64..20_000_000_000, 0u64..1 << 50]
}

prop_compose! {
    fn account()(
        counts in prop::array::uniform5(0u64..1 << 40),
        times in prop::array::uniform3(amount()),
        buckets in prop::collection::vec((0usize..=104, 0u64..1 << 40), 0..5),
    ) -> DiskAccount {
        let mut total = Counts::default();
        for (bucket, count) in buckets {
            total.change()[bucket] += count;
        }
        DiskAccount {
            requests: counts[0],
            bytes: counts[1],
            errors: counts[2],
            untimed: counts[3],
            unissued: counts[4],
            queue_ns: times[0],
            device_ns: times[1],
            undivided_ns: times[2],
            queue: total.clone(),
            device: Counts::default(),
            total,
        }
    }
}

prop_compose! {
    fn wait()(
        neighbor_ns in prop::collection::btree_map(owner(), amount(), 0..5),
        times in prop::array::uniform4(amount()),
    ) -> DiskWait {
        DiskWait {
            neighbor_ns,
            self_ns: times[0],
            device_ns: times[1],
            held_ns: times[2],
            unattributed_ns: times[3],
        }
    }
}

fn figures() -> impl Strategy<Value = IoFigures> {
    let stat = prop::array::uniform4(0u64..1 << 40).prop_map(|counts| IoStat {
        read_bytes: counts[0],
        write_bytes: counts[1],
        reads: counts[2],
        writes: counts[3],
    });
    let stats = prop::collection::btree_map((0..DEVICES).prop_map(device), stat, 0..4);
    let pressure = (0u64..100, prop::option::of(0u64..100));
    let pressure = pressure.prop_map(|(some, full)| Stalled {
        some: Duration::from_secs(some),
        full: full.map(Duration::from_secs),
    });
    (
        prop::option::of(stats),
        prop::option::of(pressure),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(stat, pressure, limited)| IoFigures {
            stat,
            pressure,
            limited,
        })
}

/// Cgroups by id: parents may be missing, above themselves, or not known.
fn cgroups() -> impl Strategy<Value = BTreeMap<CgroupId, DiskCgroup>> {
    let cgroup = (
        0usize..PATHS.len(),
        prop::option::of(0u64..10),
        prop::option::of(figures()),
        any::<bool>(),
    );
    let cgroup = cgroup.prop_map(|(path, parent, figures, is_new)| DiskCgroup {
        path: OsStr::new(PATHS[path]).into(),
        parent: parent.map(CgroupId),
        figures,
        is_new,
    });
    prop::collection::btree_map((1u64..10).prop_map(CgroupId), cgroup, 0..9)
}

prop_compose! {
    fn disk()(
        accounts in prop::collection::btree_map(stream(), account(), 0..16),
        waits in prop::collection::btree_map(stream(), wait(), 0..16),
        cgroups in cgroups(),
        stacked in prop::array::uniform3(any::<bool>()),
        recursive in any::<bool>(),
        health in prop::array::uniform3(0u64..1 << 40),
    ) -> Disk {
        let device_of = |(minor, stacked)| (device(minor), Device {
            name: format!("sd{minor}"),
            label: None,
            stacked,
            timing: Timing::Kernel,
        });
        let mut disk = Disk {
            devices: (0..DEVICES).zip(stacked).map(device_of).collect(),
            accounts,
            waits,
            cgroups,
            recursive,
            ..Disk::default()
        };
        [disk.health.seen, disk.health.accounted, disk.health.records_lost] = health;
        disk
    }
}

/// The CPU's cgroups have ids of their own.
fn scene(before: Disk, after: Disk) -> (Sample, Sample) {
    let mut scene = Scene::new(1);
    for (id, path) in (20..).zip(PATHS.into_iter().take(4)) {
        let party = scene.cgroup(id, path);
        scene.ran(party, 0.1);
    }
    scene.before.disk = Some(before);
    scene.after.disk = Some(after);
    (scene.before, scene.after)
}

/// Samples as they are taken: counters grow, and some streams are forgotten in between.
fn grown() -> impl Strategy<Value = (Disk, Disk)> {
    let forgotten = prop::collection::btree_set(1u64..10, 0..4);
    (disk(), disk(), forgotten).prop_map(|(before, mut after, forgotten)| {
        for (stream, account) in &before.accounts {
            after.accounts.entry(*stream).or_default().add(account);
        }
        let is_forgotten = |stream: &Stream| match stream.owner {
            DiskOwner::Cgroup(id) => forgotten.contains(&id.0),
            DiskOwner::Device | DiskOwner::Other => false,
        };
        for stream in before.accounts.keys().filter(|stream| is_forgotten(stream)) {
            let account = after.accounts.remove(stream).unwrap();
            let owner = DiskOwner::Other;
            let other = after.accounts.entry(Stream { owner, ..*stream });
            other.or_default().add(&account);
        }
        (before, after)
    })
}

fn pair() -> impl Strategy<Value = (Disk, Disk)> {
    prop_oneof![(disk(), disk()), grown()]
}

fn uses(table: &Table) -> impl Iterator<Item = (usize, DeviceId, Option<&DiskUsage>)> {
    let rows = table.rows.iter().enumerate();
    rows.flat_map(|(index, row)| {
        let uses = row.disk.iter().flatten();
        uses.map(move |part| (index, part.device, part.usage.as_ref()))
    })
}

fn blame_adds_up(table: &Table) -> Result<(), TestCaseError> {
    let mut neighbor: BTreeMap<(usize, DeviceId), (u64, u64)> = BTreeMap::new();
    for (row, device, usage) in uses(table) {
        let (lost, whole) = neighbor.entry((row, device)).or_default();
        if let Some(usage) = usage {
            *lost += usage.wait.get(DiskCause::Neighbor);
            *whole += usage.wait.total();
        }
    }
    for blame in &table.blame {
        let Resource::Disk(device) = blame.resource else {
            continue;
        };
        prop_assert!(blame.ns > 0);
        let itself = blame.victim == blame.culprit;
        prop_assert!(!itself || table.rows[blame.victim].key == Key::Other);
        let (lost, whole) = neighbor.get_mut(&(blame.victim, device)).unwrap();
        *lost -= blame.ns;
        let share = blame.ns as f64 / *whole as f64;
        prop_assert!((blame.share - share).abs() < 1e-9);
    }
    prop_assert!(neighbor.values().all(|(left, _)| *left == 0));
    Ok(())
}

fn rows_add_up_to_devices(model: &Model, table: &Table) -> Result<(), TestCaseError> {
    let disks = model.disks.as_ref().unwrap();
    let mut sums: BTreeMap<DeviceId, Option<DiskUsage>> = BTreeMap::new();
    for (_, device, usage) in uses(table) {
        let sum = sums.entry(device).or_insert(Some(DiskUsage::default()));
        *sum = sum.take().zip(usage).map(|(mut sum, usage)| {
            sum.add(usage);
            sum
        });
    }
    for (id, device) in &disks.devices {
        let sum = sums.remove(id).unwrap_or(Some(DiskUsage::default()));
        let same = |usage: &DiskUsage| {
            let times = (usage.wait.total(), usage.queue_ns(), usage.device_ns());
            let histograms = (usage.queue.clone(), usage.total.clone());
            (usage.requests, usage.bytes, usage.errors, times, histograms)
        };
        prop_assert_eq!(sum.as_ref().map(same), device.usage.as_ref().map(same));
    }
    prop_assert!(sums.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn sums_hold((before, after) in pair()) {
        let (before, after) = scene(before, after);
        let model = Model::new(&before, &after, &identify);
        for table in [&model.entities, &model.cgroups] {
            blame_adds_up(table)?;
            rows_add_up_to_devices(&model, table)?;
            prop_assert!(table.rows.is_sorted_by(|a, b| a.key < b.key));
        }
        prop_assert!(model.entities.rows.len() <= model.cgroups.rows.len());
    }

    #[test]
    fn all_time_of_requests_has_a_cause_even_of_what_was_forgotten((before, after) in grown()) {
        let time = |disk: &Disk| disk.accounts.values().map(DiskAccount::total_ns).sum::<u64>();
        let requests = |disk: &Disk| disk.accounts.values().map(|a| a.requests).sum::<u64>();
        let expected = (time(&after) - time(&before), requests(&after) - requests(&before));
        let (before, after) = scene(before, after);
        let model = Model::new(&before, &after, &identify);
        for table in [&model.entities, &model.cgroups] {
            let mut sum = DiskUsage::default();
            for (_, _, usage) in uses(table) {
                sum.add(usage.expect("no counter fell"));
            }
            prop_assert_eq!((sum.wait.total(), sum.requests), expected);
        }
    }

    #[test]
    fn nothing_happened_between_a_sample_and_itself(disk in disk()) {
        let (before, after) = scene(disk.clone(), disk);
        let model = Model::new(&before, &after, &identify);
        prop_assert_eq!(uses(&model.entities).count(), 0);
        let total = model.disks.unwrap().total.unwrap();
        prop_assert_eq!((total.requests, total.wait.total()), (0, 0));
        let stats = model.entities.rows.iter().filter_map(|row| row.io?.stat);
        prop_assert!(stats.into_iter().all(|stat| stat == IoStat::default()));
    }

    #[test]
    fn figures_of_rows_add_up_to_those_of_the_root(
        tree in prop::collection::vec((0usize..8, 0u64..1 << 30, any::<bool>()), 1..8),
    ) {
        // Each has a parent before it, and what it read itself; sums go up.
        let mut own = vec![(None, 0u64)];
        own.extend(tree.iter().enumerate().map(|(at, (parent, bytes, _))| (Some(parent % (at + 1)), *bytes)));
        let mut sums: Vec<u64> = own.iter().map(|(_, bytes)| *bytes).collect();
        for at in (1..own.len()).rev() {
            sums[own[at].0.unwrap()] += sums[at];
        }
        let mut scene = Scene::new(1);
        let vda = scene.disk(0, "vda");
        for (at, (parent, _)) in own.iter().enumerate().skip(1) {
            let id = at as u64 + 1;
            let name = if tree[at - 1].2 { format!("/{at}.service") } else { format!("/{at}") };
            let stream = Stream {
                owner: scene.disk_cgroup(id, name),
                device: vda,
                operation: Operation::Read,
            };
            scene.requests(stream, 1, [0.0, 0.001]);
            for disk in scene.disks() {
                let cgroup = disk.cgroups.get_mut(&CgroupId(id)).unwrap();
                cgroup.parent = Some(CgroupId(parent.unwrap() as u64 + 1));
            }
            scene.kernel_read(id, vda, sums[at]);
        }
        scene.kernel_read(1, vda, sums[0]);
        let model = scene.model();
        let ios = model.entities.rows.iter().filter_map(|row| row.io);
        let sum: u64 = ios.map(|io| io.stat.expect("all were read").read_bytes).sum();
        prop_assert_eq!(sum, sums[0]);
    }
}
