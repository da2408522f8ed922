//! The loads and the truth sources themselves, without the agent: an oracle that is wrong proves nothing.

use std::time::Duration;

use tests::capability::{reports_phantom_waits, test_cpu, unsupported};
use tests::cgroup::{Cgroup, Weight};
use tests::load::{Load, Plan, Policy};
use tests::shape::{Mode, Shape};
use tests::truth::{Sched, Snapshot};

const SECOND: Duration = Duration::from_secs(1);

fn run(loads: &mut [Load]) -> Vec<Sched> {
    let before: Vec<Snapshot> = loads
        .iter()
        .map(|load| Snapshot::at_rest(load.cgroup()))
        .collect();
    loads.iter_mut().for_each(Load::go);
    for load in &mut *loads {
        load.wait_done().expect("a load ends in order");
    }
    loads
        .iter()
        .zip(&before)
        .map(|(load, before)| Snapshot::at_rest(load.cgroup()).since(before))
        .collect()
}

#[test]
fn every_load_runs_waits_and_comes_to_rest() {
    for mode in [
        Mode::Spin,
        Mode::Sleeper,
        Mode::Yield,
        Mode::PingPong,
        Mode::Migrate,
        Mode::Mutex,
        Mode::Pty,
    ] {
        let cgroup = Cgroup::new().expect("a cgroup");
        let shape = Shape::new(mode).threads(3).wall(SECOND / 4);
        let mut loads = [Plan::new(shape, &cgroup).start().expect("it starts")];
        let truth = run(&mut loads)[0];
        println!(
            "{mode:?}: run {:.3} s, wait {:.3} s, {} slices",
            truth.run_s(),
            truth.wait_s(),
            truth.slices
        );
        assert!(
            truth.run > 0 && truth.slices > 0,
            "{mode:?} did nothing: {truth:?}"
        );
    }
}

#[test]
fn a_pinned_spinner_runs_or_waits_all_the_time() {
    let group = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Spin).threads(2).wall(SECOND);
    let mut loads = [Plan::new(shape, &group)
        .on(&[test_cpu()])
        .start()
        .expect("it starts")];
    let truth = run(&mut loads)[0];
    let (run, sum) = (truth.run_s(), truth.run_s() + truth.wait_s());
    // Steal is in neither where the kernel keeps it out of the run time, and not more than a moment otherwise.
    let most = if reports_phantom_waits() {
        f64::INFINITY
    } else {
        2.2
    };
    assert!(
        sum >= 1.5 && sum < most,
        "two threads had {sum} s of one second each: {truth:?}"
    );
    assert!(run < 1.1, "two threads ran {run} s of one: {truth:?}");
}

#[test]
fn children_stay_until_their_schedstat_is_read() {
    let cgroup = Cgroup::new().expect("a cgroup");
    let work = Duration::from_millis(10);
    let mut load = [
        Plan::new(Shape::new(Mode::Fork).count(5).work(work), &cgroup)
            .start()
            .expect("it starts"),
    ];
    let truth = run(&mut load)[0];
    let threads = Snapshot::now(&cgroup).len();
    assert!(
        threads >= 6,
        "five children and their parent, not {threads} threads"
    );
    assert!(
        truth.run >= 50_000_000,
        "five children of 10 ms ran {} ns",
        truth.run
    );
}

#[test]
fn a_quota_throttles() {
    let cgroup = Cgroup::new().expect("a cgroup");
    cgroup.set_quota(SECOND / 50, SECOND / 10).expect("a quota");
    let shape = Shape::new(Mode::Spin).threads(5).wall(SECOND);
    let mut loads = [Plan::new(shape, &cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("it starts")];
    let truth = run(&mut loads)[0];
    let throttled = cgroup.throttled().expect("cpu.stat").as_secs_f64();
    println!(
        "throttled {throttled:.3} s, wait {:.3} s, run {:.3} s",
        truth.wait_s(),
        truth.run_s()
    );
    assert!(
        throttled > 0.3,
        "20 of 100 ms on one CPU throttles for most of a second, not {throttled} s"
    );
}

#[test]
fn the_least_weight_starves_beside_the_most() {
    let (poor, rich) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    poor.set_weight(Weight::Least).expect("a weight");
    rich.set_weight(Weight::Most).expect("a weight");
    let plan =
        |cgroup| Plan::new(Shape::new(Mode::Spin).wall(2 * SECOND), cgroup).on(&[test_cpu()]);
    let mut loads = [
        plan(&poor).policy(Policy::Idle).start().expect("it starts"),
        plan(&rich).start().expect("it starts"),
    ];
    let truth = run(&mut loads);
    assert!(
        truth[0].wait_s() > 1.5,
        "the poor one waited {} s of two",
        truth[0].wait_s()
    );
}

#[test]
fn churned_cgroups_are_gone_and_their_time_is_known() {
    let (home, away) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    // A child, so that the controller is switched on for what is made beside it.
    let _first = away.child("first").expect("a cgroup");
    let shape = Shape::new(Mode::Churn)
        .count(50)
        .work(Duration::from_micros(300))
        .dir(away.dir());
    let mut load = Plan::new(shape, &home).start().expect("it starts");
    load.go();
    let used: u64 = load
        .wait_done()
        .expect("it ends")
        .parse()
        .expect("nanoseconds");
    assert!(
        used >= 15_000_000,
        "fifty children of 300 us used {used} ns"
    );
    let left = std::fs::read_dir(away.dir())
        .expect("it exists")
        .filter_map(Result::ok);
    let left = left
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("short-"))
        .count();
    assert_eq!(left, 0, "cgroups left behind");
}

#[test]
fn a_realtime_load_says_when_it_cannot_be() {
    let cgroup = Cgroup::new().expect("a cgroup");
    let allowed = cgroup.allow_realtime(SECOND * 4 / 5);
    let shape = Shape::new(Mode::Spin).cpu_time(SECOND / 10);
    match Plan::new(shape, &cgroup)
        .policy(Policy::Fifo)
        .on(&[test_cpu()])
        .start()
    {
        Ok(load) => assert!(run(&mut [load])[0].run >= 100_000_000, "it did not run"),
        Err(said) => {
            assert!(said.contains("unsupported"), "{said}, budget {allowed:?}");
            unsupported(
                "a_realtime_load_says_when_it_cannot_be",
                "real-time tasks in a cgroup",
            );
        }
    }
}
