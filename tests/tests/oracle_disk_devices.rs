//! Devices over devices, devices that come and go, and devices that fail.

use std::fs::{self, OpenOptions};
use std::sync::OnceLock;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::CHUNK;
use tests::disk::device::Device;
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::mapped::{self, Mapped};
use tests::disk::md_array::{self, MdArray};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scene::{Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::disk::scsi_debug::{self, BAD_SECTOR, Fault, ScsiDebug};
use tests::load::Plan;
use tests::shape::{Mode, Shape, Transfer};
use tests::tally::Tally;

const KIB: usize = 1 << 10;
const PIECE: usize = 64 * KIB;

const OVER_NULL: &str = "a_loop_device_over_a_device_counts_once";
const OVER_DISK: &str = "a_loop_device_over_a_file_on_a_disk_counts_once";
const SHORT: &str = "a_request_past_the_end_of_the_file_below_fails_once";

fn reads(count: usize, size: usize) -> Shape {
    Shape::new(Mode::Disk(Transfer::Read))
        .count(count)
        .size(size)
}

/// What happens in one report.
struct Shared {
    told: Told,
    /// Devices below the stacked ones, by test.
    below: Vec<(&'static str, String)>,
    coming: Result<Came, &'static str>,
    attached: Result<Came, &'static str>,
    pieces: Result<Came, &'static str>,
    retried: Result<Came, &'static str>,
    put_back: Result<Came, &'static str>,
    striped: Result<Came, &'static str>,
    mapped: Result<Came, &'static str>,
    failing: Result<Came, &'static str>,
}

/// A load on a device that was not there at the start.
struct Came {
    device: String,
    path: String,
    tally: Tally,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| undisturbed(stage, |shared| &shared.told))
}

fn stage() -> Shared {
    let mut staging = Staging::default();
    let mut below = Vec::new();
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let lower = NullBlk::new(NullPlan::default());
    let over = lower
        .as_ref()
        .and_then(|lower| LoopDevice::over(&lower.device().path(), Backing::Direct));
    match (&lower, &over) {
        (Some(lower), Some(over)) => {
            staging.add(OVER_NULL, over.device(), &[(reads(200, 16 * KIB), &cgroup)]);
            below.push((OVER_NULL, lower.device().name().to_owned()));
        }
        (None, _) => staging.lack(OVER_NULL, null_blk::CAPABILITY),
        (_, None) => staging.lack(OVER_NULL, loop_device::CAPABILITY),
    }
    let file = ScratchFile::on_disk(0);
    fs::write(file.path(), vec![1; 4 << 20]).expect("there is room");
    tests::sys::sync();
    let disk = Device::below(file.path());
    let over_disk = LoopDevice::over(file.path(), Backing::Direct);
    match (&disk, &over_disk) {
        (Some(disk), Some(over)) => {
            staging.add(OVER_DISK, over.device(), &[(reads(200, 16 * KIB), &cgroup)]);
            below.push((OVER_DISK, disk.name().to_owned()));
        }
        (None, _) => staging.lack(OVER_DISK, "a file system on a disk"),
        (_, None) => staging.lack(OVER_DISK, loop_device::CAPABILITY),
    }
    let short = ScratchFile::on_disk(4 * PIECE as u64);
    let over_short = LoopDevice::over(short.path(), Backing::Direct);
    let shorten = OpenOptions::new().write(true).open(short.path());
    shorten
        .and_then(|file| file.set_len(PIECE as u64 + 8 * KIB as u64))
        .expect("our own file");
    match &over_short {
        Some(over) => staging.add(SHORT, over.device(), &[(reads(2, PIECE), &cgroup)]),
        None => staging.lack(SHORT, loop_device::CAPABILITY),
    }
    let groups = [(); 8].map(|()| Cgroup::with_io().expect("a cgroup"));
    let mut came = None;
    let told = staging.observe_to_the_end(|| {
        let [
            coming,
            attached,
            pieces,
            retried,
            put_back,
            striped,
            mapped,
            failing,
        ] = &groups;
        came = Some((
            null_devices(coming),
            loop_device(attached),
            disk_of_pieces(pieces),
            faulty_disk(Fault::Retries, retried),
            faulty_disk(Fault::Busy, put_back),
            array(striped),
            mapped_disks(mapped),
            disk_with_bad_sectors(failing),
        ));
    });
    let (coming, attached, pieces, retried, put_back, striped, mapped, failing) =
        came.expect("the end was reached");
    Shared {
        told,
        below,
        coming,
        attached,
        pieces,
        retried,
        put_back,
        striped,
        mapped,
        failing,
    }
}

fn run(device: &Device, shape: Shape, cgroup: &Cgroup) -> Came {
    let mut load = Plan::new(shape.target(&device.path()), cgroup)
        .start()
        .expect("it starts");
    load.go();
    Came {
        device: device.name().to_owned(),
        path: cgroup.path(),
        tally: load.tally(),
    }
}

/// Three devices, each of which takes the number of the one before.
fn null_devices(cgroup: &Cgroup) -> Result<Came, &'static str> {
    let mut tally = Tally::default();
    for count in [30, 40, 50] {
        let made = NullBlk::new(NullPlan::default()).ok_or(null_blk::CAPABILITY)?;
        let shape = reads(count, 4 * KIB).target(&made.device().path());
        let mut load = Plan::new(shape, cgroup).start().expect("it starts");
        load.go();
        tally += load.tally();
    }
    Ok(Came {
        device: String::new(),
        path: cgroup.path(),
        tally,
    })
}

fn loop_device(cgroup: &Cgroup) -> Result<Came, &'static str> {
    let file = ScratchFile::in_memory(4 << 20);
    let made = LoopDevice::over(file.path(), Backing::Cached).ok_or(loop_device::CAPABILITY)?;
    Ok(run(made.device(), reads(100, 4 * KIB), cgroup))
}

fn disk_of_pieces(cgroup: &Cgroup) -> Result<Came, &'static str> {
    let made = ScsiDebug::new(Fault::HalfTransfers).ok_or(scsi_debug::CAPABILITY)?;
    Ok(run(made.device(), reads(50, PIECE), cgroup))
}

/// Reads that go to both disks of an array.
fn array(cgroup: &Cgroup) -> Result<Came, &'static str> {
    over_two_disks(cgroup, |parts| {
        let made = MdArray::striped(parts).ok_or(md_array::CAPABILITY)?;
        Ok((made.device().clone(), made))
    })
}

/// The same of the device mapper.
fn mapped_disks(cgroup: &Cgroup) -> Result<Came, &'static str> {
    over_two_disks(cgroup, |parts| {
        let made = Mapped::striped(parts).ok_or(mapped::CAPABILITY)?;
        Ok((made.device().clone(), made))
    })
}

fn over_two_disks<M>(
    cgroup: &Cgroup,
    make: impl FnOnce([&Device; 2]) -> Result<(Device, M), &'static str>,
) -> Result<Came, &'static str> {
    let parts = [(); 2].map(|()| NullBlk::new(NullPlan::default()));
    let [Some(one), Some(other)] = &parts else {
        return Err(null_blk::CAPABILITY);
    };
    let (device, _made) = make([one.device(), other.device()])?;
    // Whoever opens it first looks for partitions, and reads for that.
    fs::File::open(device.path()).expect("it is active");
    Ok(run(&device, reads(40, 2 * CHUNK), cgroup))
}

fn faulty_disk(fault: Fault, cgroup: &Cgroup) -> Result<Came, &'static str> {
    let made = ScsiDebug::new(fault).ok_or(scsi_debug::CAPABILITY)?;
    Ok(run(made.device(), reads(60, 4 * KIB), cgroup))
}

fn disk_with_bad_sectors(cgroup: &Cgroup) -> Result<Came, &'static str> {
    let made = ScsiDebug::new(Fault::BadSectors).ok_or(scsi_debug::CAPABILITY)?;
    let count = 1 + (BAD_SECTOR * 512) as usize / PIECE;
    Ok(run(made.device(), reads(count, PIECE), cgroup))
}

/// What goes through a loop device is told of both devices, and counts once.
fn assert_stacked(test: &'static str) {
    let Shared { told, below, .. } = shared();
    let Some((act, above)) = told.of(test) else {
        return;
    };
    let lower = below.iter().find(|(name, _)| *name == test);
    let below = DiskReport::of(&told.document, &lower.expect("it has one below").1);
    println!(
        "{:?} {:?}\n{}\n{}",
        act.tallies,
        act.grown,
        above.describe(),
        below.describe()
    );
    assert_eq!(above.device()["stacked"], true, "{}", above.describe());
    assert_eq!(below.device()["stacked"], false, "{}", below.describe());
    let (path, tally) = (&act.paths[0], act.tallies[0]);
    above.assert_tally(path, "read", tally);
    let count = |field| below.count(path, "read", field);
    below.assert_count(
        "bytes",
        count("bytes").min(tally.bytes),
        tally.bytes,
        16 << 10,
    );
    // A file may be in several pieces.
    let requests = count("requests");
    below.assert_count("requests", requests.min(tally.requests), tally.requests, 1);
    assert!(
        requests <= tally.requests + 16,
        "{requests}\n{}",
        below.describe()
    );
}

#[test]
fn a_loop_device_over_a_device_counts_once() {
    assert_stacked(OVER_NULL);
}

#[test]
fn a_loop_device_over_a_file_on_a_disk_counts_once() {
    assert_stacked(OVER_DISK);
}

/// What was done on a device that came and went.
fn came(came: &'static Result<Came, &'static str>, test: &str) -> Option<&'static Came> {
    match came {
        Ok(came) => Some(came),
        Err(missing) => {
            unsupported(test, missing);
            None
        }
    }
}

/// The only row of a cgroup.
fn row(path: &str) -> DiskReport<'static> {
    let document = &shared().told.document;
    let row = document
        .entities()
        .iter()
        .find(|row| row["cgroup"]["path"] == path);
    let disk = &row.unwrap_or_else(|| panic!("no row of {path}"))["disk"];
    println!("{disk}\n{}", document.0["devices"]);
    assert_eq!(disk.as_array().map(Vec::len), Some(1), "{disk}");
    DiskReport::of(document, disk[0]["device"].as_str().expect("a name"))
}

#[test]
fn devices_come_and_go() {
    if let Some(came) = came(&shared().coming, "devices_come_and_go") {
        row(&came.path).assert_tally(&came.path, "read", came.tally);
    }
}

#[test]
fn a_loop_device_is_attached_meanwhile() {
    let test = "a_loop_device_is_attached_meanwhile";
    if let Some(came) = came(&shared().attached, test) {
        row(&came.path).assert_tally(&came.path, "read", came.tally);
        let report = DiskReport::of(&shared().told.document, &came.device);
        assert!(report.count(&came.path, "read", "requests") > 0);
    }
}

/// Each request is completed in pieces, and is one.
#[test]
fn requests_that_complete_in_pieces_count_once() {
    let test = "requests_that_complete_in_pieces_count_once";
    if let Some(came) = came(&shared().pieces, test) {
        row(&came.path).assert_tally(&came.path, "read", came.tally);
        let dropped = &shared().told.document.0["accounting"]["disk"]["dropped"];
        let partial = dropped["partial"].as_u64();
        assert!(partial >= Some(came.tally.requests / 2), "{dropped}");
    }
}

/// However often a request is issued, it is one, and lasts from its creation to its last completion.
#[test]
fn requests_that_are_tried_again_count_once() {
    let test = "requests_that_are_tried_again_count_once";
    for shared in [&shared().retried, &shared().put_back] {
        if let Some(came) = came(shared, test) {
            assert_eq!(came.tally.errors, 0, "{:?}", came.tally);
            row(&came.path).assert_tally(&came.path, "read", came.tally);
        }
    }
}

/// An array makes no requests of its own: those of its disks are told, and all of them.
#[test]
fn an_array_is_told_of_its_disks() {
    assert_told_of_two_disks(&shared().striped, "an_array_is_told_of_its_disks");
}

#[test]
fn a_mapped_device_is_told_of_its_disks() {
    assert_told_of_two_disks(&shared().mapped, "a_mapped_device_is_told_of_its_disks");
}

fn assert_told_of_two_disks(stacked: &'static Result<Came, &'static str>, test: &str) {
    let Some(came) = came(stacked, test) else {
        return;
    };
    let document = &shared().told.document;
    let mut rows = document.entities().iter();
    let row = rows.find(|row| row["cgroup"]["path"] == came.path);
    let disks = row.and_then(|row| row["disk"].as_array());
    let disks = disks.unwrap_or_else(|| panic!("no disks of {}", came.path));
    println!("{:?} {disks:?}", came.tally);
    assert_eq!(disks.len(), 2, "{disks:?}");
    let half = Tally {
        bytes: came.tally.bytes / 2,
        ..came.tally
    };
    for disk in disks {
        let device = disk["device"].as_str().expect("a name");
        DiskReport::of(document, device).assert_tally(&came.path, "read", half);
    }
}

#[test]
fn a_request_that_fails_is_an_error() {
    let test = "a_request_that_fails_is_an_error";
    let Some(came) = came(&shared().failing, test) else {
        return;
    };
    assert_eq!(came.tally.errors, 1, "{:?}", came.tally);
    let report = row(&came.path);
    let count = |field| report.count(&came.path, "read", field);
    report.assert_count("requests", count("requests"), came.tally.requests, 1);
    report.assert_count("errors", count("errors"), 1, 1);
}

/// The file below ends in the middle of a request: its first part succeeds, and the rest fails.
#[test]
fn a_request_past_the_end_of_the_file_below_fails_once() {
    let Some((act, report)) = shared().told.of(SHORT) else {
        return;
    };
    let (tally, grown) = (act.tallies[0], act.grown);
    println!("{tally:?} {grown:?}\n{}", report.describe());
    if tally.errors == 0 {
        // Older kernels fill up with zeroes.
        return unsupported(SHORT, "short reads of loop devices");
    }
    let row = report.row(&act.paths[0], "read");
    assert_eq!(
        (&row["requests"], &row["errors"], row["bytes"].as_u64()),
        (&2.into(), &1.into(), Some(grown.read_bytes)),
        "{}",
        report.describe()
    );
}
