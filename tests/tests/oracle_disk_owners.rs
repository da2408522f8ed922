//! Whose a request is: written back by the kernel, a flush, or of a cgroup that is gone.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::filesystem::{self, FileSystem};
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scene::{Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::load::Plan;
use tests::report::Running;
use tests::shape::{Mode, Shape, Transfer};
use tests::sys;

const KIB: usize = 1 << 10;

const FLUSH: &str = "flushes_of_a_device_with_a_cache";
const FLUSH_LOOP: &str = "flushes_of_a_loop_device";
const THROUGH: &str = "writes_through_the_cache_of_a_device";
const THROUGH_LOOP: &str = "writes_through_the_cache_of_a_loop_device";
const BACK: &str = "write_back_is_of_whom_dirtied_the_pages";
const BACK_LOOP: &str = "write_back_to_a_loop_device_is_of_whom_dirtied_the_pages";

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

fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| undisturbed(stage, |told| told))
}

fn stage() -> Told {
    let mut staging = Staging::default();
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let mut kept = Vec::new();
    for (test, made, missing, transfer) in [
        (
            FLUSH,
            Kept::null(),
            null_blk::CAPABILITY,
            Transfer::WriteFlush,
        ),
        (
            THROUGH,
            Kept::null(),
            null_blk::CAPABILITY,
            Transfer::SyncWrite,
        ),
        (
            FLUSH_LOOP,
            Kept::over_memory(),
            loop_device::CAPABILITY,
            Transfer::WriteFlush,
        ),
        (
            THROUGH_LOOP,
            Kept::over_memory(),
            loop_device::CAPABILITY,
            Transfer::SyncWrite,
        ),
    ] {
        let Some(made) = made else {
            staging.lack(test, missing);
            continue;
        };
        let shape = Shape::new(Mode::Disk(transfer))
            .threads(2)
            .count(50)
            .size(8 * KIB);
        staging.add(test, made.device(), &[(shape, &cgroup)]);
        kept.push(made);
    }
    let mut mounted = Vec::new();
    for (test, made, missing) in [
        (BACK, Kept::null(), null_blk::CAPABILITY),
        (BACK_LOOP, Kept::over_memory(), loop_device::CAPABILITY),
    ] {
        let Some(made) = made else {
            staging.lack(test, missing);
            continue;
        };
        let Some(files) = FileSystem::on(made.device()) else {
            staging.lack(test, filesystem::CAPABILITY);
            continue;
        };
        let buffered = |name: &str, count| {
            let target = files.dir().join(name);
            Shape::new(Mode::Disk(Transfer::Buffered))
                .count(count)
                .target(&target)
        };
        let [one, two] = [(); 2].map(|()| Cgroup::with_io().expect("a cgroup"));
        let loads = [(buffered("one", 1024), &one), (buffered("two", 256), &two)];
        staging.add(test, made.device(), &loads);
        mounted.push((files, made));
    }
    let told = staging.observe_to_the_end(sys::sync);
    // The device goes after its file system.
    drop(mounted);
    told
}

/// Each write and each flush that was asked for is one request of the cgroup; what the kernel makes of the flushes is
/// the device's. In the device's own counts, flushes that were asked for are writes without data.
fn assert_flushes(test: &'static str) {
    let Some((act, report)) = told().of(test) else {
        return;
    };
    let (tally, grown, details) = (act.tallies[0], act.grown, report.describe());
    println!("{grown:?}\n{details}");
    let path = &act.paths[0];
    report.assert_tally(path, "write", tally);
    let count = |path: &str, field| report.count(path, "flush", field);
    let (asked, nobodys) = (count(path, "requests"), count("device", "requests"));
    report.assert_count("asked for", asked, tally.requests, 1);
    report.assert_count("made", nobodys, grown.flushes, 1);
    assert_eq!(report.sum("flush", "bytes"), 0, "{details}");
    assert_eq!(
        report.sum("flush", "requests"),
        asked + nobodys,
        "{details}"
    );
    assert_eq!(
        (grown.writes, grown.write_bytes),
        (2 * tally.requests, tally.bytes),
        "{grown:?}"
    );
    assert!(grown.flushes > 0, "{grown:?}");
}

#[test]
fn flushes_of_a_device_with_a_cache() {
    assert_flushes(FLUSH);
}

#[test]
fn flushes_of_a_loop_device() {
    assert_flushes(FLUSH_LOOP);
}

#[test]
fn writes_through_the_cache_of_a_device() {
    assert_flushes(THROUGH);
}

/// It cannot write through its cache: each write becomes data and a flush.
#[test]
fn writes_through_the_cache_of_a_loop_device() {
    assert_flushes(THROUGH_LOOP);
}

/// On version 2 whoever dirtied the pages has it written, whoever asks for it; on version 1 nobody knows.
fn assert_write_back(test: &'static str) {
    let Some((act, report)) = told().of(test) else {
        return;
    };
    let written = [0, 1].map(|load| report.count(&act.paths[load], "write", "bytes"));
    let dirtied = [0, 1].map(|load| act.tallies[load].bytes);
    println!("written back {written:?} of {dirtied:?}");
    if Cgroup::with_io().expect("a cgroup").writes_back() {
        for (written, dirtied) in written.into_iter().zip(dirtied) {
            // A request may be as large as the device takes.
            report.assert_count("written back", written, dirtied, 1 << 20);
        }
    } else {
        assert_eq!(written, [0, 0], "{}", report.describe());
        let root = report.count("/", "write", "bytes");
        assert!(root >= dirtied.iter().sum(), "{}", report.describe());
    }
    let all = report.sum("write", "bytes");
    report.assert_count("all", all, act.grown.write_bytes, 1 << 20);
}

#[test]
fn write_back_is_of_whom_dirtied_the_pages() {
    assert_write_back(BACK);
}

#[test]
fn write_back_to_a_loop_device_is_of_whom_dirtied_the_pages() {
    assert_write_back(BACK_LOOP);
}

/// Its requests are told, whoever they are of now; what is in service at the end is not.
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
    let [gone, stays] = [(); 2].map(|()| Cgroup::with_io().expect("a cgroup"));
    let start = |count, cgroup: &Cgroup| {
        let shape = Shape::new(Mode::Disk(Transfer::Read))
            .threads(4)
            .count(count);
        Plan::new(shape.target(&made.device().path()), cgroup)
            .start()
            .expect("it starts")
    };
    let (mut load, mut late) = (start(2, &gone), start(1, &stays));
    let report = Running::start(&["--duration", "10m"]);
    let before = made.device().stat();
    load.go();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(made.device().stat(), before, "nothing is completed yet");
    for dir in gone.dirs() {
        let above = dir.parent().expect("a cgroup has one above");
        fs::write(above.join("cgroup.procs"), load.id().to_string()).expect("it is moved");
        fs::remove_dir(dir).expect("nobody is in it any more");
    }
    let tally = load.tally();
    late.go();
    std::thread::sleep(Duration::from_millis(300));
    let document = report.interrupt();
    late.tally();
    let told = DiskReport::of(&document, made.device().name());
    println!("{}", told.describe());
    assert_eq!(told.sum("read", "requests"), tally.requests);
    assert_eq!(told.sum("read", "bytes"), tally.bytes);
    assert_eq!(told.count(&stays.path(), "read", "requests"), 0);
    // Those in flight when it went, and those that came after.
    assert_eq!(
        told.count("/", "read", "requests"),
        4,
        "{}",
        told.describe()
    );
}
