//! Quantiles of single waits against the kernel's own trace of the same waits.

use std::time::Duration;

use tests::capability::{emulated, test_cpu, unsupported, waking_moment};
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::report::BUCKET;
use tests::shape::{Mode, Shape};
use tests::stage::observe;
use tests::trace::Trace;

const WINDOW: Duration = Duration::from_secs(5);
/// A trace and the programs may differ about so many events of thousands.
const RANKS: usize = 3;

fn load(cgroup: &Cgroup, shape: Shape) -> Load {
    Plan::new(shape.wall(WINDOW), cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

#[test]
fn quantiles_are_within_a_bucket_of_those_of_raw_events() {
    if !Trace::is_there() {
        return unsupported(
            "quantiles_are_within_a_bucket_of_those_of_raw_events",
            "a trace of the scheduler",
        );
    }
    let (victim, neighbor) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    let milli = Duration::from_millis(if emulated() { 10 } else { 1 });
    let sleepers = Shape::new(Mode::Sleeper).threads(6);
    let mut loads = [
        load(&victim, sleepers.period(3 * milli).work(milli / 5)),
        load(&neighbor, Shape::new(Mode::Spin)),
    ];
    let threads = victim.threads().expect("the threads of the load");
    let trace = Trace::start(threads).expect("a trace");
    let seen = observe(&mut loads);
    let mut exact = trace.waits().expect("the trace's waits");
    exact.sort_unstable();
    let path = victim.path();
    let details = seen.report.describe(&path);
    let waits = seen.report.figure(&path, "waits");
    println!("{} waits traced, {waits} accounted", exact.len());
    assert!(exact.len() > 500, "the stage failed: {} waits", exact.len());
    assert!(
        (waits - exact.len() as f64).abs() <= 0.01 * waits + RANKS as f64,
        "{} waits traced\n{details}",
        exact.len()
    );
    for (name, quantile) in [("p50_s", 0.5), ("p99_s", 0.99), ("p999_s", 0.999)] {
        let told = seen.report.cpu(&path)["delay"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} is unknown\n{details}"));
        let rank = (quantile * exact.len() as f64).ceil() as usize;
        let at = |rank: usize| exact[rank.clamp(1, exact.len()) - 1] as f64 / 1e6;
        let (least, most) = (at(rank.saturating_sub(RANKS)), at(rank + RANKS));
        println!("{name}: {told} s, exact {} s", at(rank));
        let moment = waking_moment();
        assert!(
            (least / BUCKET - moment..=most * BUCKET + moment).contains(&told),
            "{name}: {told} s, exact {least} to {most} s\n{details}"
        );
    }
}
