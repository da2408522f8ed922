//! Who filled a device that takes one request at a time: for a victim that always has requests waiting, each culprit is
//! to blame for the time that its own requests were in service.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scene::{Act, Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan};
use tests::report::crosstalk;
use tests::shape::{Mode, Shape, Transfer};
use tests::sys;

const DELAY: Duration = Duration::from_millis(20);
const WINDOW: Duration = Duration::from_secs(4);
const TOLERANCE: f64 = 0.03;

const TWO: &str = "two_cgroups_blame_each_other";
const THREE: &str = "three_cgroups_blame_each_other";
const ONE: &str = "threads_of_one_cgroup_wait_for_themselves";
const ALL_AT_ONCE: &str = "requests_at_the_same_time_are_no_harm_by_themselves";

/// Threads of each cgroup.
const CASES: [(&str, &[usize]); 4] = [
    (TWO, &[1, 3]),
    (THREE, &[1, 2, 3]),
    (ONE, &[4]),
    (ALL_AT_ONCE, &[4, 6]),
];

fn reads(threads: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .threads(threads)
        .count(0)
}

fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| undisturbed(stage, |told| told))
}

fn stage() -> Told {
    let mut staging = Staging::default();
    let mut kept = Vec::new();
    for (test, threads) in CASES {
        let plan = if test == ALL_AT_ONCE {
            NullPlan::slow(DELAY)
        } else {
            NullPlan::one_at_a_time(DELAY)
        };
        let Some(made) = NullBlk::new(plan) else {
            staging.lack(test, null_blk::CAPABILITY);
            continue;
        };
        let loads = threads.iter().map(|threads| {
            (
                reads(*threads).wall(WINDOW),
                Cgroup::with_io().expect("a cgroup"),
            )
        });
        let loads: Vec<(Shape, Cgroup)> = loads.collect();
        let loads: Vec<(Shape, &Cgroup)> = loads
            .iter()
            .map(|(shape, cgroup)| (shape.clone(), cgroup))
            .collect();
        staging.add(test, made.device(), &loads);
        kept.push(made);
    }
    staging.observe(|| ())
}

fn assert_share(what: &str, report: DiskReport<'_>, wait: f64, ours: f64, truth: f64) {
    let (share, expected) = (ours / wait, truth / wait);
    println!(
        "{what}: {:.2} %, truth {:.2} %",
        100.0 * share,
        100.0 * expected
    );
    assert!(
        (share - expected).abs() <= TOLERANCE,
        "{what}: {ours} s of {wait} s, but {truth} s are true\n{}",
        report.describe()
    );
}

/// How long the requests of a load were in service, by its own count.
fn service(act: &Act, load: usize) -> f64 {
    act.tallies[load].requests as f64 * DELAY.as_secs_f64()
}

/// While a request of another cgroup is served, all threads of the victim wait; of its own, all but one.
fn assert_blame(act: &Act, report: DiskReport<'_>, threads: &[usize]) {
    for (number, path) in act.paths.iter().enumerate() {
        let (wait, own) = (report.wait(path), service(act, number));
        for (other, culprit) in act.paths.iter().enumerate() {
            if other == number {
                continue;
            }
            let truth = threads[number] as f64 * service(act, other);
            let what = format!("blame of {number} on {other}");
            assert_share(&what, report, wait, report.blame(path, culprit), truth);
        }
        let cause =
            |cause, truth| assert_share(cause, report, wait, report.cause(path, cause), truth);
        cause("self", (threads[number] - 1) as f64 * own);
        cause("device", own);
        cause("held", 0.0);
        cause("unattributed", 0.0);
    }
}

fn check(case: usize) {
    let (test, threads) = CASES[case];
    if let Some((act, report)) = told().of(test) {
        assert_blame(act, report, threads);
    }
}

#[test]
fn two_cgroups_blame_each_other() {
    check(0);
}

#[test]
fn three_cgroups_blame_each_other() {
    check(1);
}

#[test]
fn threads_of_one_cgroup_wait_for_themselves() {
    check(2);
    // The cgroups of the other cases are on other devices.
    if let Some((act, report)) = told().of(ONE) {
        let neighbor = report.cause(&act.paths[0], "neighbor");
        assert!(neighbor <= 0.0, "{neighbor} s\n{}", report.describe());
    }
}

/// A device that serves all at once takes no longer for it: nobody is to blame.
#[test]
fn requests_at_the_same_time_are_no_harm_by_themselves() {
    let Some((act, report)) = told().of(ALL_AT_ONCE) else {
        return;
    };
    for path in &act.paths {
        let wait = report.wait(path);
        assert_share("device", report, wait, report.cause(path, "device"), wait);
    }
}

/// What a person gets to read: who is hurt, where, and by whom.
#[test]
fn a_noisy_neighbor_is_named() {
    let plan = NullPlan::one_at_a_time(DELAY);
    let Some(made) = NullBlk::new(plan) else {
        return unsupported("a_noisy_neighbor_is_named", null_blk::CAPABILITY);
    };
    let (victim, noisy) = (
        Cgroup::with_io().expect("a cgroup"),
        Cgroup::with_io().expect("a cgroup"),
    );
    let mut loads = [(&victim, 1), (&noisy, 8)].map(|(cgroup, threads)| {
        let shape = reads(threads).target(&made.device().path());
        Plan::new(shape, cgroup).start().expect("it starts")
    });
    loads.iter_mut().for_each(Load::go);
    let output = crosstalk(&["report", "--duration", "5s", "--fail-on", "hurt"])
        .output()
        .expect("the binary starts");
    for load in &mut loads {
        load.stop();
        load.tally();
    }
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}\n{log}");
    assert!(text.starts_with("HOST HURTS"), "{text}");
    let verdict = text.lines().next().unwrap_or_default();
    for name in [&victim.path(), &noisy.path(), made.device().name()] {
        assert!(
            verdict.contains(name),
            "the verdict does not name {name}:\n{text}"
        );
    }
}

/// A real disk: how long it takes is its own matter, but what a reader loses beyond that is whoever's fills it.
#[test]
fn who_fills_a_real_disk_is_to_blame() {
    const TEST: &str = "who_fills_a_real_disk_is_to_blame";
    let file = ScratchFile::on_disk(0);
    let Some(disk) = Device::below(file.path()) else {
        return unsupported(TEST, "a file system on a disk");
    };
    fs::write(file.path(), vec![1; 64 << 20]).expect("there is room");
    sys::sync();
    let [victim, noisy] = [(); 2].map(|()| Cgroup::with_io().expect("a cgroup"));
    let small = reads(1).wall(WINDOW / 2).target(file.path());
    let large = reads(16)
        .wall(WINDOW / 2)
        .size(512 << 10)
        .target(file.path());
    let alone = Plan::new(small.clone(), &victim).start();
    let mut alone = alone.expect("it starts");
    alone.go();
    let alone = alone.tally().mean_s();
    let mut staging = Staging::default();
    staging.add(TEST, &disk, &[(small, &victim), (large, &noisy)]);
    // Shares bear that some completions are kept from the programs.
    let told = staging.observe(|| ());
    let (act, report) = told.of(TEST).expect("nothing is missing");
    let (path, tally) = (&act.paths[0], act.tallies[0]);
    println!("alone {alone:.6} s, then {:.6} s", tally.mean_s());
    if tally.mean_s() < 3.0 * alone {
        return unsupported(TEST, "a disk that one reader can fill");
    }
    let lost = report.wait(path) - alone * tally.requests as f64;
    let blamed = report.blame(path, &act.paths[1]);
    println!("lost {lost:.3} s, of it to the neighbor {blamed:.3} s");
    assert!(
        blamed >= 0.7 * lost && blamed <= report.wait(path),
        "blamed {blamed} s, lost {lost} s\n{}",
        report.describe()
    );
    // The other way round it is little.
    let back = report.blame(&act.paths[1], path) / report.wait(&act.paths[1]);
    assert!(back < 0.3, "{back} of the wait\n{}", report.describe());
}
