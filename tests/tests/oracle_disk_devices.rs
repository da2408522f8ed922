//! Devices over devices, devices that come and go, and devices that fail.

use std::fs::OpenOptions;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::{DiskReport, check_sums};
use tests::disk::scratch::ScratchFile;
use tests::disk::scsi_debug::{self, BAD_SECTOR, Fault, ScsiDebug};
use tests::load::{Load, Plan};
use tests::report::Running;
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::{Observation, observe};

const KIB: usize = 1 << 10;

fn reads(count: usize, size: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .count(count)
        .size(size)
}

fn load(shape: Shape, device: &Device, cgroup: &Cgroup) -> Load {
    let shape = shape.target(&device.path());
    Plan::new(shape, cgroup).start().expect("it starts")
}

/// Requests of all devices below which there is none.
fn lowest(seen: &Observation) -> u64 {
    let devices = seen.report.0["devices"].as_array().expect("a list");
    let lowest = devices.iter().filter(|row| row["stacked"] == false);
    lowest.filter_map(|row| row["requests"].as_u64()).sum()
}

/// What goes through a loop device is told of both devices, and counts once.
fn stacked(upper: &Device, lower: &Device) {
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut loads = [load(reads(200, 16 * KIB), upper, &cgroup)];
    let before = lower.stat();
    let seen = observe(&mut loads);
    let grown = lower.stat() - before;
    let tally = seen.tally(0);
    let [above, below] = [upper, lower].map(|device| DiskReport::of(&seen.report, device.name()));
    println!("{}\n{}", above.describe(), below.describe());
    assert_eq!(above.device()["stacked"], true, "{}", above.describe());
    assert_eq!(below.device()["stacked"], false, "{}", below.describe());
    let path = cgroup.path();
    assert_eq!(above.count(&path, "read", "requests"), tally.requests);
    // A file may be in several pieces.
    let requests = below.count(&path, "read", "requests");
    assert!(
        requests >= tally.requests && requests <= tally.requests + 8,
        "{requests} requests below\n{}",
        below.describe()
    );
    for report in [above, below] {
        assert_eq!(report.count(&path, "read", "bytes"), tally.bytes);
    }
    // On a busy machine others use the lower one too, until they are counted and until it is.
    let (all, truth) = (
        lowest(&seen),
        grown.reads + grown.writes + grown.discards + grown.flushes,
    );
    let others = truth.saturating_sub(requests);
    println!("{all} requests of all devices with none below, {truth} of this one");
    assert!(
        all <= truth + others + 16 && all >= requests,
        "{all}, {truth}"
    );
}

#[test]
fn a_loop_device_over_a_device_counts_once() {
    let test = "a_loop_device_over_a_device_counts_once";
    let Some(lower) = NullBlk::new(NullPlan::default()) else {
        return unsupported(test, null_blk::CAPABILITY);
    };
    let Some(upper) = LoopDevice::over(&lower.device().path(), Backing::Direct) else {
        return unsupported(test, loop_device::CAPABILITY);
    };
    stacked(upper.device(), lower.device());
}

#[test]
fn a_loop_device_over_a_file_on_a_disk_counts_once() {
    let test = "a_loop_device_over_a_file_on_a_disk_counts_once";
    let file = ScratchFile::on_disk(0);
    let Some(lower) = Device::below(file.path()) else {
        return unsupported(test, "a file system on a disk");
    };
    std::fs::write(file.path(), vec![1; 4 << 20]).expect("there is room");
    tests::sys::sync();
    let Some(upper) = LoopDevice::over(file.path(), Backing::Direct) else {
        return unsupported(test, loop_device::CAPABILITY);
    };
    stacked(upper.device(), &lower);
}

#[test]
fn devices_come_and_go() {
    let test = "devices_come_and_go";
    if NullBlk::new(NullPlan::default()).is_none() {
        return unsupported(test, null_blk::CAPABILITY);
    }
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let report = Running::start(&["--duration", "10m"]);
    let mut requests = 0;
    for count in [30, 40, 50] {
        let made = NullBlk::new(NullPlan::default()).expect("it was there before");
        let mut load = load(reads(count, 4 * KIB), made.device(), &cgroup);
        load.go();
        requests += load.tally().requests;
    }
    let document = report.interrupt();
    check_sums(&document);
    let path = cgroup.path();
    let row = document
        .entities()
        .iter()
        .find(|row| row["cgroup"]["path"] == path.as_str());
    let row = row.expect("a row");
    println!("{}\n{}", row["disk"], document.0["devices"]);
    let rows = row["disk"].as_array().expect("a list").iter();
    let told: u64 = rows.filter_map(|row| row["requests"].as_u64()).sum();
    assert_eq!(told, requests, "{row}");
}

#[test]
fn a_loop_device_is_attached_meanwhile() {
    let test = "a_loop_device_is_attached_meanwhile";
    let file = ScratchFile::in_memory(4 << 20);
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let report = Running::start(&["--duration", "10m"]);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported(test, loop_device::CAPABILITY);
    };
    let mut load = load(reads(100, 4 * KIB), made.device(), &cgroup);
    load.go();
    let (tally, name) = (load.tally(), made.device().name().to_owned());
    drop(load);
    drop(made);
    let document = report.interrupt();
    let told = DiskReport::of(&document, &name);
    assert_eq!(
        told.count(&cgroup.path(), "read", "requests"),
        tally.requests
    );
    assert_eq!(told.count(&cgroup.path(), "read", "bytes"), tally.bytes);
}

/// Each request is completed in pieces, and is one.
#[test]
fn requests_that_complete_in_pieces_count_once() {
    let test = "requests_that_complete_in_pieces_count_once";
    let Some(made) = ScsiDebug::new(Fault::HalfTransfers) else {
        return unsupported(test, scsi_debug::CAPABILITY);
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut loads = [load(reads(50, 64 * KIB), made.device(), &cgroup)];
    let before = made.device().stat();
    let seen = observe(&mut loads);
    let grown = made.device().stat() - before;
    let (report, tally) = (
        DiskReport::of(&seen.report, made.device().name()),
        seen.tally(0),
    );
    let details = report.describe();
    println!("{details}");
    let row = report.row(&cgroup.path(), "read");
    assert_eq!(
        (
            row["requests"].as_u64(),
            row["bytes"].as_u64(),
            &row["errors"]
        ),
        (Some(tally.requests), Some(tally.bytes), &0.into()),
        "{details}"
    );
    assert_eq!(
        (grown.reads, grown.read_bytes),
        (tally.requests, tally.bytes)
    );
    let partial = &seen.report.0["accounting"]["disk"]["dropped"]["partial"];
    assert!(
        partial.as_u64() >= Some(tally.requests / 2),
        "{partial} parts\n{details}"
    );
}

#[test]
fn a_request_that_fails_is_an_error() {
    let test = "a_request_that_fails_is_an_error";
    let Some(made) = ScsiDebug::new(Fault::BadSectors) else {
        return unsupported(test, scsi_debug::CAPABILITY);
    };
    let size = 64 * KIB;
    let count = 1 + (BAD_SECTOR * 512) as usize / size;
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(reads(count, size), made.device(), &cgroup)]);
    let report = DiskReport::of(&seen.report, made.device().name());
    let (tally, row) = (seen.tally(0), report.row(&cgroup.path(), "read"));
    assert_eq!(tally.errors, 1);
    assert_eq!(
        (&row["requests"], &row["errors"]),
        (&tally.requests.into(), &1.into()),
        "{}",
        report.describe()
    );
}

/// The file below ends in the middle of a request: its first part succeeds, and the rest fails.
#[test]
fn a_request_past_the_end_of_the_file_below_fails_once() {
    let test = "a_request_past_the_end_of_the_file_below_fails_once";
    let file = ScratchFile::on_disk(256 << 10);
    let Some(made) = LoopDevice::over(file.path(), Backing::Direct) else {
        return unsupported(test, loop_device::CAPABILITY);
    };
    let shortened = OpenOptions::new().write(true).open(file.path());
    shortened
        .and_then(|file| file.set_len(72 << 10))
        .expect("our own file");
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut loads = [load(reads(2, 64 * KIB), made.device(), &cgroup)];
    let before = made.device().stat();
    let seen = observe(&mut loads);
    let grown = made.device().stat() - before;
    let (report, tally) = (
        DiskReport::of(&seen.report, made.device().name()),
        seen.tally(0),
    );
    println!("{tally:?} {grown:?}\n{}", report.describe());
    if tally.errors == 0 {
        // Older kernels fill up with zeroes.
        return unsupported(test, "short reads of loop devices");
    }
    let row = report.row(&cgroup.path(), "read");
    assert_eq!(
        (&row["requests"], &row["errors"], row["bytes"].as_u64()),
        (&2.into(), &1.into(), Some(grown.read_bytes)),
        "{}",
        report.describe()
    );
    let partial = &seen.report.0["accounting"]["disk"]["dropped"]["partial"];
    assert!(partial.as_u64() > Some(0), "{}", report.describe());
}
