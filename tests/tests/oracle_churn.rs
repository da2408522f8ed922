//! Thousands of cgroups, short-lived or idle: nothing is lost, nothing goes to a wrong owner, the agent stays up.

use std::process::Command;
use std::time::Duration;

use tests::capability::{emulated, leaving_moment};
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::shape::{Mode, Shape};
use tests::stage::observe_while;

#[test]
fn two_thousand_cgroups_come_and_go() {
    // A process takes some ten milliseconds to make under emulation: fewer there, as one boot has minutes only.
    let count = if emulated() { 500 } else { 2_000 };
    let (home, away, marker) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    // A child, so that the controller is switched on for what is made beside it.
    let _first = away.child("first").expect("a cgroup");
    let shape = Shape::new(Mode::Churn)
        .count(count)
        .work(Duration::from_micros(500))
        .dir(away.dir());
    let churn = Plan::new(shape, &home).start().expect("the load starts");
    let shape = Shape::new(Mode::Sleeper)
        .period(Duration::from_millis(1))
        .work(Duration::from_millis(1));
    let lasting = Plan::new(shape, &marker).start().expect("the load starts");

    let mut children = 0.0;
    let seen = observe_while(&mut [churn, lasting], &[], |loads| {
        let used: f64 = loads[0]
            .wait_done()
            .expect("the churn ends")
            .parse()
            .expect("nanoseconds");
        children = used / 1e9;
        loads[1].stop();
    });

    let (ours, truth) = (
        seen.report.figure(&marker.path(), "run_s"),
        seen.truth(&marker).run_s(),
    );
    let details = seen.report.describe(&marker.path());
    let slack = truth * 0.002
        + seen.report.cpu(&marker.path())["steal_s"]
            .as_f64()
            .unwrap_or(0.0)
        + leaving_moment() * seen.truth(&marker).slices as f64;
    assert!(
        (ours - truth).abs() <= slack,
        "the lasting cgroup ran {ours} s, schedstat {truth} s\n{details}"
    );

    let truth = children + seen.truth(&home).run_s();
    let sum = |figure: &str, of: &dyn Fn(&str) -> bool| -> f64 {
        let rows = seen.report.entities().iter();
        let rows = rows.filter(|row| {
            of(row["cgroup"]["path"]
                .as_str()
                .or(row["key"].as_str())
                .unwrap_or_default())
        });
        rows.filter_map(|row| row["cpu"][figure].as_f64()).sum()
    };
    // The path of a cgroup that was gone before its name was taken is its id.
    let lost = |path: &str| path.starts_with("cgroup ");
    let ours =
        |path: &str| path.starts_with(&away.path()) || path.starts_with(&home.path()) || lost(path);
    let named = sum("run_s", &ours);
    let other = sum("run_s", &|path| path == "other");
    let switches = sum("switches_voluntary", &ours) + sum("switches_involuntary", &ours);
    println!("churn ran {truth:.3} s; named {named:.3} s in {switches} slices, other {other:.3} s");
    let events = &seen.report.0["accounting"];
    let unnamed = seen
        .report
        .entities()
        .iter()
        .filter(|row| row["cgroup"]["path"].as_str().is_some_and(lost));
    let (unnamed, names_lost) = (unnamed.count() as f64, seen.report.accounting("names_lost"));
    assert!(
        unnamed <= names_lost,
        "{unnamed} cgroups have no name, {names_lost} were not told: {events}"
    );
    let most = truth * 1.01 + leaving_moment() * switches;
    assert!(
        named <= most,
        "{named} s are booked for {truth} s of churn: {events}"
    );
    assert!(
        named + other >= truth * 0.99,
        "{named} s and {other} s of others for {truth} s of churn: {events}"
    );
}

#[test]
fn idle_cgroups_leave_room_for_those_that_work() {
    // More than the maps have slots for; each has one process for a moment, and exists from then on.
    const IDLE: usize = 1_400;
    const SLOTS: usize = 1_024;
    const VISIT: &str =
        r#"for dir in "$0"/idle-*; do echo $$ >"$dir/cgroup.procs"; sleep 0.015; done"#;
    let crowd = Cgroup::new().expect("a cgroup");
    let idle: Vec<Cgroup> = (0..IDLE)
        .map(|number| crowd.child(&format!("idle-{number}")).expect("a cgroup"))
        .collect();
    let worker = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Sleeper)
        .period(Duration::from_millis(5))
        .work(Duration::from_millis(1));
    let load = Plan::new(shape, &worker).start().expect("the load starts");
    let seen = observe_while(&mut [load], &[], |loads| {
        let visitor = Command::new("sh")
            .args(["-c", VISIT])
            .arg(crowd.dir())
            .status();
        assert!(visitor.expect("a shell").success());
        loads[0].stop();
    });

    let (path, truth) = (worker.path(), seen.truth(&worker));
    let ours = seen.report.figure(&path, "run_s");
    let stolen = seen.report.cpu(&path)["steal_s"].as_f64().unwrap_or(0.0);
    let slack = truth.run_s() * 0.002 + stolen + leaving_moment() * truth.slices as f64;
    assert!(
        (ours - truth.run_s()).abs() <= slack,
        "{path} ran {ours} s, schedstat {} s\n{}",
        truth.run_s(),
        seen.report.describe(&path)
    );
    let named = seen.report.entities().iter().filter(|row| {
        let path = row["cgroup"]["path"].as_str().unwrap_or_default();
        let ran = row["cpu"]["run_s"].as_f64().unwrap_or(0.0);
        path.starts_with(&format!("{}/", crowd.path())) && ran > 0.0
    });
    let named = named.count();
    println!(
        "{named} of {} idle cgroups have an account of their own",
        idle.len()
    );
    assert!(
        named > SLOTS,
        "{named} only: {}",
        seen.report.0["accounting"]
    );
}
