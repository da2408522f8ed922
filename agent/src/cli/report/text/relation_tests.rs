//! What is told of harm within a pod or a workload.

use std::ffi::OsStr;

use crate::{
    cli::report::{
        findings::Findings,
        fixture::{WHOLE, host, question},
        text::render,
    },
    entity::identify_with,
    model::{Model, fixture::Scene},
    names::{Container, Facts, Pod, Workload},
};

const APP: &str = "0000000000000000000000000000000000000000000000000000000000000001";
const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000002";
const POD: &str = "11112222-3333-4444-5555-666677778888";
const REPLICA: &str = "11112222-3333-4444-5555-666677779999";

fn facts(requests: Option<f64>) -> Facts {
    let pod = |name: &str| Pod {
        namespace: Some("shop".into()),
        name: Some(name.into()),
        workload: Some(Workload {
            kind: "Deployment".into(),
            name: "web".into(),
        }),
        ..Pod::default()
    };
    let container = |name: &str, cpu_request| Container {
        name: Some(name.into()),
        cpu_request,
        ..Container::default()
    };
    Facts {
        pods: [(POD.into(), pod("web-1")), (REPLICA.into(), pod("web-2"))].into(),
        containers: [
            (APP.into(), container("app", None)),
            (OTHER.into(), container("proxy", requests)),
        ]
        .into(),
    }
}

/// A container that another holds up, in the same pod or another of its workload.
fn told(pod_of_other: &str, requests: Option<f64>) -> String {
    let mut scene = Scene::new(1);
    scene.cgroup(2, "/kubepods");
    scene.cgroup(3, format!("/kubepods/pod{POD}"));
    if pod_of_other != POD {
        scene.cgroup(4, format!("/kubepods/pod{pod_of_other}"));
    }
    let app = scene.cgroup(5, format!("/kubepods/pod{POD}/{APP}"));
    let other = scene.cgroup(6, format!("/kubepods/pod{pod_of_other}/{OTHER}"));
    scene.ran(app, 2.0);
    scene.ran(other, 8.0);
    scene.waited_for(app, other, 6.0, 0.020);
    let facts = facts(requests);
    let identify = |path: &OsStr| identify_with(&facts, path);
    let model = Model::new(&scene.before, &scene.after, &identify);
    render(&Findings::new(question(), host(), model, WHOLE), None)
}

#[test]
fn a_pod_mate_is_no_noisy_neighbor() {
    let text = told(POD, None);
    assert!(text.contains("shop/web-1/app lost"), "{text}");
    assert!(
        text.contains("shop/web-1/proxy, of the same pod, used more than a fair share (pod mate)"),
        "{text}"
    );
    assert!(
        text.contains("set CPU limits and requests in the pod"),
        "{text}"
    );
    assert!(!text.contains("noisy"), "{text}");
}

#[test]
fn a_replica_is_no_noisy_neighbor() {
    let text = told(REPLICA, None);
    assert!(text.contains("of the same workload"), "{text}");
    assert!(text.contains("topologySpreadConstraints"), "{text}");
    assert!(!text.contains("noisy"), "{text}");
}

#[test]
fn a_request_is_what_run_time_is_compared_with() {
    let text = told(POD, Some(0.7));
    assert!(text.contains("its CPU request"), "{text}");
    let text = told(POD, Some(0.1));
    assert!(!text.contains("its CPU request"), "{text}");
}
