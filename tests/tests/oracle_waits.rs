//! Waits and run time of a cgroup against the kernel's own figures for its threads, at rest.

use std::time::Duration;

use tests::capability::{leaving_moment, steal_outside_run_time, test_cpu, unsupported};
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

/// A few microseconds a thread: the last switch before rest is booked by the kernel after the tracepoint.
fn slack(seen: &Observation, group: &Cgroup) -> f64 {
    5e-6 * seen.threads(group) as f64
}

fn assert_waits(name: &str, seen: &Observation, group: &Cgroup) {
    let (ours, truth) = (seen.report.wait(&group.path()), seen.truth(group).wait_s());
    // The report says when the kernel kept switches from its program: then a short-lived task's last wait may lack.
    let missed = seen.report.accounting("missed") > 0.0;
    let part = if missed { 0.005 } else { 0.001 };
    let (phantoms, tolerance) = (seen.report.phantoms(), part * truth + slack(seen, group));
    let within = ours <= truth + tolerance && ours + phantoms >= truth - tolerance;
    let details = seen.report.describe(&group.path());
    assert!(
        within,
        "{name}: waits {ours} s (+ {phantoms} s of phantoms), schedstat {truth} s\n{details}"
    );
    let (waits, slices) = (
        seen.report.figure(&group.path(), "waits"),
        seen.truth(group).slices as f64,
    );
    // A phantom is a wait to the kernel as well; how many there were is known for the whole host.
    let phantoms = seen.report.accounting("phantoms");
    let slack = 0.001 * slices + 2.0 * seen.threads(group) as f64;
    let within = waits <= slices + slack && waits + phantoms >= slices - slack;
    assert!(
        within,
        "{name}: {waits} waits, schedstat counted {slices}\n{details}"
    );
}

/// How long a task may run while others wait, in seconds: a slice, and the tick that ends it.
const LONGEST_SLICE: f64 = 4e-3;

fn assert_run_time(name: &str, seen: &Observation, group: &Cgroup) {
    let path = group.path();
    let run = seen.report.figure(&path, "run_s");
    let steal = seen.report.cpu(&path)["steal_s"].as_f64().unwrap_or(0.0);
    let ours = if steal_outside_run_time() {
        run
    } else {
        run + steal
    };
    let truth = seen.truth(group).run_s();
    let moments = leaving_moment() * seen.truth(group).slices as f64;
    // A switch that the kernel kept from the program leaves at most one slice with the task before.
    let missed = LONGEST_SLICE * seen.report.accounting("missed");
    let slack = 0.001 * truth + slack(seen, group) + missed;
    let within = ours >= truth - slack && ours <= truth + slack + moments;
    assert!(
        within,
        "{name}: run {run} s, steal {steal} s, schedstat {truth} s\n{}",
        seen.report.describe(&path)
    );
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
