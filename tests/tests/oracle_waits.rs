//! Waits and run time of a cgroup against the kernel's own figures for its threads, at rest.

use std::time::Duration;

use tests::accord::{assert_run_time, assert_waits, slack};
use tests::capability::{test_cpu, unsupported};
use tests::cgroup::Cgroup;
use tests::load::{Plan, Policy};
use tests::report::CAUSES;
use tests::shape::{Mode, Shape};
use tests::stage::{Observation, observe};

const TWO_SECONDS: Duration = Duration::from_secs(2);

/// The part of a wait whose cause may stay unknown.
const ORDINARY: f64 = 0.01;
const STORM: f64 = 0.05;

const REALTIME: &str = "real-time tasks in a cgroup";

struct Case {
    name: &'static str,
    shape: Shape,
    pinned: bool,
    policy: Policy,
    unknown: f64,
}

fn case(name: &'static str, mode: Mode) -> Case {
    let shape = Shape::new(mode).threads(4).wall(TWO_SECONDS);
    Case {
        name,
        shape,
        pinned: false,
        policy: Policy::Other,
        unknown: ORDINARY,
    }
}

fn check(case: Case) {
    let cgroup = Cgroup::new().expect("a cgroup");
    // A second cgroup on the same CPUs, so that there is something to wait for.
    let other = Cgroup::new().expect("a cgroup");
    if case.policy == Policy::Fifo && cgroup.allow_realtime(Duration::from_millis(800)).is_err() {
        return unsupported(case.name, REALTIME);
    }
    let cpus = if case.pinned {
        vec![test_cpu()]
    } else {
        Vec::new()
    };
    let plan = Plan::new(case.shape, &cgroup).on(&cpus).policy(case.policy);
    let load = match plan.start() {
        Err(said) if said.contains("unsupported") => return unsupported(case.name, REALTIME),
        started => started.expect("the load starts"),
    };
    let company = Shape::new(Mode::Sleeper)
        .threads(2)
        .wall(TWO_SECONDS)
        .work(Duration::from_micros(300));
    let company = Plan::new(company, &other)
        .on(&cpus)
        .start()
        .expect("the load starts");

    let seen = observe(&mut [load, company]);
    println!(
        "{}: {} threads, truth {:?}",
        case.name,
        seen.threads(&cgroup),
        seen.truth(&cgroup)
    );
    for group in [&cgroup, &other] {
        assert_waits(case.name, &seen, group);
        assert_run_time(case.name, &seen, group);
        assert_sums(&seen, group);
    }
    assert_known(case.name, &seen, &cgroup, case.unknown);
    assert_events(&seen);
}

/// The parts add up to the whole, and blame to the causes that it details.
fn assert_sums(seen: &Observation, group: &Cgroup) {
    let path = group.path();
    let report = &seen.report;
    let close = |left: f64, right: f64| (left - right).abs() <= 1e-6 * (1.0 + right);
    let (whole, parts) = (report.figure(&path, "wait_s"), report.wait(&path));
    assert!(
        close(whole, parts),
        "wait_s is {whole}, its causes {CAUSES:?} sum to {parts}\n{}",
        report.describe(&path)
    );
    let (blamed, cause) = (
        report.blame_below(&path, ""),
        report.cause(&path, "neighbor") + report.cause(&path, "kernel"),
    );
    assert!(
        close(blamed, cause),
        "blame sums to {blamed}, neighbor and kernel to {cause}\n{}",
        report.describe(&path)
    );
}

fn assert_known(name: &str, seen: &Observation, group: &Cgroup, limit: f64) {
    let (unknown, wait) = (
        seen.report.cause(&group.path(), "unattributed"),
        seen.report.wait(&group.path()),
    );
    let details = seen.report.describe(&group.path());
    assert!(
        unknown <= limit * wait + slack(seen, group),
        "{name}: {unknown} s of {wait} s have no cause\n{details}"
    );
}

fn assert_events(seen: &Observation) {
    let accounting = &seen.report.0["accounting"];
    let dropped = accounting["dropped"].as_object().expect("drops by reason");
    let dropped: u64 = dropped
        .values()
        .map(|count| count.as_u64().expect("a count"))
        .sum();
    let (all, accounted) = (
        &accounting["switches_seen"],
        &accounting["switches_accounted"],
    );
    let (all, accounted) = (
        all.as_u64().expect("a count"),
        accounted.as_u64().expect("a count"),
    );
    assert!(accounted > 0, "no switch was accounted: {accounting}");
    assert_eq!(
        all,
        accounted + dropped,
        "every switch is accounted or dropped with a reason: {accounting}"
    );
}

#[test]
fn spin_oversubscribed_and_migrating() {
    let shape = Shape::new(Mode::Spin).threads(7).wall(TWO_SECONDS);
    check(Case {
        shape,
        ..case("spin_oversubscribed_and_migrating", Mode::Spin)
    });
}

#[test]
fn spin_pinned() {
    check(Case {
        pinned: true,
        ..case("spin_pinned", Mode::Spin)
    });
}

#[test]
fn sleepers_and_wakers() {
    check(case("sleepers_and_wakers", Mode::Sleeper));
}

#[test]
fn ping_pong() {
    check(Case {
        unknown: STORM,
        ..case("ping_pong", Mode::PingPong)
    });
}

#[test]
fn ping_pong_storm_on_one_cpu() {
    check(Case {
        pinned: true,
        unknown: STORM,
        ..case("ping_pong_storm_on_one_cpu", Mode::PingPong)
    });
}

#[test]
fn yielders() {
    check(Case {
        unknown: STORM,
        ..case("yielders", Mode::Yield)
    });
}

#[test]
fn contended_mutex() {
    check(case("contended_mutex", Mode::Mutex));
}

#[test]
fn threads_that_change_their_cpu() {
    check(case("threads_that_change_their_cpu", Mode::Migrate));
}

#[test]
fn short_lived_children() {
    let shape = Shape::new(Mode::Fork)
        .count(20)
        .work(Duration::from_millis(20));
    check(Case {
        shape,
        ..case("short_lived_children", Mode::Fork)
    });
}

#[test]
fn realtime_tasks() {
    // Below every real-time budget, as its end would be idle time with somebody waiting.
    let shape = Shape::new(Mode::Spin).cpu_time(Duration::from_millis(300));
    check(Case {
        shape,
        pinned: true,
        policy: Policy::Fifo,
        ..case("realtime_tasks", Mode::Spin)
    });
}
