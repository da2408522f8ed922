//! Queue and device time on devices of known delay, however they come to be known; and never a time that was not.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::loop_device::LoopDevice;
use tests::disk::null_blk::NullPlan;
use tests::disk::rows::{DiskReport, number};
use tests::disk::scene::{Act, Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::report::BUCKET;
use tests::shape::{Mode, Shape, Transfer};

const DELAY: Duration = Duration::from_millis(20);
/// How long statistics go on and off.
const WINDOW: Duration = Duration::from_secs(2);

const LONE: &str = "a_lone_request_takes_device_time_alone";
const TURNS: &str = "requests_that_wait_their_turn_have_queue_time";
const DEVICE_ONLY: &str = "without_statistics_there_is_device_time_alone";
const TOGGLED_LOOP: &str = "statistics_of_a_loop_device_go_on_and_off";
const TOGGLED_NULL: &str = "statistics_of_a_slow_device_go_on_and_off";

fn reads(threads: usize, count: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .threads(threads)
        .count(count)
}

fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| undisturbed(stage, |told| told))
}

fn stage() -> Told {
    let mut staging = Staging::default();
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let slow = NullPlan::slow(DELAY);
    let unnoted = NullPlan {
        statistics: false,
        ..slow
    };
    let quick = NullPlan::slow(Duration::from_millis(2));
    let made = [
        (LONE, slow, reads(1, 60)),
        (TURNS, NullPlan::one_at_a_time(DELAY), reads(4, 30)),
        (DEVICE_ONLY, unnoted, reads(2, 30)),
        (TOGGLED_NULL, quick, reads(4, 0)),
    ]
    .map(|(test, plan, shape)| (test, staging.add_null(test, plan, (shape, &cgroup))));
    let file = ScratchFile::in_memory(16 << 20);
    let over_file = staging.add_loop(TOGGLED_LOOP, file.path(), (reads(2, 0), &cgroup));
    let toggled = made.iter().filter(|(test, _)| *test == TOGGLED_NULL);
    let mut toggled: Vec<&Device> = toggled
        .filter_map(|(_, made)| Some(made.as_ref()?.device()))
        .collect();
    toggled.extend(over_file.as_ref().map(LoopDevice::device));
    staging.observe(|| toggle(&toggled))
}

/// While statistics go on and off, a creation may be that of a request long ago.
fn toggle(devices: &[&Device]) {
    let start = Instant::now();
    while start.elapsed() < WINDOW {
        for state in ["0", "1"] {
            for device in devices {
                device.set("iostats", state).expect("our own device");
            }
            std::thread::sleep(Duration::from_millis(35));
        }
    }
}

fn assert_counts(act: &Act, report: DiskReport<'_>) {
    report.assert_tally(&act.paths[0], "read", act.tallies[0]);
}

/// One request after the other: all time is the device's.
fn assert_unloaded(act: &Act, report: DiskReport<'_>) {
    let row = report.row(&act.paths[0], "read");
    let delay = DELAY.as_secs_f64();
    let count = number(&row["requests"]);
    // The device's timer may be late once: then that call was longer.
    let longest = act.tallies[0].longest.as_secs_f64().max(delay);
    for of in ["device_time", "total"] {
        report.assert_quantile(row, of, "p50_s", delay);
        for quantile in ["p99_s", "p999_s"] {
            report.assert_quantile_within(row, of, quantile, delay..=longest);
        }
    }
    let (queue, device) = (number(&row["queue_s"]), number(&row["device_time_s"]));
    println!("queue {queue:.6} s, device {device:.6} s");
    assert!(queue < 0.02 * device, "{}", report.describe());
    let within = device >= count * delay && device <= 1.05 * count * delay;
    assert!(within, "{}", report.describe());
}

#[test]
fn a_lone_request_takes_device_time_alone() {
    let Some((act, report)) = told().of(LONE) else {
        return;
    };
    assert_eq!(report.device()["timing"], "kernel", "{}", report.describe());
    assert_counts(act, report);
    assert_unloaded(act, report);
}

#[test]
fn without_statistics_there_is_device_time_alone() {
    let Some((act, report)) = told().of(DEVICE_ONLY) else {
        return;
    };
    let (row, details) = (report.row(&act.paths[0], "read"), report.describe());
    assert_counts(act, report);
    assert_eq!(report.device()["timing"], "device_only", "{details}");
    for unknown in [&row["total"]["p50_s"], &row["queue"]["p50_s"]] {
        assert!(unknown.is_null(), "{details}");
    }
    report.assert_quantile(row, "device_time", "p50_s", DELAY.as_secs_f64());
}

/// Four threads on a device that takes one request at a time: each waits for the three before.
#[test]
fn requests_that_wait_their_turn_have_queue_time() {
    let Some((act, report)) = told().of(TURNS) else {
        return;
    };
    let row = report.row(&act.paths[0], "read");
    let delay = DELAY.as_secs_f64();
    assert_counts(act, report);
    report.assert_quantile(row, "queue", "p50_s", 3.0 * delay);
    report.assert_quantile(row, "device_time", "p50_s", delay);
    report.assert_quantile(row, "device_time", "p99_s", delay);
    report.assert_quantile(row, "total", "p50_s", 4.0 * delay);
    // The load's own clock runs a little longer.
    let (wait, clock) = (
        report.wait(&act.paths[0]),
        act.tallies[0].time.as_secs_f64(),
    );
    assert!(
        wait <= clock && wait >= 0.9 * clock,
        "requests took {wait} s, the calls {clock} s\n{}",
        report.describe()
    );
}

/// Never a time that was not: none is longer than the longest call.
fn assert_true_times(act: &Act, report: DiskReport<'_>) {
    assert_counts(act, report);
    let (row, tally, grown) = (report.row(&act.paths[0], "read"), act.tallies[0], act.grown);
    let details = report.describe();
    println!("{tally:?} {grown:?}\n{row}");
    assert!(
        grown.reads > 0 && grown.reads < tally.requests,
        "statistics did not go on and off: {grown:?}"
    );
    let most = tally.longest.as_secs_f64() * BUCKET;
    for of in ["queue", "device_time", "total"] {
        let longest = row[of]["p999_s"].as_f64();
        assert!(
            longest.is_none_or(|longest| longest <= most),
            "{of}: {longest:?} s, and the longest call took {:?}\n{details}",
            tally.longest
        );
    }
    let wait = number(&row["wait_s"]);
    assert!(
        wait <= tally.time.as_secs_f64(),
        "{wait} s of {tally:?}\n{details}"
    );
    // Of those with statistics, all.
    let untimed = row["untimed"].as_u64().expect("a count");
    assert!(
        tally.requests - untimed >= grown.reads / 2,
        "{grown:?}\n{details}"
    );
}

#[test]
fn statistics_of_a_loop_device_go_on_and_off() {
    if let Some((act, report)) = told().of(TOGGLED_LOOP) {
        assert_true_times(act, report);
    }
}

#[test]
fn statistics_of_a_slow_device_go_on_and_off() {
    if let Some((act, report)) = told().of(TOGGLED_NULL) {
        assert_true_times(act, report);
    }
}
