//! The agent is no noisy neighbour: what the kernel programs see does not wake it.

use std::time::Duration;

use tests::capability::test_cpu;
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::report::Running;
use tests::shape::{Mode, Shape};
use tests::truth::Snapshot;

#[test]
fn a_storm_of_switches_does_not_wake_the_agent() {
    // It looks once a second, and otherwise sleeps.
    const MOST_WAKE_UPS: u64 = 50;
    let group = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::PingPong).wall(Duration::from_secs(3));
    let load = Plan::new(shape, &group).on(&[test_cpu()]).start();
    let mut load = load.expect("the load starts");
    let running = Running::start(&["--duration", "10m"]);
    let before = running.wake_ups();
    load.go();
    load.wait_done().expect("the load ends");
    let woken = running.wake_ups() - before;
    drop(Snapshot::at_rest(&group));
    let report = running.interrupt();

    let cpu = report.cpu(&group.path());
    let switches = ["switches_voluntary", "switches_involuntary"].map(|name| {
        cpu[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name} in {cpu}"))
    });
    let switches: u64 = switches.iter().sum();
    println!("{switches} switches, {woken} wake-ups of the agent");
    assert!(switches > 100 * MOST_WAKE_UPS, "no storm: {cpu}");
    assert!(
        woken <= MOST_WAKE_UPS,
        "the agent woke up {woken} times for {switches} switches"
    );
}
