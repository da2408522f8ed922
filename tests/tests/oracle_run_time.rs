//! Run time of what never switches, and that the idle task is nobody.

use std::time::Duration;

use tests::capability::{test_cpu, waking_moment};
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::report::Running;
use tests::shape::{Mode, Shape};
use tests::stage::observe;
use tests::truth::{Snapshot, involuntary_switches};

#[test]
fn a_lone_busy_task_has_run_time_in_every_reading() {
    let group = Cgroup::new().expect("a cgroup");
    let mut load = Plan::new(Shape::new(Mode::Spin), &group)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    load.go();
    let running = Running::start(&["--duration", "3s"]);
    let before = Snapshot::now(&group);
    let report = running.finish();
    let truth = Snapshot::now(&group).since(&before);
    load.stop();

    let path = group.path();
    let run = report.figure(&path, "run_s") + report.cpu(&path)["steal_s"].as_f64().unwrap_or(0.0);
    let (wait, seconds) = (report.wait(&path), report.seconds());
    println!("run and steal {run:.4} s, wait {wait:.4} s of {seconds:.4} s; schedstat {truth:?}");
    let details = report.describe(&path);
    // Somebody else may have used the CPU: then the task waited, and both together are the interval.
    let within = (run + wait - seconds).abs() <= 0.02 * seconds;
    assert!(
        within,
        "run {run} s and wait {wait} s make no {seconds} s\n{details}"
    );
    let within = run <= truth.run_s() * 1.02 + report.cpu(&path)["steal_s"].as_f64().unwrap_or(0.0);
    assert!(
        within,
        "run {run} s, but schedstat grew by {} s only\n{details}",
        truth.run_s()
    );
}

#[test]
fn the_idle_task_neither_waits_nor_is_blamed() {
    const WINDOW: Duration = Duration::from_secs(2);
    let (busy, sleepy) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    // One CPU alternates with idle thousands of times, the other is never idle.
    let shape = Shape::new(Mode::Sleeper).threads(2).wall(WINDOW);
    let sleeper = Plan::new(shape, &sleepy)
        .on(&[0])
        .start()
        .expect("the load starts");
    let spin = Shape::new(Mode::Spin).wall(WINDOW);
    let spinner = Plan::new(spin, &busy)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    let before = [&busy, &sleepy].map(involuntary_switches);
    // Kept until their switches are read.
    let mut loads = [sleeper, spinner];
    let seen = observe(&mut loads);
    for row in seen.report.blame_rows() {
        for side in ["victim", "culprit"] {
            let name = row[side].as_str().unwrap_or_default();
            assert!(
                !name.contains("idle") && !name.contains("swapper"),
                "the idle task is a {side}: {row}"
            );
        }
    }
    for (group, before) in [&busy, &sleepy].into_iter().zip(before) {
        let truth = involuntary_switches(group) - before;
        let cpu = seen.report.cpu(&group.path());
        let ours = cpu["switches_involuntary"]
            .as_u64()
            .unwrap_or_else(|| panic!("no switches_involuntary in {cpu}"));
        let within = ours.abs_diff(truth) <= 2 + truth / 1_000;
        assert!(
            within,
            "{ours} involuntary switches, {truth} by /proc\n{}",
            seen.report.describe(&group.path())
        );
        let idle = seen.report.cause(&group.path(), "idle");
        let wait = seen.truth(group).wait_s();
        // The moment between a wake-up and the switch to it is the idle task's, on each of its waits.
        let moments = waking_moment() * seen.truth(group).slices as f64;
        assert!(
            idle <= 0.01 * wait + moments,
            "idle is a cause of {idle} s\n{}",
            seen.report.describe(&group.path())
        );
    }
}

#[test]
fn all_cpu_time_is_somewhere() {
    const WINDOW: Duration = Duration::from_secs(3);
    let group = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Sleeper)
        .threads(4)
        .wall(WINDOW)
        .work(Duration::from_micros(500));
    let seen = observe(&mut [Plan::new(shape, &group).start().expect("the load starts")]);
    let host = &seen.report.0["host"]["cpu"];
    let figure = |name: &str| host[name].as_f64().unwrap_or(0.0);
    let (run, idle, steal) = (figure("run_s"), figure("idle_s"), figure("steal_s"));
    let capacity = seen.report.seconds() * tests::sys::online_cpus() as f64;
    let sum = run + idle + steal;
    println!("busy {run:.3} + idle {idle:.3} + steal {steal:.3} s of {capacity:.3} s");
    assert!(
        (sum - capacity).abs() <= 0.01 * capacity,
        "CPU time sums to {sum} s of {capacity} s: {host}"
    );
    let rows = seen.report.entities().iter();
    let rows: f64 = rows.filter_map(|row| row["cpu"]["run_s"].as_f64()).sum();
    assert!(
        (rows - run).abs() <= 0.01 * capacity,
        "rows ran {rows} s, the host {run} s"
    );
}
