//! Thousands of short-lived cgroups: nothing is lost, nothing goes to a wrong owner, the agent stays up.

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
    let ours = |path: &str| path.starts_with(&away.path()) || path.starts_with(&home.path());
    let named = sum("run_s", &ours);
    let other = sum("run_s", &|path| path == "other");
    let switches = sum("switches_voluntary", &ours) + sum("switches_involuntary", &ours);
    println!("churn ran {truth:.3} s; named {named:.3} s in {switches} slices, other {other:.3} s");
    let events = &seen.report.0["accounting"];
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
