//! Whose a request is: written back by the kernel, a flush, or of a cgroup that is gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::filesystem::{self, FileSystem};
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan};
use tests::report::Running;
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::{observe, observe_while};
use tests::sys;

const KIB: usize = 1 << 10;

fn load(shape: Shape, target: &Path, cgroup: &Cgroup) -> Load {
    let shape = shape.target(target);
    Plan::new(shape, cgroup).start().expect("it starts")
}

/// A device that keeps what is written, and whose cache must be flushed.
enum Kept {
    Null(NullBlk),
    Loop {
        made: LoopDevice,
        _file: ScratchFile,
    },
}

impl Kept {
    /// `None` where there is no such driver.
    fn null() -> Option<Self> {
        let plan = NullPlan {
            keeps_data: true,
            cache: 4,
            ..NullPlan::default()
        };
        NullBlk::new(plan).map(Self::Null)
    }

    fn over_memory() -> Option<Self> {
        let file = ScratchFile::in_memory(64 << 20);
        let made = LoopDevice::over(file.path(), Backing::Cached)?;
        Some(Self::Loop { made, _file: file })
    }

    fn device(&self) -> &Device {
        match self {
            Self::Null(made) => made.device(),
            Self::Loop { made, .. } => made.device(),
        }
    }
}

/// On version 2 whoever dirtied the pages has it written, whoever asks for it; on version 1 nobody knows.
fn write_back(test: &str, kept: Option<Kept>, capability: &str) {
    let Some(kept) = kept else {
        return unsupported(test, capability);
    };
    let device = kept.device();
    let Some(mounted) = FileSystem::on(device) else {
        return unsupported(test, filesystem::CAPABILITY);
    };
    let (one, two) = (
        Cgroup::with_io().expect("a cgroup"),
        Cgroup::with_io().expect("a cgroup"),
    );
    let buffered = |count| Shape::new(Mode::Disk(Transfer::Buffered)).count(count);
    let mut loads = [
        load(buffered(1024), &mounted.dir().join("one"), &one),
        load(buffered(256), &mounted.dir().join("two"), &two),
    ];
    let seen = observe_while(&mut loads, &[], |loads| {
        for load in loads {
            load.tally();
        }
        sys::sync();
    });
    let report = DiskReport::of(&seen.report, device.name());
    let bytes = [&one, &two].map(|cgroup| report.count(&cgroup.path(), "write", "bytes"));
    let dirtied = [0, 1].map(|load| seen.tally(load).bytes);
    println!("written back {bytes:?} of {dirtied:?}");
    if one.writes_back() {
        assert_eq!(bytes, dirtied, "{}", report.describe());
    } else {
        assert_eq!(bytes, [0, 0], "{}", report.describe());
        let root = report.count("/", "write", "bytes");
        assert!(root >= dirtied.iter().sum(), "{}", report.describe());
    }
    drop(loads);
}

#[test]
fn write_back_is_of_whom_dirtied_the_pages() {
    let test = "write_back_is_of_whom_dirtied_the_pages";
    write_back(test, Kept::null(), null_blk::CAPABILITY);
}

#[test]
fn write_back_to_a_loop_device_is_of_whom_dirtied_the_pages() {
    let test = "write_back_to_a_loop_device_is_of_whom_dirtied_the_pages";
    write_back(test, Kept::over_memory(), loop_device::CAPABILITY);
}

/// Each write and each flush that was asked for is one request of the cgroup; what the kernel makes of the flushes is
/// the device's. In the device's own counts, flushes that were asked for are writes without data.
fn flushes(test: &str, kept: Option<Kept>, capability: &str, transfer: Transfer) {
    let Some(kept) = kept else {
        return unsupported(test, capability);
    };
    let device = kept.device();
    assert_eq!(device.get("write_cache").as_deref(), Some("write back"));
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let shape = Shape::new(Mode::Disk(transfer))
        .count(50)
        .size(8 * KIB)
        .threads(2);
    let mut loads = [load(shape, &device.path(), &cgroup)];
    let before = device.stat();
    let seen = observe(&mut loads);
    let grown = device.stat() - before;
    let (report, tally) = (DiskReport::of(&seen.report, device.name()), seen.tally(0));
    let details = report.describe();
    println!("{grown:?}\n{details}");
    let path = cgroup.path();
    let own = |operation, field| report.count(&path, operation, field);
    assert_eq!(
        (own("write", "requests"), own("write", "bytes")),
        (tally.requests, tally.bytes),
        "{details}"
    );
    let asked = own("flush", "requests");
    assert_eq!(asked, tally.requests, "{details}");
    assert_eq!(own("flush", "bytes"), 0, "{details}");
    assert_eq!(grown.writes, tally.requests + asked, "{details}");
    assert_eq!(grown.write_bytes, tally.bytes, "{details}");
    assert!(grown.flushes > 0, "{grown:?}");
    assert_eq!(
        report.sum("flush", "requests") - asked,
        grown.flushes,
        "{details}"
    );
    let nobody = seen
        .report
        .entities()
        .iter()
        .find(|row| row["kind"] == "device");
    let nobody = nobody.expect("flushes of nobody have a row");
    assert!(
        nobody["disk"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty()),
        "{nobody}"
    );
}

#[test]
fn flushes_of_a_device_with_a_cache() {
    let test = "flushes_of_a_device_with_a_cache";
    flushes(
        test,
        Kept::null(),
        null_blk::CAPABILITY,
        Transfer::WriteFlush,
    );
}

#[test]
fn flushes_of_a_loop_device() {
    let test = "flushes_of_a_loop_device";
    flushes(
        test,
        Kept::over_memory(),
        loop_device::CAPABILITY,
        Transfer::WriteFlush,
    );
}

#[test]
fn writes_through_the_cache_of_a_device() {
    let test = "writes_through_the_cache_of_a_device";
    flushes(
        test,
        Kept::null(),
        null_blk::CAPABILITY,
        Transfer::SyncWrite,
    );
}

/// It cannot write through its cache: each write becomes data and a flush.
#[test]
fn writes_through_the_cache_of_a_loop_device() {
    let test = "writes_through_the_cache_of_a_loop_device";
    flushes(
        test,
        Kept::over_memory(),
        loop_device::CAPABILITY,
        Transfer::SyncWrite,
    );
}

/// Its requests are told, whoever they are of now.
#[test]
fn requests_of_a_cgroup_that_is_gone_are_told() {
    let plan = NullPlan {
        delay: Duration::from_millis(1_500),
        ..NullPlan::default()
    };
    let Some(made) = NullBlk::new(plan) else {
        return unsupported(
            "requests_of_a_cgroup_that_is_gone_are_told",
            null_blk::CAPABILITY,
        );
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let shape = Shape::new(Mode::Disk(Transfer::Read)).threads(4).count(2);
    let mut load = load(shape, &made.device().path(), &cgroup);
    let report = Running::start(&["--duration", "10m"]);
    let before = made.device().stat();
    load.go();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(made.device().stat(), before, "nothing is completed yet");
    for dir in cgroup.dirs() {
        let above = dir.parent().expect("a cgroup has one above");
        fs::write(above.join("cgroup.procs"), load.id().to_string()).expect("it is moved");
        fs::remove_dir(dir).expect("nobody is in it any more");
    }
    let tally = load.tally();
    let document = report.interrupt();
    let told = DiskReport::of(&document, made.device().name());
    println!("{}", told.describe());
    assert_eq!(told.sum("read", "requests"), tally.requests);
    assert_eq!(told.sum("read", "bytes"), tally.bytes);
    // Those in flight when it went, and those that came after.
    assert_eq!(
        told.count("/", "read", "requests"),
        4,
        "{}",
        told.describe()
    );
}
