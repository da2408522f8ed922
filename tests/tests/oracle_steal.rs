//! Steal against `/proc/stat`, where there is a steal clock; unknown to the last field where there is none.

use std::time::Duration;

use serde_json::Value;
use tests::capability::steal_clock_moves;
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::report::Running;
use tests::shape::{Mode, Shape};
use tests::sys;
use tests::truth::{CpuTimes, Snapshot};

#[test]
fn steal_agrees_with_the_kernel_or_is_unknown() {
    let group = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Spin)
        .threads(sys::online_cpus())
        .wall(Duration::from_secs(10));
    let mut load = Plan::new(shape, &group).start().expect("the load starts");
    let running = Running::start(&["--duration", "10m"]);
    let before = CpuTimes::read(None).steal;
    load.go();
    load.wait_done().expect("the load ends");
    drop(Snapshot::at_rest(&group));
    let stolen = CpuTimes::read(None)
        .steal
        .saturating_sub(before)
        .as_secs_f64();
    let report = running.interrupt().0;

    if !steal_clock_moves() && report["host"]["cpu"]["steal_s"].is_null() {
        return assert_unknown(&report);
    }
    let rows = report["entities"].as_array().expect("a list").iter();
    let rows: f64 = rows.filter_map(|row| row["cpu"]["steal_s"].as_f64()).sum();
    let ours = rows
        + report["host"]["cpu"]["idle_steal_s"]
            .as_f64()
            .unwrap_or(0.0);
    println!("steal: ours {ours:.3} s, /proc/stat {stolen:.3} s");
    if stolen < 2.0 {
        println!(
            "INCONCLUSIVE steal_agrees_with_the_kernel_or_is_unknown: {stolen} s of steal, 2 s are needed"
        );
        return;
    }
    let ticks = 2.0 * sys::online_cpus() as f64 / sys::ticks_per_second() as f64;
    let tolerance = (0.01 * stolen).max(ticks);
    assert!(
        (ours - stolen).abs() <= tolerance,
        "steal is {ours} s, /proc/stat says {stolen} s"
    );
}

/// No figure that speaks of steal may be a number, wherever it stands.
fn assert_unknown(report: &Value) {
    let mut numbers = Vec::new();
    collect_steal("", report, &mut numbers);
    assert!(
        numbers.is_empty(),
        "there is no steal clock, but: {numbers:?}"
    );
    let unknown = report["unknown"].as_array().expect("a list");
    let named = unknown.iter().any(|row| {
        row["field"]
            .as_str()
            .is_some_and(|field| field.contains("steal"))
    });
    assert!(named, "`unknown` does not name steal: {unknown:?}");
}

fn collect_steal(path: &str, value: &Value, numbers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| collect_steal(&format!("{path}/{name}"), value, numbers)),
        Value::Array(rows) => rows
            .iter()
            .for_each(|row| collect_steal(path, row, numbers)),
        Value::Number(number)
            if path
                .rsplit('/')
                .next()
                .is_some_and(|name| name.contains("steal")) =>
        {
            numbers.push(format!("{path} = {number}"));
        }
        _ => {}
    }
}
