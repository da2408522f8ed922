//! Findings of hand-made intervals, for tests.

use std::time::Duration;

use agent_ebpf::{block::Operation, cause::Cause, owner::KernelFamily};

use crate::{
    capability::{Capability, Status},
    cli::report::{
        args::{By, Filter},
        findings::{Extent, Findings, Host, Question},
    },
    entity::identify,
    host::{facts::HostFacts, hierarchy::Mode, processes::Usage},
    model::{
        Model,
        fixture::{
            Scene,
            disk::{reads, writes},
            kernel,
        },
    },
    sample::{
        CgroupId, Party,
        disk::{DiskHealth, DiskOwner, Stream, Timing},
        pressure::Stalled,
    },
};

/// Asked without any option.
pub(super) fn question() -> Question {
    Question {
        by: By::Entity,
        filter: None,
        top: None,
        duration: Duration::from_secs(10),
    }
}

/// Asked about cgroups that match.
pub(super) fn about(glob: &str) -> Question {
    Question {
        filter: Some(Filter::parse(glob).unwrap()),
        ..question()
    }
}

/// What is found in a scene. Each culprit has two processes.
pub(super) fn findings(scene: &Scene, question: Question) -> Findings {
    let model = Model::new(&scene.before, &scene.after, &identify);
    let mut findings = Findings::new(question, host(), model, WHOLE);
    for culprit in &mut findings.culprits {
        culprit.processes = Some(vec![process(4242, "ffmpeg", 12), process(4243, "x264", 4)]);
    }
    findings
}

/// A web server that a batch job holds up, beside a job that its quota holds back.
pub(super) fn noisy() -> Scene {
    let mut scene = Scene::new(2);
    scene.cgroup(2, "/system.slice");
    let web = scene.cgroup(3, "/system.slice/web.service");
    let batch = scene.cgroup(4, "/system.slice/batch.service");
    let job = scene.cgroup(5, "/job");
    let kworker = kernel(KernelFamily::Kworker);
    scene.ran(web, 4.0);
    scene.ran(batch, 12.0);
    scene.ran(job, 0.5);
    scene.ran(kworker, 0.3);
    scene.waited_for(web, batch, 2.0, 0.020);
    scene.waited_for(web, kworker, 0.1, 0.001);
    scene.quota(5, 0.05);
    scene.waited(job, Cause::Throttled, 9.0, 0.090);
    scene
}

/// A database whose requests a backup holds up, on a disk with a file system of its own in a file.
pub(super) fn noisy_disk() -> Scene {
    let mut scene = Scene::new(2);
    let db = scene.cgroup(2, "/db.service");
    let backup = scene.cgroup(3, "/backup.service");
    scene.ran(db, 0.5);
    scene.ran(backup, 1.0);
    let (vda, mounted) = (scene.disk(0, "vda"), scene.disk(1, "loop0"));
    for disk in scene.disks() {
        let device = disk.devices.get_mut(&mounted).unwrap();
        device.stacked = true;
        device.label = Some("/srv/data.img".into());
    }
    let db = scene.disk_cgroup(2, "/db.service");
    let backup = scene.disk_cgroup(3, "/backup.service");
    scene.requests(writes(db, vda), 1_000, [0.065, 0.010]);
    scene.requests(writes(db, vda), 20, [0.200, 0.050]);
    scene.attributed(
        writes(db, vda),
        22.4,
        &[(backup, 55.0), (DiskOwner::Other, 2.6)],
    );
    scene.requests(reads(db, vda), 400, [0.000_02, 0.000_4]);
    scene.attributed(reads(db, vda), 0.1, &[(backup, 0.068)]);
    scene.requests(reads(db, mounted), 50, [0.000_1, 0.011]);
    scene.attributed(reads(db, mounted), 0.2, &[]);
    scene.requests(reads(backup, vda), 5_120, [0.040, 0.012]);
    scene.attributed(reads(backup, vda), 26.24, &[(db, 20.0)]);
    scene.disk_wait(reads(backup, vda)).self_ns = 220_000_000_000;
    let flushes = Stream {
        owner: DiskOwner::Device,
        device: vda,
        operation: Operation::Flush,
    };
    scene.requests(flushes, 100, [0.0, 0.006]);
    scene.attributed(flushes, 0.6, &[]);
    for (id, megabytes) in [(1, 420), (2, 93), (3, 320)] {
        scene.kernel_read(id, vda, megabytes * 1_000_000);
    }
    let [_, after] = scene.disks();
    (after.health.seen, after.health.accounted) = (6_700, 6_690);
    (after.health.partial, after.health.not_io) = (8, 2);
    scene
}

/// A disk that is slow by itself, a job that `io.max` holds back, and an account with gaps.
pub(super) fn slow_disk() -> Scene {
    let mut scene = Scene::new(2);
    let sda = scene.disk(0, "sda");
    let db = scene.disk_cgroup(2, "/db.service");
    let job = scene.disk_cgroup(3, "/job.service");
    scene.requests(reads(db, sda), 400, [0.001, 0.019]);
    scene.attributed(reads(db, sda), 7.0, &[(job, 0.2)]);
    scene.disk_wait(reads(db, sda)).unattributed_ns = 800_000_000;
    scene.requests(writes(job, sda), 20, [0.001, 0.019]);
    scene.attributed(writes(job, sda), 0.4, &[]);
    scene.kernel_read(3, sda, 1_000_000);
    for (disk, seconds) in scene.disks().into_iter().zip([0, 8]) {
        let cgroup = disk.cgroups.get_mut(&CgroupId(3)).unwrap();
        let figures = cgroup.figures.as_mut().unwrap();
        figures.limited = Some(true);
        figures.pressure = Some(Stalled {
            some: Duration::from_secs(seconds),
            full: Some(Duration::ZERO),
        });
    }
    let [_, after] = scene.disks();
    after.devices.get_mut(&sda).unwrap().timing = Timing::TotalOnly;
    after.health = DiskHealth {
        seen: 420,
        accounted: 420,
        other_streams: 3,
        records_lost: 42,
        sampled: 3,
        ..DiskHealth::default()
    };
    scene
}

/// A service that nobody disturbs.
pub(super) fn calm() -> Scene {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    scene.ran(web, 1.0);
    scene
}

/// Tenants with a long name, a name that means something to a terminal, and names that end alike.
pub(super) fn hostile_names() -> Scene {
    let mut scene = Scene::new(2);
    let long = format!("/{}.service", "a-very-long-name-of-a-service-".repeat(5));
    let victim = scene.cgroup(2, &long);
    let hostile = scene.cgroup(3, b"/\x1b[31mred\r\n\xff");
    scene.ran(victim, 2.0);
    scene.ran(hostile, 15.0);
    scene.waited_for(victim, hostile, 5.0, 0.050);
    for (id, path) in [
        (10, "/x"),
        (11, "/x/a.service"),
        (12, "/y"),
        (13, "/y/a.service"),
    ] {
        let party = scene.cgroup(id, path);
        scene.ran(party, 0.1);
    }
    scene
}

/// A task that starves, beside a crowd that takes turns in short waits.
pub(super) fn starving() -> Scene {
    let mut scene = Scene::new(2);
    let web = scene.cgroup(2, "/web.service");
    scene.waiting(web, 7.0);
    let storm: Vec<Party> = (3..9)
        .map(|id| scene.cgroup(id, format!("/storm{id}")))
        .collect();
    for pair in storm.windows(2) {
        scene.ran(pair[0], 2.0);
        scene.waited_for(pair[0], pair[1], 2.0, 0.000_05);
    }
    scene
}

/// All of what was asked for.
pub(super) const WHOLE: Extent = Extent::Observed { complete: true };

pub(super) fn host() -> Host {
    Host {
        facts: HostFacts {
            name: "web-1".into(),
            boot_id: Some("3b1c".into()),
            release: "6.12.0".into(),
            online: vec![0, 1],
            highest_present: 1,
            hypervisor: Some(true),
            steal_supported: Some(true),
            sched_ext: None,
            pressure: true,
        },
        hierarchy: Mode::V2,
        capabilities: vec![Capability {
            name: "btf".into(),
            intent: "where the kernel keeps what is read".into(),
            required: true,
            status: Status::Active,
            detail: "/sys/kernel/btf/vmlinux".into(),
            remedy: None,
        }],
    }
}

fn process(pid: u32, comm: &str, seconds: u64) -> Usage {
    Usage {
        pid,
        comm: comm.into(),
        cpu_ns: seconds * 1_000_000_000,
        is_kernel_thread: false,
    }
}
