//! A storm of switches that would cost too much: the programs account less, say so, stay true, and come back.

use std::time::Duration;

use tests::capability::{test_cpu, unsupported};
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::report::{Document, Running};
use tests::shape::{Mode, Shape};
use tests::truth::Snapshot;

/// Two dear readings in a row are a step down: it is one or two of them, and not the same for each report.
const STORM: Duration = Duration::from_secs(3);
/// After two steps down calm spells of 120 s bring one back each.
const SPELLS: Duration = Duration::from_secs(255);

fn pairs(cgroup: &Cgroup) -> Load {
    let shape = Shape::new(Mode::PingPong).wall(STORM);
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

fn detail(report: &Document) -> &str {
    let detail = report.0["accounting"]["detail"].as_str();
    detail.expect("what is accounted is told")
}

#[test]
fn a_storm_is_accounted_for_less_and_then_as_before() {
    let groups: [Cgroup; 2] = std::array::from_fn(|_| Cgroup::new().expect("a cgroup"));
    let mut loads = groups.each_ref().map(pairs);
    let before = groups.each_ref().map(Snapshot::at_rest);
    let (storm, long) = (
        Running::start(&["--duration", "10m"]),
        Running::start(&["--duration", "10m"]),
    );
    loads.iter_mut().for_each(Load::go);
    for load in &mut loads {
        load.wait_done().expect("the load ends");
    }
    let after = groups.each_ref().map(Snapshot::at_rest);
    let report = storm.interrupt();
    let seen = report.accounting("switches_seen") / STORM.as_secs_f64();
    println!("{seen:.0} switches a second: {}", detail(&report));
    if detail(&report) == "full" {
        long.kill();
        return unsupported(
            "a_storm_is_accounted_for_less_and_then_as_before",
            "more switches than the budget allows",
        );
    }
    for ((group, before), after) in groups.iter().zip(&before).zip(&after) {
        let (path, truth) = (group.path(), after.since(before));
        let ours = report.wait(&path) + report.figure(&path, "discarded_phantom_s");
        let details = report.describe(&path);
        println!("waited {ours} s, truth {} s", truth.wait_s());
        assert!(
            (ours - truth.wait_s()).abs() <= 0.001 * truth.wait_s() + 1e-4,
            "{ours} s waited, truth {} s\n{details}",
            truth.wait_s()
        );
    }
    std::thread::sleep(SPELLS);
    assert_eq!(detail(&long.interrupt()), "full", "all is calm again");
}
