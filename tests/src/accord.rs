//! Whether a report tells of a cgroup what the kernel booked for its threads.

use crate::capability::{leaving_moment, share_tolerance, steal_outside_run_time};
use crate::cgroup::Cgroup;
use crate::report::Document;
use crate::stage::Observation;

/// A few microseconds a thread: the last switch before rest is booked by the kernel after the tracepoint.
pub fn slack(seen: &Observation, group: &Cgroup) -> f64 {
    5e-6 * seen.threads(group) as f64
}

/// Its waits, and how many they were; `name` is the load's.
pub fn assert_waits(name: &str, seen: &Observation, group: &Cgroup) {
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
    // A phantom is a wait to the kernel as well, and a switch that was kept from the program may lack one; how many there
    // were is known for the whole host.
    let phantoms = seen.report.accounting("phantoms");
    let missed = seen.report.accounting("missed");
    let slack = 0.001 * slices + 2.0 * seen.threads(group) as f64 + missed;
    let within = waits <= slices + slack && waits + phantoms >= slices - slack;
    assert!(
        within,
        "{name}: {waits} waits, schedstat counted {slices}\n{details}"
    );
}

/// How much of stolen time is run time to the kernel.
pub fn within_run_time(steal: f64) -> f64 {
    if steal_outside_run_time() { 0.0 } else { steal }
}

/// How long a task may run while others wait, in seconds: a slice, and the tick that ends it.
const LONGEST_SLICE: f64 = 4e-3;

/// Its run time.
pub fn assert_run_time(name: &str, seen: &Observation, group: &Cgroup) {
    let path = group.path();
    let run = seen.report.figure(&path, "run_s");
    let steal = seen.report.cpu(&path)["steal_s"].as_f64().unwrap_or(0.0);
    let ours = run + within_run_time(steal);
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

/// Whether a part of a victim's waits is `truth`, in seconds, as far as shares can be told. What was stolen from whoever
/// ran then is no part of it to the report; to some kernels it is run time.
pub fn is_share(report: &Document, victim: &str, wait: f64, ours: f64, truth: f64) -> bool {
    let stolen = within_run_time(report.cause(victim, "steal"));
    let tolerance = share_tolerance() * wait;
    ours <= truth + tolerance && ours + stolen >= truth - tolerance
}

/// The same, of the waits that the kernel booked for the victim.
pub fn assert_share(what: &str, seen: &Observation, victim: &Cgroup, ours: f64, truth: f64) {
    let wait = seen.truth(victim).wait_s();
    println!(
        "{what}: {:.2} % of the wait, truth {:.2} %",
        100.0 * ours / wait,
        100.0 * truth / wait
    );
    let details = seen.report.describe(&victim.path());
    assert!(
        is_share(&seen.report, &victim.path(), wait, ours, truth),
        "{what}: {ours} s of {wait} s, but {truth} s are true\n{details}"
    );
}
