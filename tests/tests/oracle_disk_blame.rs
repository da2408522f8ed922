//! Who filled a device that takes one request at a time: for a victim that always has requests waiting, each culprit is
//! to blame for the time that its own requests were in service.

use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::load::{Load, Plan};
use tests::report::crosstalk;
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::{Observation, observe};

const DELAY: Duration = Duration::from_millis(20);
const WINDOW: Duration = Duration::from_secs(4);
const TOLERANCE: f64 = 0.03;

/// Threads of one cgroup that read without a pause.
struct Party {
    cgroup: Cgroup,
    threads: usize,
}

fn party(threads: usize) -> Party {
    Party {
        cgroup: Cgroup::with_io().expect("a cgroup"),
        threads,
    }
}

fn reads(threads: usize, device: &Device) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .threads(threads)
        .count(0)
        .target(&device.path())
}

fn start(party: &Party, device: &Device) -> Load {
    let shape = reads(party.threads, device).wall(WINDOW);
    Plan::new(shape, &party.cgroup).start().expect("it starts")
}

fn device(plan: NullPlan, test: &str) -> Option<NullBlk> {
    let made = NullBlk::new(plan);
    if made.is_none() {
        unsupported(test, null_blk::CAPABILITY);
    }
    made
}

fn watched(parties: &[Party], device: &Device) -> Observation {
    let mut loads: Vec<Load> = parties.iter().map(|party| start(party, device)).collect();
    observe(&mut loads)
}

/// How long the requests of a load were in service, by its own count.
fn service(seen: &Observation, load: usize) -> f64 {
    seen.tally(load).requests as f64 * DELAY.as_secs_f64()
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

/// While a request of another cgroup is served, all threads of the victim wait; of its own, all but one.
fn assert_blame(seen: &Observation, parties: &[Party], device: &Device) {
    let report = DiskReport::of(&seen.report, device.name());
    for (number, victim) in parties.iter().enumerate() {
        let path = victim.cgroup.path();
        let (wait, own) = (report.wait(&path), service(seen, number));
        for (other, culprit) in parties
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
        {
            let ours = report.blame(&path, &culprit.cgroup.path());
            let truth = victim.threads as f64 * service(seen, other);
            assert_share(
                &format!("blame of {number} on {other}"),
                report,
                wait,
                ours,
                truth,
            );
        }
        let others = (victim.threads - 1) as f64 * own;
        assert_share("self", report, wait, report.cause(&path, "self"), others);
        assert_share("device", report, wait, report.cause(&path, "device"), own);
        assert_share("held", report, wait, report.cause(&path, "held"), 0.0);
        assert_share(
            "unattributed",
            report,
            wait,
            report.cause(&path, "unattributed"),
            0.0,
        );
    }
}

fn check(test: &str, threads: &[usize]) {
    let Some(made) = device(NullPlan::one_at_a_time(DELAY), test) else {
        return;
    };
    let parties: Vec<Party> = threads.iter().map(|threads| party(*threads)).collect();
    let seen = watched(&parties, made.device());
    assert_blame(&seen, &parties, made.device());
}

#[test]
fn two_cgroups_blame_each_other() {
    check("two_cgroups_blame_each_other", &[1, 3]);
}

#[test]
fn three_cgroups_blame_each_other() {
    check("three_cgroups_blame_each_other", &[1, 2, 3]);
}

#[test]
fn threads_of_one_cgroup_wait_for_themselves() {
    check("threads_of_one_cgroup_wait_for_themselves", &[4]);
}

/// A device that serves all at once takes no longer for it: nobody is to blame.
#[test]
fn requests_at_the_same_time_are_no_harm_by_themselves() {
    let plan = NullPlan {
        delay: DELAY,
        depth: 64,
        ..NullPlan::default()
    };
    let Some(made) = device(plan, "requests_at_the_same_time_are_no_harm_by_themselves") else {
        return;
    };
    let parties = [party(4), party(6)];
    let seen = watched(&parties, made.device());
    let report = DiskReport::of(&seen.report, made.device().name());
    for party in &parties {
        let path = party.cgroup.path();
        let wait = report.wait(&path);
        let device = report.cause(&path, "device");
        assert_share("device", report, wait, device, wait);
    }
}

/// Cgroups on two devices have nothing to do with each other.
#[test]
fn a_neighbor_on_another_device_is_not_blamed() {
    let test = "a_neighbor_on_another_device_is_not_blamed";
    let plan = NullPlan::one_at_a_time(DELAY);
    let (Some(one), Some(two)) = (device(plan, test), NullBlk::new(plan)) else {
        return;
    };
    let parties = [party(2), party(3)];
    let mut loads = [
        start(&parties[0], one.device()),
        start(&parties[1], two.device()),
    ];
    let seen = observe(&mut loads);
    for (party, made) in parties.iter().zip([&one, &two]) {
        let report = DiskReport::of(&seen.report, made.device().name());
        let path = party.cgroup.path();
        assert!(report.wait(&path) > 0.0, "{}", report.describe());
        assert!(
            report.cause(&path, "neighbor") <= 0.0,
            "{}",
            report.describe()
        );
    }
}

/// What a person gets to read: who is hurt, where, and by whom.
#[test]
fn a_noisy_neighbor_is_named() {
    let plan = NullPlan::one_at_a_time(DELAY);
    let Some(made) = device(plan, "a_noisy_neighbor_is_named") else {
        return;
    };
    let (victim, noisy) = (
        Cgroup::with_io().expect("a cgroup"),
        Cgroup::with_io().expect("a cgroup"),
    );
    let mut loads = [(&victim, 1), (&noisy, 8)].map(|(cgroup, threads)| {
        let shape = reads(threads, made.device());
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
    let names = [&victim, &noisy].map(|cgroup| cgroup.path().trim_start_matches('/').to_owned());
    let sentence = text
        .lines()
        .find(|line| line.contains(&names[0]) && line.contains(made.device().name()));
    assert!(
        sentence.is_some(),
        "no sentence names the victim and the device:\n{text}"
    );
    assert!(
        text.contains(&names[1]),
        "nobody names {}:\n{text}",
        names[1]
    );
}

/// The interval ends while requests are in service: they are told in the next one, and none twice.
#[test]
fn what_is_in_flight_at_the_end_is_not_told() {
    let test = "what_is_in_flight_at_the_end_is_not_told";
    let plan = NullPlan {
        delay: Duration::from_secs(3),
        depth: 64,
        ..NullPlan::default()
    };
    let Some(made) = device(plan, test) else {
        return;
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let shape = reads(4, made.device()).count(1);
    let mut load = Plan::new(shape, &cgroup).start().expect("it starts");
    let report = tests::report::Running::start(&["--duration", "10m"]);
    load.go();
    std::thread::sleep(Duration::from_millis(300));
    let document = report.interrupt();
    load.tally();
    let told = DiskReport::of(&document, made.device().name());
    assert_eq!(told.count(&cgroup.path(), "read", "requests"), 0);
}
