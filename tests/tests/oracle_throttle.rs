//! Throttled time against the kernel's own, for quotas on the cgroup itself and on its parent.
//!
//! All threads of a throttled cgroup that want the CPU wait through each throttle, and all of them share one CPU here:
//! their throttled waits are the kernel's throttled time, times the threads. On a CPU that nobody else uses that is
//! 400 of 480 ms for 5 threads at 20 of 100 ms, and 0.803 of the wait for 50.
//!
//! From 6.18 on the kernel holds back each thread by itself, at its next turn, while its own figure counts from the first
//! one on: there it is the most that can be throttled, and a neighbour's turns before the last one are missing.

use std::time::{Duration, Instant};

use tests::capability::{emulated, test_cpu, throttles_each_task, unsupported};
use tests::cgroup::Cgroup;
use tests::load::{Load, Plan};
use tests::shape::{Mode, Shape};
use tests::stage::{Observation, observe_while};
use tests::truth::CpuTimes;

const WINDOW: Duration = Duration::from_secs(3);
const TOLERANCE: f64 = 0.03;

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    threads: usize,
    nested: bool,
    neighbor: bool,
    /// The part of the wait that is throttled when nobody else uses the CPU.
    alone: f64,
}

fn spinner(cgroup: &Cgroup, threads: usize) -> Load {
    let shape = Shape::new(Mode::Spin).threads(threads);
    Plan::new(shape, cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

fn check(case: Case) {
    let limited = Cgroup::new().expect("a cgroup");
    let group = if case.nested {
        limited.child("inner").expect("a cgroup")
    } else {
        limited.clone()
    };
    let neighbor = Cgroup::new().expect("a cgroup");
    let mut loads = vec![spinner(&group, case.threads)];
    if case.neighbor {
        loads.push(spinner(&neighbor, 1));
    }
    // Set last: the loads would wait for their quota while they start.
    limited
        .set_quota(Duration::from_millis(20), Duration::from_millis(100))
        .expect("a quota");

    let throttled = limited.throttled().expect("cpu.stat");
    let mut elapsed = Duration::ZERO;
    let mut cpu = CpuTimes::read(Some(test_cpu()));
    let seen = observe_while(&mut loads, &[], |loads| {
        let start = Instant::now();
        cpu = CpuTimes::read(Some(test_cpu()));
        std::thread::sleep(WINDOW);
        // Threads that end one by one while they are throttled would not all wait through each throttle.
        limited.lift_quota().expect("our own cgroup");
        loads.iter_mut().for_each(Load::stop);
        elapsed = start.elapsed();
        cpu = CpuTimes::read(Some(test_cpu())).since(cpu);
    });
    let throttled = limited
        .throttled()
        .expect("cpu.stat")
        .saturating_sub(throttled);

    assert_all_waits(&seen, &group);
    // Some kernels (7.2) let a thread in although its parent is throttled, when a sibling had the CPU before it.
    let allowed = elapsed.saturating_sub(throttled).as_secs_f64();
    let share = if case.neighbor { 0.5 } else { 1.0 };
    let escaped = seen.truth(&group).run_s() - allowed * share;
    println!("ran {:.3} s while throttled", escaped.max(0.0));
    let throttled = throttled.as_secs_f64() * case.threads as f64;
    if case.nested && escaped > 0.03 * WINDOW.as_secs_f64() {
        assert_at_most(&seen, &group, throttled);
        return unsupported(case.name, "a parent's quota that holds all threads");
    }
    assert_throttled(&seen, &group, throttled, case.neighbor);
    if !case.neighbor && nobody_else(&seen, &group, cpu) {
        let share = seen.report.cause(&group.path(), "throttled") / seen.report.wait(&group.path());
        let within = (share - case.alone).abs() <= TOLERANCE;
        assert!(
            within,
            "throttled {share} of the wait, {} by arithmetic\n{}",
            case.alone,
            seen.report.describe(&group.path())
        );
    }
    if case.neighbor {
        let others = others(&seen, &[&group, &neighbor], cpu) * case.threads as f64;
        assert_not_blamed(&seen, &group, &neighbor, case.threads, throttled - others);
    }
}

fn assert_at_most(seen: &Observation, group: &Cgroup, truth: f64) {
    let (ours, wait) = (
        seen.report.cause(&group.path(), "throttled"),
        seen.truth(group).wait_s(),
    );
    assert!(
        ours <= truth + TOLERANCE * wait,
        "throttled {ours} s of {wait} s, cpu.stat says {truth} s at most\n{}",
        seen.report.describe(&group.path())
    );
}

fn assert_throttled(seen: &Observation, group: &Cgroup, truth: f64, neighbor: bool) {
    let path = group.path();
    let (ours, wait) = (
        seen.report.cause(&path, "throttled"),
        seen.truth(group).wait_s(),
    );
    println!(
        "throttled {ours:.3} s of {wait:.3} s ({:.3}), cpu.stat {truth:.3} s",
        ours / wait
    );
    assert!(truth > 0.0, "the quota did not throttle");
    // A throttle ends at the first switch after it; where the kernel kept that one from the program, at the second.
    let missed = seen.report.accounting("missed") > 0.0;
    let tolerance = if missed { 0.05 } else { TOLERANCE };
    // With a neighbour the last of five threads gets its turn some slices later; the turns of fifty take milliseconds
    // under emulation.
    let less = match (throttles_each_task(), emulated()) {
        (true, true) => 0.08,
        (true, false) if neighbor => 0.05,
        _ => tolerance,
    };
    let within = ours <= truth + tolerance * wait && ours >= truth - less * wait;
    assert!(
        within,
        "throttled {ours} s of {wait} s, cpu.stat says {truth} s\n{}",
        seen.report.describe(&path)
    );
    let figure = seen.report.figure(&path, "throttled_s");
    assert!(
        (figure - ours).abs() <= 1e-6,
        "throttled_s is {figure}, as a cause {ours}"
    );
}

/// Time on the run queue is accounted in full, whatever its causes.
fn assert_all_waits(seen: &Observation, group: &Cgroup) {
    let (path, wait) = (group.path(), seen.truth(group).wait_s());
    let (ours, slack) = (
        seen.report.wait(&path) + seen.report.phantoms(),
        5e-6 * seen.threads(group) as f64,
    );
    assert!(
        ours >= wait * 0.999 - slack,
        "waits {ours} s, schedstat {wait} s\n{}",
        seen.report.describe(&path)
    );
}

/// Whether the rest of the machine left this CPU alone, by its own figures.
fn nobody_else(seen: &Observation, group: &Cgroup, cpu: CpuTimes) -> bool {
    let others = others(seen, &[group], cpu);
    println!("others used the CPU for {others:.3} s");
    others < 0.02 * WINDOW.as_secs_f64()
}

/// How long the CPU was used by others than these cgroups, in seconds.
fn others(seen: &Observation, groups: &[&Cgroup], cpu: CpuTimes) -> f64 {
    let ran: f64 = groups.iter().map(|group| seen.truth(group).run_s()).sum();
    (cpu.busy.as_secs_f64() + cpu.steal.as_secs_f64() - ran).max(0.0)
}

/// While the cgroup is throttled the neighbour runs all the time that others leave it, and is to blame for none of it.
fn assert_not_blamed(
    seen: &Observation,
    group: &Cgroup,
    neighbor: &Cgroup,
    threads: usize,
    throttled: f64,
) {
    let wait = seen.truth(group).wait_s();
    let (ours, all) = (
        seen.report.blame(&group.path(), &neighbor.path()),
        seen.truth(neighbor).run_s() * threads as f64,
    );
    let limit = all - throttled + TOLERANCE * wait;
    println!("neighbor blamed for {ours:.3} s, at most {limit:.3} s");
    let details = seen.report.describe(&group.path());
    assert!(
        ours <= limit,
        "blamed for {ours} s of {wait} s, but {throttled} s were throttled\n{details}"
    );
}

const FIVE: Case = Case {
    name: "five_threads",
    threads: 5,
    nested: false,
    neighbor: false,
    alone: 0.833,
};
const FIFTY: Case = Case {
    name: "fifty_threads",
    threads: 50,
    alone: 0.803,
    ..FIVE
};

#[test]
fn five_threads() {
    check(FIVE);
}

#[test]
fn fifty_threads() {
    check(FIFTY);
}

#[test]
fn five_threads_below_a_limited_parent() {
    check(Case {
        name: "five_threads_below_a_limited_parent",
        nested: true,
        ..FIVE
    });
}

#[test]
fn fifty_threads_below_a_limited_parent() {
    check(Case {
        name: "fifty_threads_below_a_limited_parent",
        nested: true,
        ..FIFTY
    });
}

#[test]
fn a_neighbor_is_not_blamed_for_a_quota() {
    check(Case {
        name: "a_neighbor_is_not_blamed_for_a_quota",
        neighbor: true,
        ..FIVE
    });
}

#[test]
fn a_neighbor_is_not_blamed_for_the_quota_of_a_parent() {
    check(Case {
        name: "a_neighbor_is_not_blamed_for_the_quota_of_a_parent",
        neighbor: true,
        nested: true,
        ..FIVE
    });
}
