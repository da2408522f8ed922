//! The canary: what the agent tells of a known disturbance, and that nothing of it stays.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::capability::test_cpu;
use tests::cgroup::{Cgroup, Hierarchy};
use tests::load::Plan;
use tests::metrics::{points, total};
use tests::shape::{Mode, Shape};
use tests::sink::{Protocol, Sink};

const RUNS: &str = "crosstalk.agent.canary.runs";
const TIME: &str = "crosstalk.agent.canary.time";

fn children(process: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.expect("the process is there");
    children.split_whitespace().map(str::to_owned).collect()
}

/// The two cgroups of an agent's canary.
fn cgroups(agent: &Agent) -> Vec<PathBuf> {
    let mount = Hierarchy::find().expect("a hierarchy").mount;
    let keepers = children(&agent.id().to_string());
    let processes = keepers.iter().flat_map(|keeper| children(keeper));
    let cgroup = |process: String| {
        let text = fs::read_to_string(format!("/proc/{process}/cgroup")).expect("its cgroups");
        let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
        let path = paths.find(|path| path.contains("/crosstalk-canary-"));
        mount.join(path.expect("it is in its own").trim_start_matches('/'))
    };
    let cgroups: Vec<PathBuf> = processes.map(cgroup).collect();
    assert_eq!(cgroups.len(), 2);
    assert!(cgroups.iter().all(|cgroup| cgroup.exists()), "{cgroups:?}");
    cgroups
}

/// All have gone, or it is said which have not.
fn gone(cgroups: &[PathBuf]) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if cgroups.iter().all(|cgroup| !cgroup.exists()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{cgroups:?} are left");
}

#[test]
fn a_known_disturbance_is_told_as_it_was() {
    let sink = Sink::start(Protocol::Http, &[]);
    let agent = Agent::start(&[
        "--endpoint",
        &sink.endpoint(),
        "--history-socket",
        "none",
        "--interval",
        "1s",
        "--canary",
        "10s",
    ]);
    let cgroups = cgroups(&agent);
    // A third one wants the same CPUs, and is not mistaken for the other of the two.
    let group = Cgroup::new().expect("a cgroup");
    let plan = Plan::new(Shape::new(Mode::Spin).wall(Duration::from_secs(25)), &group);
    let mut load = plan.on(&[test_cpu()]).start().expect("the load starts");
    load.go();
    let start = Instant::now();
    let (runs, expected, measured) = loop {
        std::thread::sleep(Duration::from_millis(500));
        let told: Vec<_> = sink.accepted().iter().flat_map(points).collect();
        let of = |metric: &str| {
            let of_metric = told.iter().filter(|point| point.metric == metric);
            of_metric.cloned().collect::<Vec<_>>()
        };
        let account = |name: &str| {
            let times = of(TIME);
            total(&times, |own| {
                own.get("crosstalk.account").is_some_and(|is| is == name)
            })
        };
        let runs = total(&of(RUNS), |_| true);
        if runs >= 1.0 || start.elapsed() > Duration::from_mins(1) {
            break (runs, account("expected"), account("measured"));
        }
    };
    let ended = agent.terminate();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(runs >= 1.0, "the canary did not run: {}", ended.log);
    assert!(expected > 0.010, "they shared no CPU: {expected} s");
    assert!(
        (measured - expected).abs() <= 0.03 * expected + 0.005,
        "{measured} s told, {expected} s by the kernel's account"
    );
    gone(&cgroups);
}

#[test]
fn nothing_of_it_stays_when_the_agent_is_killed() {
    let agent = Agent::start(&[
        "--endpoint",
        "http://127.0.0.1:9",
        "--history-socket",
        "none",
        "--canary",
        "1h",
    ]);
    let cgroups = cgroups(&agent);
    // Killed, not terminated.
    drop(agent);
    gone(&cgroups);
}
