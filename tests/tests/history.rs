//! A report of the past: a running agent tells it, and nothing is loaded for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::capability::test_cpu;
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::metrics;
use tests::report::{Document, binary, crosstalk};
use tests::shape::{Mode, Shape};
use tests::sink::{Protocol, Sink};
use tests::truth::{Sched, Snapshot};

/// A user and a group without any rights.
const NOBODY: u32 = 65_534;
const NO_AGENT: &str = "no history: no agent was running; observing 10 s from now\n";

/// A folder with a socket, and with the binary for those who may not see where it is built.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("our own folder");
        fs::copy(binary(), folder.path().join("crosstalk")).expect("the binary is built");
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("run/agent.sock")
    }

    fn text(&self) -> String {
        self.socket().display().to_string()
    }

    /// A report of the past by somebody who may load no programs.
    fn ask_as(&self, group: u32, args: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("crosstalk"));
        command.args(["report", "--json", "--history-socket", &self.text()]);
        command.args(args).uid(NOBODY).gid(group);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }
}

/// Runs a command; it never holds a kernel program, map or link.
fn without_programs(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the binary starts");
    let folder = PathBuf::from(format!("/proc/{}/fd", child.id()));
    while child.try_wait().expect("our own child").is_none() {
        let descriptors = fs::read_dir(&folder).into_iter().flatten().flatten();
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        let of_bpf = |target: &PathBuf| target.to_string_lossy().contains("bpf");
        let held: Vec<PathBuf> = targets.filter(of_bpf).collect();
        assert!(held.is_empty(), "it holds {held:?}");
    }
    child.wait_with_output().expect("our own child")
}

fn document(output: &Output) -> Document {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    Document::parse(&output.stdout)
}

fn close(what: &str, ours: f64, theirs: f64) {
    assert!(
        (ours - theirs).abs() <= 0.005 * theirs + 0.010,
        "{what}: {ours} remembered, {theirs} by another account"
    );
}

/// Two loads that wait for their start.
fn loads(groups: &[Cgroup; 2]) -> [Load; 2] {
    let shape = || Shape::new(Mode::Spin).wall(Duration::from_secs(4));
    groups.each_ref().map(|group: &Cgroup| {
        let plan = Plan::new(shape(), group).on(&[test_cpu()]);
        plan.start().expect("the load starts")
    })
}

/// Runs them against each other; what the kernel booked for them.
fn run(loads: &mut [Load; 2], groups: &[Cgroup; 2]) -> [Sched; 2] {
    let before = groups.each_ref().map(Snapshot::at_rest);
    loads.iter_mut().for_each(Load::go);
    for load in loads {
        load.wait_done().unwrap_or_else(|error| panic!("{error}"));
    }
    let mut before = before.iter();
    groups.each_ref().map(|group| {
        let before = before.next().expect("one for each");
        Snapshot::at_rest(group).since(before)
    })
}

/// The agent's latest second is over when it tells all that the kernel booked.
fn ask_until_told(place: &Place, groups: &[Cgroup; 2], truth: &[Sched; 2]) -> Document {
    let start = Instant::now();
    loop {
        let mut command = place.ask_as(NOBODY, &["--since", "1m"]);
        let told = document(&without_programs(&mut command));
        let is_there = |(group, truth): (&Cgroup, &Sched)| {
            let mut rows = told.entities().iter();
            let row = rows.find(|row| row["cgroup"]["path"] == group.path());
            let run = row.and_then(|row| row["cpu"]["run_s"].as_f64());
            run.is_some_and(|run| run >= truth.run_s() - 0.010)
        };
        if groups.iter().zip(truth).all(is_there) {
            return told;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "not told: {:?}",
            told.0["entities"]
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn who_was_hurt_is_told_afterwards_to_who_may_load_nothing() {
    let place = Place::new();
    // They start before the agent and end after it was asked: no more than their run is told.
    let groups = [Cgroup::new(), Cgroup::new()].map(|group| group.expect("a cgroup"));
    let mut loads = loads(&groups);
    let sink = Sink::start(Protocol::Grpc, &[]);
    let endpoint = sink.endpoint();
    let group = NOBODY.to_string();
    let agent = Agent::start(&[
        "--interval",
        "1s",
        "--protocol",
        "grpc",
        "--endpoint",
        &endpoint,
        "--history-socket",
        &place.text(),
        "--history-group",
        &group,
    ]);
    let truth = run(&mut loads, &groups);
    let told = ask_until_told(&place, &groups, &truth);
    drop(loads);
    assert_eq!(told.0["interval"]["source"], "history");
    assert_eq!(
        told.0["interval"]["complete"], false,
        "it is younger than a minute"
    );
    for (victim, culprit) in [(0, 1), (1, 0)] {
        let [path, other] = [victim, culprit].map(|group: usize| groups[group].path());
        close(
            "run time",
            told.figure(&path, "run_s"),
            truth[victim].run_s(),
        );
        close("wait", told.wait(&path), truth[victim].wait_s());
        // On one CPU each waits while the other runs.
        let (blame, run) = (told.blame(&path, &other), truth[culprit].run_s());
        let is_right = (blame - run).abs() <= 0.03 * run + 0.05;
        assert!(is_right, "{run} s\n{}", told.describe(&path));
    }
    // An agent whose group one is not in, or without a group, tells nothing.
    let refused = place.ask_as(NOBODY - 1, &["--since", "1m"]).output();
    let refused = refused.expect("the binary starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("this user may not ask the agent"), "{said}");
    agent.terminate().exported();
    assert!(!place.socket().exists(), "the socket is left behind");
    let accepted = sink.accepted();
    for group in &groups {
        let path = group.path();
        let run = metrics::of_entity(&accepted, &path, "crosstalk.cpu.run.time");
        let run = metrics::total(&run, |_| true);
        close("run time", told.figure(&path, "run_s"), run);
    }
}

#[test]
fn without_an_agent_it_says_so_and_observes() {
    let place = Place::new();
    let output = crosstalk(&[
        "report",
        "--json",
        "--since",
        "30m",
        "--history-socket",
        &place.text(),
    ])
    .output()
    .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with(NO_AGENT), "{said}");
    let told = document(&output);
    assert_eq!(told.0["interval"]["source"], "observation");
    assert!((told.seconds() - 10.0).abs() < 1.0, "{}", told.seconds());
}

#[test]
fn an_agent_takes_the_place_of_one_that_was_killed() {
    let place = Place::new();
    let args = [
        "--history-socket",
        &place.text(),
        "--endpoint",
        "http://127.0.0.1:9",
    ];
    drop(Agent::start(&args));
    assert!(place.socket().exists(), "nobody cleans up after kill -9");
    let agent = Agent::start(&args);
    let mode = fs::metadata(place.socket())
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    // A second agent observes all the same, and leaves the first one alone.
    let second = Agent::start(&args).terminate();
    assert!(second.status.success(), "{}", second.log);
    let start = Instant::now();
    loop {
        let mut ask = crosstalk(&["report", "--json", "--since", "5s"]);
        let output = ask.args(["--history-socket", &place.text()]).output();
        let output = output.expect("the binary starts");
        if output.status.success() {
            assert_eq!(document(&output).0["interval"]["source"], "history");
            break;
        }
        // Nothing is remembered before the first second is over.
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("the agent remembers nothing of that time"),
            "{said}"
        );
        assert!(start.elapsed() < Duration::from_secs(10), "{said}");
    }
    agent.terminate();
}
