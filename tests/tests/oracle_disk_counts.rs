//! Requests and bytes by cgroup, device and operation: what the loads did, what `io.stat` says and what the device
//! itself counts, exactly.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::{Device, Stat};
use tests::disk::io_stat::{self, IoStat};
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::rows::DiskReport;
use tests::disk::scene::{Staging, Told, undisturbed};
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan};
use tests::report::Document;
use tests::shape::{Mode, Shape, Transfer};
use tests::stage::observe;

const KIB: usize = 1 << 10;

const LOOP: &str = "two_cgroups_on_a_loop_device";
const NULL: &str = "two_cgroups_on_a_device_that_keeps_data";
const FILE: &str = "direct_reads_and_writes_of_a_file";

fn of(transfer: Transfer) -> Shape {
    Shape::new(Mode::Disk(transfer))
}

/// What happens in one report, and what the files of the two cgroups said of each device.
struct Shared {
    told: Told,
    figures: Vec<(&'static str, [IoStat; 2])>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| undisturbed(stage, |shared| &shared.told))
}

/// Two cgroups, one that reads and one that writes and discards.
fn stage() -> Shared {
    let mut staging = Staging::default();
    let file = ScratchFile::in_memory(16 << 20);
    let over_file = LoopDevice::over(file.path(), Backing::Cached);
    let null = NullBlk::new(NullPlan {
        keeps_data: true,
        ..NullPlan::default()
    });
    let devices = [
        (
            LOOP,
            over_file.as_ref().map(LoopDevice::device),
            loop_device::CAPABILITY,
        ),
        (
            NULL,
            null.as_ref().map(NullBlk::device),
            null_blk::CAPABILITY,
        ),
    ];
    let groups = [(); 2].map(|()| Cgroup::with_io().expect("a cgroup"));
    for (test, device, missing) in devices {
        let Some(device) = device else {
            staging.lack(test, missing);
            continue;
        };
        for cgroup in &groups {
            io_stat::enable(cgroup, device).expect("our own cgroup");
        }
        let [one, two] = &groups;
        let loads = [
            (of(Transfer::Read).threads(3).count(70), one),
            (of(Transfer::Write).threads(2).count(30).size(16 * KIB), two),
            (of(Transfer::Discard).count(20).size(8 * KIB), two),
        ];
        staging.add(test, device, &loads);
    }
    let on_disk = ScratchFile::on_disk(0);
    let cgroup = Cgroup::with_io().expect("a cgroup");
    match Device::below(on_disk.path()) {
        Some(disk) => {
            // Its blocks are there before: making them is the file system's own I/O.
            fs::write(on_disk.path(), vec![1; 8 << 20]).expect("there is room");
            tests::sys::sync();
            let reads = of(Transfer::Read).threads(2).count(300);
            let writes = of(Transfer::Write).threads(2).count(200).size(16 * KIB);
            let loads = [reads, writes].map(|shape| (shape.target(on_disk.path()), &cgroup));
            staging.add(FILE, &disk, &loads);
        }
        None => staging.lack(FILE, "a file system on a disk"),
    }
    let told = staging.observe(|| ());
    // They began at 0.
    let read = |device: &Device| {
        [0, 1].map(|group| io_stat::read(&groups[group], device).expect("our own cgroup"))
    };
    let figures = devices
        .iter()
        .filter_map(|(test, device, _)| Some((*test, read((*device)?))));
    Shared {
        told,
        figures: figures.collect(),
    }
}

/// The device's own counts, against the sums of all rows.
fn assert_sums(report: DiskReport<'_>, grown: Stat) {
    for (operation, requests, bytes) in [
        ("read", grown.reads, grown.read_bytes),
        ("write", grown.writes, grown.write_bytes),
        ("discard", grown.discards, grown.discard_bytes),
    ] {
        let sum = |field| report.sum(operation, field);
        report.assert_count(operation, sum("requests"), requests, 1);
        report.assert_count(operation, sum("bytes"), bytes, 16 * KIB as u64);
    }
}

fn assert_counts(test: &'static str) {
    let Some((act, report)) = shared().told.of(test) else {
        return;
    };
    for (number, operation) in ["read", "write", "discard"].into_iter().enumerate() {
        report.assert_tally(&act.paths[number], operation, act.tallies[number]);
    }
    assert_eq!(report.count(&act.paths[0], "write", "requests"), 0);
    assert_sums(report, act.grown);
    let figures = shared().figures.iter().find(|(name, _)| *name == test);
    let (read, written) = (act.tallies[0], act.tallies[1]);
    let expected = [
        IoStat {
            reads: read.requests,
            read_bytes: read.bytes,
            ..IoStat::default()
        },
        IoStat {
            writes: written.requests,
            write_bytes: written.bytes,
            ..IoStat::default()
        },
    ];
    assert_eq!(figures.expect("read for each device").1, expected);
}

#[test]
fn two_cgroups_on_a_loop_device() {
    assert_counts(LOOP);
}

/// The kernel's own figures of a cgroup, as the report shows them, are those of its files for all devices with none
/// below.
#[test]
fn two_cgroups_on_a_device_that_keeps_data() {
    assert_counts(NULL);
    let Shared { told, figures } = shared();
    let Some((act, report)) = told.of(NULL) else {
        return;
    };
    assert_eq!(report.device()["stacked"], false, "{}", report.describe());
    let truth = figures.iter().find(|(name, _)| *name == NULL);
    for (number, truth) in truth
        .expect("read for each device")
        .1
        .into_iter()
        .enumerate()
    {
        let stat = own_figures(&told.document, &act.paths[number]);
        let figure = |name: &str| stat[name].as_u64();
        assert_eq!(
            [
                figure("reads"),
                figure("read_bytes"),
                figure("writes"),
                figure("write_bytes")
            ],
            [
                truth.reads,
                truth.read_bytes,
                truth.writes,
                truth.write_bytes
            ]
            .map(Some),
            "{stat}"
        );
    }
}

fn own_figures<'a>(document: &'a Document, path: &str) -> &'a Value {
    let mut rows = document.entities().iter();
    let row = rows.find(|row| row["cgroup"]["path"] == path);
    &row.expect("a row")["io"]["stat"]
}

#[test]
fn the_document_fits_its_schema_with_disks_in_it() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/report.schema.json"))
        .expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let document = &shared().told.document.0;
    assert!(
        document["devices"]
            .as_array()
            .is_some_and(|devices| !devices.is_empty())
    );
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn load(shape: Shape, target: &Path, cgroup: &Cgroup) -> Load {
    let shape = shape.target(target);
    Plan::new(shape, cgroup).start().expect("it starts")
}

/// The disk of the machine itself, behind its file system.
#[test]
fn direct_reads_and_writes_of_a_file() {
    let Shared { told, .. } = shared();
    let Some((act, report)) = told.of(FILE) else {
        return;
    };
    let path = &act.paths[0];
    // Version 1 counts where there is a limit alone: elsewhere it is not known, and not 0.
    let reads = &own_figures(&told.document, path)["reads"];
    assert!(
        reads.as_u64().is_none_or(|reads| reads >= 600),
        "{reads} reads by the kernel's own figures"
    );
    for (tally, operation) in act.tallies.iter().zip(["read", "write"]) {
        let count = |field| report.count(path, operation, field);
        let size = tally.bytes / tally.requests;
        report.assert_count("bytes", count("bytes"), tally.bytes, size);
        // A request may be cut in two where the blocks of the file are apart.
        let requests = count("requests");
        let told = requests.min(tally.requests);
        report.assert_count(operation, told, tally.requests, 1);
        assert!(requests <= tally.requests + 8, "{}", report.describe());
        let wait = report.row(path, operation)["wait_s"].as_f64();
        let (wait, clock) = (
            wait.expect("the times of a disk are known"),
            tally.time.as_secs_f64(),
        );
        assert!(
            wait <= clock && wait >= 0.2 * clock,
            "requests took {wait} s, the calls {clock} s\n{}",
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
    let seen = observe(&mut loads);
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
