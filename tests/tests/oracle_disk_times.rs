//! Queue and device time on devices of known delay, however they come to be known; and never a time that was not.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan};
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::{Observation, observe, observe_while};

/// Buckets are this much wider than the one before; a quantile is somewhere in its bucket.
const BUCKET: f64 = 1.19;
const DELAY: Duration = Duration::from_millis(20);

fn reads(threads: usize, count: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .threads(threads)
        .count(count)
}

fn load(shape: Shape, device: &Device, cgroup: &Cgroup) -> Load {
    let shape = shape.target(&device.path());
    Plan::new(shape, cgroup).start().expect("it starts")
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// A quantile against the time that it must be; what the kernel needs itself comes on top.
fn assert_quantile(report: DiskReport<'_>, row: &Value, of: &str, quantile: &str, truth: f64) {
    let ours = number(&row[of][quantile]);
    println!("{of} {quantile}: {ours:.6} s, truth {truth:.6} s");
    assert!(
        ours >= truth / BUCKET && ours <= truth * 1.05 * BUCKET,
        "{of} {quantile} is {ours} s, and must be {truth} s\n{}",
        report.describe()
    );
}

/// One request after the other: all time is the device's.
fn assert_unloaded(seen: &Observation, cgroup: &Cgroup, device: &Device, count: f64) {
    let report = DiskReport::of(&seen.report, device.name());
    let row = report.row(&cgroup.path(), "read");
    let delay = DELAY.as_secs_f64();
    for quantile in ["p50_s", "p99_s", "p999_s"] {
        assert_quantile(report, row, "device_time", quantile, delay);
        assert_quantile(report, row, "total", quantile, delay);
    }
    let (queue, device) = (number(&row["queue_s"]), number(&row["device_time_s"]));
    println!("queue {queue:.6} s, device {device:.6} s");
    assert!(queue < 0.02 * device, "{}", report.describe());
    let within = device >= count * delay && device <= 1.05 * count * delay;
    assert!(within, "{}", report.describe());
}

fn null_blk(plan: NullPlan, test: &str) -> Option<NullBlk> {
    let made = NullBlk::new(plan);
    if made.is_none() {
        unsupported(test, null_blk::CAPABILITY);
    }
    made
}

fn slow(depth: u32) -> NullPlan {
    NullPlan {
        delay: DELAY,
        depth,
        ..NullPlan::default()
    }
}

#[test]
fn a_lone_request_takes_device_time_alone() {
    let Some(made) = null_blk(slow(64), "a_lone_request_takes_device_time_alone") else {
        return;
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(reads(1, 60), made.device(), &cgroup)]);
    assert_unloaded(&seen, &cgroup, made.device(), 60.0);
    let report = DiskReport::of(&seen.report, made.device().name());
    assert_eq!(report.device()["timing"], "kernel", "{}", report.describe());
}

/// Without write-back throttling the kernel does not note when a request is issued.
#[test]
fn an_issue_that_the_kernel_does_not_note_is_seen() {
    let test = "an_issue_that_the_kernel_does_not_note_is_seen";
    let Some(made) = null_blk(slow(64), test) else {
        return;
    };
    if made.device().set("wbt_lat_usec", "0").is_err() {
        return unsupported(test, "write-back throttling");
    }
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(reads(1, 60), made.device(), &cgroup)]);
    let report = DiskReport::of(&seen.report, made.device().name());
    assert_eq!(report.device()["timing"], "issues", "{}", report.describe());
    assert_unloaded(&seen, &cgroup, made.device(), 60.0);
}

#[test]
fn without_statistics_there_is_device_time_alone() {
    let test = "without_statistics_there_is_device_time_alone";
    let Some(made) = null_blk(slow(64), test) else {
        return;
    };
    made.device().set("iostats", "0").expect("our own device");
    made.device()
        .set("wbt_lat_usec", "0")
        .expect("our own device");
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(reads(2, 30), made.device(), &cgroup)]);
    let report = DiskReport::of(&seen.report, made.device().name());
    let row = report.row(&cgroup.path(), "read");
    let details = report.describe();
    assert_eq!(
        (&row["requests"], &row["bytes"]),
        (&60.into(), &(60 * 4096).into()),
        "{details}"
    );
    println!("{}", report.device());
    // Up to 6.14 the I/O statistics are not what the creation is noted for.
    if report.device()["timing"] == "device_only" {
        assert!(row["wait_s"].is_null(), "{details}");
        assert!(row["total"]["p50_s"].is_null(), "{details}");
    }
    assert_quantile(report, row, "device_time", "p50_s", DELAY.as_secs_f64());
}

/// Four threads on a device that takes one request at a time: each waits for the three before.
#[test]
fn requests_that_wait_their_turn_have_queue_time() {
    let test = "requests_that_wait_their_turn_have_queue_time";
    let Some(made) = null_blk(NullPlan::one_at_a_time(DELAY), test) else {
        return;
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(reads(4, 30), made.device(), &cgroup)]);
    let report = DiskReport::of(&seen.report, made.device().name());
    let row = report.row(&cgroup.path(), "read");
    let delay = DELAY.as_secs_f64();
    assert_quantile(report, row, "queue", "p50_s", 3.0 * delay);
    assert_quantile(report, row, "device_time", "p50_s", delay);
    assert_quantile(report, row, "device_time", "p99_s", delay);
    assert_quantile(report, row, "total", "p50_s", 4.0 * delay);
    // The load's own clock runs a little longer.
    let (wait, clock) = (
        report.wait(&cgroup.path()),
        seen.tally(0).time.as_secs_f64(),
    );
    assert!(
        wait <= clock && wait >= 0.9 * clock,
        "requests took {wait} s, the calls {clock} s\n{}",
        report.describe()
    );
}

/// While statistics go on and off, a creation may be that of a request long ago.
fn toggled(device: &Device, shape: Shape) {
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut loads = [load(shape.count(0), device, &cgroup)];
    let before = device.stat();
    let seen = observe_while(&mut loads, &[], |loads| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            for state in ["0", "1"] {
                device.set("iostats", state).expect("our own device");
                std::thread::sleep(Duration::from_millis(35));
            }
        }
        loads[0].stop();
    });
    assert!(device.stat() != before, "statistics were never on");
    let (report, tally) = (DiskReport::of(&seen.report, device.name()), seen.tally(0));
    let row = report.row(&cgroup.path(), "read");
    let details = report.describe();
    println!("{tally:?}\n{row}");
    assert_eq!(
        (row["requests"].as_u64(), row["bytes"].as_u64()),
        (Some(tally.requests), Some(tally.bytes)),
        "{details}"
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
    if let Some(wait) = row["wait_s"].as_f64() {
        assert!(
            wait <= tally.time.as_secs_f64(),
            "{wait} s of {tally:?}\n{details}"
        );
    }
}

#[test]
fn statistics_of_a_loop_device_go_on_and_off() {
    let file = ScratchFile::in_memory(16 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported(
            "statistics_of_a_loop_device_go_on_and_off",
            loop_device::CAPABILITY,
        );
    };
    toggled(made.device(), reads(2, 0));
}

#[test]
fn statistics_of_a_slow_device_go_on_and_off() {
    let plan = NullPlan {
        delay: Duration::from_millis(2),
        ..NullPlan::default()
    };
    let Some(made) = null_blk(plan, "statistics_of_a_slow_device_go_on_and_off") else {
        return;
    };
    toggled(made.device(), reads(4, 0));
}
