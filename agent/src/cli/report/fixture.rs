//! Findings of hand-made intervals, for tests.

use std::time::Duration;

use agent_ebpf::{cause::Cause, owner::KernelFamily};

use crate::{
    capability::{Capability, Status},
    cli::report::{
        args::{By, Filter},
        findings::{Findings, Host, Question},
    },
    entity::identify,
    host::{facts::HostFacts, hierarchy::Mode, processes::Usage},
    model::{
        Model,
        fixture::{Scene, kernel},
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
    let mut findings = Findings::new(question, host(), model, true);
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

fn host() -> Host {
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
            name: "btf",
            intent: "where the kernel keeps what is read",
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
