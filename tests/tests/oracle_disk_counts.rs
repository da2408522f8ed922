//! Requests and bytes by cgroup, device and operation: what the loads did, what `io.stat` says and what the device
//! itself counts, exactly.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::{Device, Stat};
use tests::disk::io_stat::{self, IoStat};
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan};
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::{Observation, observe, observe_while};

const KIB: usize = 1 << 10;

fn of(transfer: Transfer) -> Shape {
    Shape::new(Mode::Disk(transfer))
}

fn load(shape: Shape, target: &Path, cgroup: &Cgroup) -> Load {
    let shape = shape.target(target);
    Plan::new(shape, cgroup).start().expect("it starts")
}

/// The device's own counts, against the sums of all rows.
fn assert_sums(report: DiskReport<'_>, grown: Stat) {
    let sums = |operation| {
        (
            report.sum(operation, "requests"),
            report.sum(operation, "bytes"),
        )
    };
    let details = report.describe();
    assert_eq!(sums("read"), (grown.reads, grown.read_bytes), "{details}");
    assert_eq!(
        sums("write"),
        (grown.writes, grown.write_bytes),
        "{details}"
    );
    assert_eq!(
        sums("discard"),
        (grown.discards, grown.discard_bytes),
        "{details}"
    );
}

/// Two cgroups, one that reads and one that writes and discards.
fn two_cgroups(device: &Device) {
    let (one, two) = (
        Cgroup::with_io().expect("a cgroup"),
        Cgroup::with_io().expect("a cgroup"),
    );
    for cgroup in [&one, &two] {
        io_stat::enable(cgroup, device).expect("our own cgroup");
    }
    let path = device.path();
    let mut loads = [
        load(of(Transfer::Read).threads(3).count(70), &path, &one),
        load(
            of(Transfer::Write).threads(2).count(30).size(16 * KIB),
            &path,
            &two,
        ),
        load(of(Transfer::Discard).count(20).size(8 * KIB), &path, &two),
    ];
    let before = device.stat();
    let seen = observe(&mut loads);
    let report = DiskReport::of(&seen.report, device.name());
    for (number, (cgroup, operation)) in [(&one, "read"), (&two, "write"), (&two, "discard")]
        .into_iter()
        .enumerate()
    {
        let tally = seen.tally(number);
        let count = |field| report.count(&cgroup.path(), operation, field);
        assert_eq!(tally.errors, 0, "{operation}: {tally:?}");
        assert_eq!(
            (count("requests"), count("bytes"), count("errors")),
            (tally.requests, tally.bytes, 0),
            "{operation}\n{}",
            report.describe()
        );
    }
    assert_eq!(report.count(&one.path(), "write", "requests"), 0);
    assert_sums(report, device.stat() - before);
    for cgroup in [&one, &two] {
        // They began at 0.
        let truth = io_stat::read(cgroup, device).expect("our own cgroup");
        let (path, tally) = (cgroup.path(), [0, 1].map(|load| seen.tally(load)));
        let wanted = if path == one.path() {
            (tally[0].requests, tally[0].bytes, 0, 0)
        } else {
            (0, 0, tally[1].requests, tally[1].bytes)
        };
        assert_eq!(
            (
                truth.reads,
                truth.read_bytes,
                truth.writes,
                truth.write_bytes
            ),
            wanted,
            "{path}"
        );
        if report.device()["stacked"] == false {
            assert_figures(&seen, cgroup, truth);
        }
    }
}

fn figures<'a>(seen: &'a Observation, cgroup: &Cgroup) -> &'a Value {
    let path = cgroup.path();
    let mut rows = seen.report.entities().iter();
    let row = rows.find(|row| row["cgroup"]["path"] == path.as_str());
    &row.expect("a row")["io"]["stat"]
}

/// The kernel's own figures of the cgroup, as the report shows them, are those of its files.
fn assert_figures(seen: &Observation, cgroup: &Cgroup, truth: IoStat) {
    let (path, stat) = (cgroup.path(), figures(seen, cgroup));
    let figure = |name: &str| stat[name].as_u64();
    assert_eq!(
        (
            figure("reads"),
            figure("read_bytes"),
            figure("writes"),
            figure("write_bytes")
        ),
        (
            Some(truth.reads),
            Some(truth.read_bytes),
            Some(truth.writes),
            Some(truth.write_bytes)
        ),
        "{path}: {stat}, the files say {truth:?}"
    );
}

#[test]
fn two_cgroups_on_a_loop_device() {
    let file = ScratchFile::in_memory(16 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported("two_cgroups_on_a_loop_device", loop_device::CAPABILITY);
    };
    two_cgroups(made.device());
}

#[test]
fn two_cgroups_on_a_device_that_keeps_data() {
    let plan = NullPlan {
        keeps_data: true,
        ..NullPlan::default()
    };
    let Some(made) = NullBlk::new(plan) else {
        return unsupported(
            "two_cgroups_on_a_device_that_keeps_data",
            null_blk::CAPABILITY,
        );
    };
    two_cgroups(made.device());
}

/// The disk of the machine itself, behind its file system.
#[test]
fn direct_reads_and_writes_of_a_file() {
    let file = ScratchFile::on_disk(0);
    let Some(device) = Device::below(file.path()) else {
        return unsupported(
            "direct_reads_and_writes_of_a_file",
            "a file system on a disk",
        );
    };
    // Its blocks are there before: making them is the file system's own I/O.
    fs::write(file.path(), vec![1; 8 << 20]).expect("there is room");
    tests::sys::sync();
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut loads = [
        load(
            of(Transfer::Read).threads(2).count(300),
            file.path(),
            &cgroup,
        ),
        load(
            of(Transfer::Write).threads(2).count(200).size(16 * KIB),
            file.path(),
            &cgroup,
        ),
    ];
    let seen = observe(&mut loads);
    let report = DiskReport::of(&seen.report, device.name());
    // Version 1 counts where there is a limit alone: elsewhere it is not known, and not 0.
    let reads = &figures(&seen, &cgroup)["reads"];
    assert!(
        reads.as_u64().is_none_or(|reads| reads >= 600),
        "{reads} reads by the kernel's own figures"
    );
    for (number, operation) in ["read", "write"].into_iter().enumerate() {
        let (tally, row) = (seen.tally(number), report.row(&cgroup.path(), operation));
        assert_eq!(row["bytes"], tally.bytes, "{}", report.describe());
        // A request may be cut in two where the blocks of the file are apart.
        let requests = row["requests"].as_u64().expect("a count");
        assert!(
            requests >= tally.requests && requests <= tally.requests + 8,
            "{requests} of {tally:?}\n{}",
            report.describe()
        );
        let (wait, clock) = (
            report.row(&cgroup.path(), operation)["wait_s"].as_f64(),
            tally.time,
        );
        let wait = wait.expect("the times of a disk are known");
        assert!(
            wait <= clock.as_secs_f64() && wait >= 0.3 * clock.as_secs_f64(),
            "requests took {wait} s, the calls {clock:?}\n{}",
            report.describe()
        );
    }
}

/// Three streams in each of 200 cgroups: more than there are places.
#[test]
fn streams_without_a_place_are_counted_together() {
    const CGROUPS: u64 = 200;
    let name = "streams_without_a_place_are_counted_together";
    let file = ScratchFile::in_memory(16 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported(name, loop_device::CAPABILITY);
    };
    let (home, parent) = (
        Cgroup::with_io().expect("a cgroup"),
        Cgroup::with_io().expect("a cgroup"),
    );
    let dirs = Dirs::make(&parent, CGROUPS);
    let shape = Shape::new(Mode::Tour)
        .threads(CGROUPS as usize)
        .dir(parent.io_dir());
    let mut loads = [load(shape, &made.device().path(), &home)];
    let before = made.device().stat();
    let seen = observe_while(&mut loads, &[], |_| ());
    drop(dirs);
    let grown = made.device().stat() - before;
    assert_eq!(
        (grown.reads, grown.writes, grown.discards),
        (CGROUPS, CGROUPS, CGROUPS)
    );
    let report = DiskReport::of(&seen.report, made.device().name());
    assert_sums(report, grown);
    let others = &seen.report.0["accounting"]["disk"]["other_streams"];
    let others = others.as_u64().expect("a count");
    println!("{others} requests of streams without a place");
    assert!(
        (3 * CGROUPS - 512..2 * CGROUPS).contains(&others),
        "{others}\n{}",
        seen.report.0["accounting"]["disk"]
    );
}

/// Cgroups by number, below one that has no process itself.
struct Dirs(Vec<std::path::PathBuf>);

impl Dirs {
    fn make(parent: &Cgroup, count: u64) -> Self {
        let control = parent.io_dir().join("cgroup.subtree_control");
        if control.exists() {
            fs::write(control, "+io").expect("our own cgroup");
        }
        let dirs = (0..count).map(|number| parent.io_dir().join(number.to_string()));
        let made = Self(dirs.collect());
        for dir in &made.0 {
            fs::create_dir(dir).expect("our own cgroup");
        }
        made
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = fs::remove_dir(dir);
        }
    }
}

#[test]
fn the_document_fits_its_schema_with_disks_in_it() {
    let file = ScratchFile::in_memory(4 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported(
            "the_document_fits_its_schema_with_disks_in_it",
            loop_device::CAPABILITY,
        );
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let seen = observe(&mut [load(
        of(Transfer::Read).count(10),
        &made.device().path(),
        &cgroup,
    )]);
    let schema: Value = serde_json::from_str(include_str!("../../docs/report.schema.json"))
        .expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let errors: Vec<String> = validator
        .iter_errors(&seen.report.0)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}
