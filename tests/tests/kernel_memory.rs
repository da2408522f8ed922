//! A small memory limit, under which agents live on Kubernetes, does not end one.

use std::fs;
use std::process::Command;
use std::time::Duration;

use tests::agent::Agent;
use tests::cgroup::{Cgroup, MemoryLimit};
use tests::load::Plan;
use tests::report::crosstalk;
use tests::shape::{Mode, Shape};

/// What the agent has to live with, maps of the kernel programs included.
const LIMIT: u64 = 128 << 20;
/// Cgroups beside those of the host.
const CGROUPS: usize = 200;

#[test]
fn an_agent_lives_in_128_mebibytes() {
    let limit = MemoryLimit::new(LIMIT).expect("the memory controller");
    let group = Cgroup::new().expect("a cgroup");
    let name = |number: usize| format!("c{number}");
    let _many: Vec<Cgroup> = (0..CGROUPS)
        .map(|number| group.child(&name(number)).expect("a cgroup"))
        .collect();
    let plan = Plan::new(Shape::new(Mode::Spin).wall(Duration::from_secs(4)), &group);
    let mut load = plan.start().expect("the load starts");
    // Nobody listens there: what is not delivered is kept.
    let bare = crosstalk(&[
        "agent",
        "--endpoint",
        "http://127.0.0.1:9",
        "--history-socket",
        "none",
        "--interval",
        "1s",
        "--shutdown-timeout",
        "1s",
    ]);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
        .arg(limit.dir())
        .arg(bare.get_program())
        .args(bare.get_args());
    let agent = Agent::run(&mut command);
    load.go();
    load.wait_done().unwrap_or_else(|error| panic!("{error}"));
    let inside = fs::read_to_string(limit.dir().join("cgroup.procs")).expect("its processes");
    assert!(
        inside.lines().any(|id| id == agent.id().to_string()),
        "the agent is not under the limit: {inside}"
    );
    let used = limit.used().expect("the kernel's count");
    let ended = agent.terminate();
    assert!(ended.status.success(), "{}: {}", ended.status, ended.log);
    // Less would mean that what it maps was not counted.
    assert!(used > 4 << 20 && used <= LIMIT, "{used} bytes");
}
