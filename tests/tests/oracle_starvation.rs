//! Tasks that starve: visible while they do, and in the right place of the distribution afterwards.

use std::time::Duration;

use tests::capability::{has_task_iterator, test_cpu, unsupported};
use tests::cgroup::{Cgroup, Weight};
use tests::load::{Load, Plan, Policy};
use tests::report::Running;
use tests::shape::{Mode, Shape};
use tests::stage::observe;

/// More than 2^32 ns, where a shift in 32 bits wraps, twice: the poor one may have a turn in between.
const LONG_WAIT: Duration = Duration::from_secs(9);

struct Pair {
    poor: Cgroup,
    rich: Cgroup,
}

/// Weights so far apart that the poor one gets a moment in many seconds.
fn groups() -> Pair {
    let (poor, rich) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    poor.set_weight(Weight::Least).expect("a weight");
    rich.set_weight(Weight::Most).expect("a weight");
    Pair { poor, rich }
}

fn victim(cgroup: &Cgroup, shape: Shape) -> Load {
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .policy(Policy::Idle)
        .start()
        .expect("the load starts")
}

fn hog(cgroup: &Cgroup, shape: Shape) -> Load {
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

#[test]
fn a_wait_in_progress_is_shown() {
    if !has_task_iterator() {
        return unsupported("a_wait_in_progress_is_shown", "a task iterator");
    }
    let pair = groups();
    let mut loads = [
        hog(&pair.rich, Shape::new(Mode::Spin)),
        victim(&pair.poor, Shape::new(Mode::Spin)),
    ];
    loads.iter_mut().for_each(Load::go);
    let path = pair.poor.path();
    // Even the poor one has a turn in many seconds, and so may have had it just before the end.
    let starved = (0..3).any(|_| {
        let report = Running::start(&["--duration", "3s"]).finish();
        let details = report.describe(&path);
        let waiting = &report.cpu(&path)["waiting_now"];
        assert_eq!(waiting["tasks"], 1, "one task starves\n{details}");
        assert_eq!(
            report.0["interval"]["complete"], true,
            "the interval ended by itself"
        );
        let longest = waiting["longest_s"]
            .as_f64()
            .unwrap_or_else(|| panic!("longest_s is unknown\n{details}"));
        println!("waits for {longest} s");
        longest > 1.0
    });
    loads.iter_mut().for_each(Load::stop);
    assert!(
        starved,
        "starved for seconds, three times, and was shown for less than one"
    );
}

#[test]
fn a_wait_beyond_32_bits_of_nanoseconds_does_not_wrap() {
    let pair = groups();
    let burst = Shape::new(Mode::Spin).cpu_time(LONG_WAIT);
    let seen = observe(&mut [
        hog(&pair.rich, burst),
        victim(&pair.poor, Shape::new(Mode::Spin).wall(LONG_WAIT)),
    ]);
    let path = pair.poor.path();
    let details = seen.report.describe(&path);
    let (wait, truth) = (seen.report.wait(&path), seen.truth(&pair.poor).wait_s());
    let phantoms = seen.report.figure(&path, "discarded_phantom_s");
    println!(
        "waited {wait} s, phantoms {phantoms} s, truth {truth} s in {} slices",
        seen.truth(&pair.poor).slices
    );
    assert!(
        (wait + phantoms - truth).abs() <= 0.001 * truth + 1e-4,
        "waited {wait} s, schedstat {truth} s\n{details}"
    );
    let truth = truth - phantoms;
    assert!(
        truth > 8.6,
        "the stage failed: the victim waited {truth} s only"
    );
    let quantile = |name: &str| {
        seen.report.cpu(&path)["delay"][name]
            .as_f64()
            .expect("a quantile")
    };
    let longest = quantile("p999_s");
    // The longer part of it at least, and one bucket is 19 % wide.
    let within = longest > 4.0 && longest <= truth * 1.2;
    assert!(
        within,
        "one or two waits of {truth} s, p999 is {longest} s\n{details}"
    );
    let blamed = seen.report.blame(&path, &pair.rich.path());
    assert!(
        blamed > 0.9 * wait,
        "the hog took most of {wait} s, it is blamed for {blamed} s\n{details}"
    );
}
