use std::time::Duration;

use agent_ebpf::{cause::Cause, owner::KernelFamily};

use crate::{
    history::Origin,
    model::{
        Model,
        fixture::{
            Scene,
            disk::{reads, writes},
            kernel,
        },
    },
};

/// Readings of a host, one after the other.
pub(super) struct Host {
    scene: Scene,
    pub(super) seconds: u64,
}

/// What somebody did in a second.
#[derive(Debug)]
pub(super) enum Did {
    /// Ran so long, undisturbed.
    Ran(f64),
    /// Ran so long, and waited so long for another of that number.
    Waited(f64, f64, u64),
}

impl Host {
    pub(super) fn new() -> Host {
        let mut scene = Scene::new(4);
        scene.after.monotonic = scene.before.monotonic;
        scene.disk(0, "vda");
        Host { scene, seconds: 0 }
    }

    /// The interval of one second in which these did that.
    pub(super) fn second(&mut self, did: &[(u64, Did)]) -> Model {
        self.interval(Duration::from_secs(1), did)
    }

    pub(super) fn interval(&mut self, length: Duration, did: &[(u64, Did)]) -> Model {
        let scene = &mut self.scene;
        scene.before = scene.after.clone();
        scene.after.monotonic += length;
        scene.after.wall += length;
        for cpu in scene.after.cpus.iter_mut().flatten() {
            cpu.idle_ns += length.as_nanos() as u64;
        }
        self.seconds += length.as_secs();
        for (id, did) in did {
            self.did(*id, did);
        }
        self.scene.model()
    }

    fn did(&mut self, id: u64, did: &Did) {
        let scene = &mut self.scene;
        let party = scene.cgroup(id, path(id));
        let disk = scene.disk_cgroup(id, path(id));
        let vda = *scene.disks()[1].devices.keys().next().unwrap();
        match *did {
            Did::Ran(seconds) => scene.ran(party, seconds),
            Did::Waited(ran, waited, culprit) => {
                scene.ran(party, ran);
                let other = scene.cgroup(culprit, path(culprit));
                let other_disk = scene.disk_cgroup(culprit, path(culprit));
                scene.waited_for(party, other, waited, 0.020);
                scene.waited_for(party, kernel(KernelFamily::Rcu), 0.001, 0.001);
                scene.waited(party, Cause::Idle, 0.002, 0.000_1);
                scene.requests(writes(disk, vda), 10, [0.010, 0.002]);
                scene.attributed(writes(disk, vda), 0.02, &[(other_disk, 0.1)]);
                scene.requests(reads(other_disk, vda), 10, [0.0, 0.010]);
            }
        }
    }
}

/// Of an entity with a name as containers have.
pub(super) fn path(id: u64) -> String {
    format!("/kubepods-pod{id:032x}-{:064x}.scope", id * 0x9e37_79b9)
}

pub(super) fn origin() -> Origin {
    let host = crate::host::facts::read("/proc".as_ref(), "/sys".as_ref()).unwrap();
    Origin {
        facts: host,
        hierarchy: crate::host::hierarchy::Mode::V2,
        capabilities: vec![crate::names::capability(&crate::names::Names::default())],
    }
}
