//! A running agent has no privileges left, and observes all the same.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::capability::{test_cpu, unsupported};
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::report::{Document, crosstalk};
use tests::shape::{Mode, Shape};
use tests::truth::Snapshot;

/// `CAP_BPF` alone, which kernels before 5.19 demand of whoever calls `bpf()`.
const BPF: u64 = 1 << 39;
/// How long the load runs.
const LOAD: Duration = Duration::from_secs(3);

/// The lines of `/proc/<pid>/task/<tid>/status` of each thread.
fn statuses(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("our own child");
    let status = |task: PathBuf| fs::read_to_string(task.join("status"));
    // A thread may end meanwhile.
    let tasks = tasks.filter_map(|task| status(task.expect("a thread").path()).ok());
    tasks.collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Some(line?.strip_prefix(':')?.trim())
}

fn set(status: &str, name: &str) -> u64 {
    let digits = field(status, name).expect("every kernel tells it");
    u64::from_str_radix(digits, 16).expect("hexadecimal digits")
}

/// Whether this kernel refuses `bpf()` to those without `CAP_BPF`: from 5.19 on it asks for privileges
/// only where programs are loaded and maps are made.
fn refuses_bpf() -> bool {
    let output = crosstalk(&["doctor", "--json"]).output();
    let doctor = output.expect("the binary starts").stdout;
    let doctor: serde_json::Value = serde_json::from_slice(&doctor).expect("JSON");
    let rows = doctor["capabilities"].as_array().expect("a list");
    let mut rows = rows.iter();
    let row = rows
        .find(|row| row["name"] == "confinement")
        .expect("a row");
    let detail = row["detail"].as_str().expect("text");
    detail.contains("CAP_BPF")
}

fn ask(socket: &str) -> Output {
    let output = crosstalk(&[
        "report",
        "--since",
        "1m",
        "--json",
        "--history-socket",
        socket,
    ]);
    { output }.output().expect("the binary starts")
}

#[test]
fn an_agent_without_privileges_observes() {
    let keeps = if refuses_bpf() { BPF } else { 0 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let socket = folder.path().join("agent.sock").display().to_string();
    // Nobody listens there.
    let agent = Agent::start(&[
        "--endpoint",
        "http://127.0.0.1:9",
        "--shutdown-timeout",
        "1s",
        "--history-socket",
        &socket,
    ]);
    let statuses = statuses(agent.id());
    assert!(!statuses.is_empty());
    for status in &statuses {
        for name in ["CapPrm", "CapEff"] {
            assert_eq!(set(status, name), keeps, "{name} in {status}");
        }
        for name in ["CapInh", "CapAmb"] {
            assert_eq!(set(status, name), 0, "{name} in {status}");
        }
        assert_eq!(field(status, "NoNewPrivs"), Some("1"), "{status}");
        match field(status, "Seccomp") {
            Some(mode) => assert_eq!(mode, "2", "{status}"),
            None => unsupported("an_agent_without_privileges_observes", "seccomp"),
        }
    }

    let group = Cgroup::new().expect("a cgroup");
    let before = Snapshot::at_rest(&group);
    let plan = Plan::new(Shape::new(Mode::Spin).wall(LOAD), &group).on(&[test_cpu()]);
    let mut load = plan.start().expect("the load starts");
    load.go();
    load.wait_done().unwrap_or_else(|error| panic!("{error}"));
    let truth = Snapshot::at_rest(&group).since(&before).run_s();
    let start = Instant::now();
    let told = loop {
        let output = ask(&socket);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let told = Document::parse(&output.stdout);
        let mut rows = told.entities().iter();
        let row = rows.find(|row| row["cgroup"]["path"] == group.path());
        let run_s = row
            .and_then(|row| row["cpu"]["run_s"].as_f64())
            .unwrap_or(0.0);
        if run_s >= truth - 0.010 || start.elapsed() > Duration::from_secs(20) {
            break run_s;
        }
    };
    assert!(
        (told - truth).abs() <= 0.005 * truth + 0.010,
        "{told} s told, {truth} s by schedstat"
    );
    let healthy = crosstalk(&["health", "--history-socket", &socket]).output();
    let healthy = healthy.expect("the binary starts");
    assert!(healthy.status.success(), "{healthy:?}");

    let ended = agent.terminate();
    assert!(ended.status.success(), "{}", ended.log);
    for gap in ["cannot be", "are not", "is not"] {
        let mut lines = ended.log.lines();
        let line = lines.find(|line| line.contains("WARN") && line.contains(gap));
        assert!(
            line.is_none_or(|line| line.contains("without Landlock")),
            "{line:?}"
        );
    }
    assert!(fs::metadata(&socket).is_err(), "the socket is left");
    let gone = crosstalk(&["health", "--history-socket", &socket]).output();
    assert_eq!(gone.expect("the binary starts").status.code(), Some(1));
}
