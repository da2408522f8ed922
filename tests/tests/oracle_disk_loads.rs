//! The devices, the loads that read and write, and the kernel's own counts, without the agent: an oracle that is wrong
//! proves nothing.

use std::time::Duration;

use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::{Device, Stat};
use tests::disk::filesystem::{self, FileSystem};
use tests::disk::io_stat::{self, IoStat};
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::disk::scratch::ScratchFile;
use tests::disk::scsi_debug::{self, BAD_SECTOR, Fault, ScsiDebug};
use tests::load::Plan;
use tests::shape::{Mode, Shape, Transfer};
use tests::tally::Tally;

fn run(shape: Shape, cgroup: &Cgroup, device: &Device) -> Tally {
    let shape = shape.target(&device.path());
    let mut load = Plan::new(shape, cgroup).start().expect("it starts");
    load.go();
    load.tally()
}

fn of(transfer: Transfer) -> Shape {
    Shape::new(Mode::Disk(transfer))
}

#[test]
fn a_load_and_the_kernel_count_alike_on_a_loop_device() {
    let name = "a_load_and_the_kernel_count_alike_on_a_loop_device";
    let file = ScratchFile::in_memory(16 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        return unsupported(name, loop_device::CAPABILITY);
    };
    let (device, cgroup) = (made.device(), Cgroup::with_io().expect("a cgroup"));
    io_stat::enable(&cgroup, device).expect("our own cgroup");
    let (before, own) = (
        device.stat(),
        io_stat::read(&cgroup, device).expect("our own"),
    );
    let read = run(of(Transfer::Read).threads(3).count(70), &cgroup, device);
    let written = run(
        of(Transfer::Write).threads(2).count(30).size(16_384),
        &cgroup,
        device,
    );
    let discarded = run(of(Transfer::Discard).count(20).size(8_192), &cgroup, device);
    let expected = Stat {
        reads: 210,
        read_bytes: 210 * 4_096,
        writes: 60,
        write_bytes: 60 * 16_384,
        discards: 20,
        discard_bytes: 20 * 8_192,
        flushes: 0,
    };
    assert_eq!(device.stat() - before, expected);
    assert_eq!(
        (read.requests, read.bytes, read.errors),
        (210, 210 * 4_096, 0)
    );
    assert_eq!((written.requests, written.bytes), (60, 60 * 16_384));
    assert_eq!((discarded.requests, discarded.errors), (20, 0));
    let now = io_stat::read(&cgroup, device).expect("our own");
    let grown = IoStat {
        read_bytes: now.read_bytes - own.read_bytes,
        write_bytes: now.write_bytes - own.write_bytes,
        reads: now.reads - own.reads,
        writes: now.writes - own.writes,
    };
    let expected = IoStat {
        read_bytes: 210 * 4_096,
        write_bytes: 60 * 16_384,
        reads: 210,
        writes: 60,
    };
    assert_eq!(grown, expected);
}

#[test]
fn a_device_of_known_delay_takes_it() {
    let name = "a_device_of_known_delay_takes_it";
    let delay = Duration::from_millis(20);
    let Some(made) = NullBlk::new(NullPlan::one_at_a_time(delay)) else {
        return unsupported(name, null_blk::CAPABILITY);
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    for threads in [1, 4] {
        let shape = of(Transfer::Read).threads(threads).count(20);
        let tally = run(shape, &cgroup, made.device());
        println!(
            "{threads} threads: {:.6} s, longest {:?}",
            tally.mean_s(),
            tally.longest
        );
        let expected = delay.as_secs_f64() * threads as f64;
        // The first and the last ones have fewer before them, and to wake up takes time under emulation.
        let mean = tally.mean_s();
        assert!(mean > 0.85 * expected && mean < 1.25 * expected, "{mean} s");
    }
}

#[test]
fn a_disk_with_bad_sectors_fails_where_they_are() {
    let name = "a_disk_with_bad_sectors_fails_where_they_are";
    let Some(made) = ScsiDebug::new(Fault::BadSectors) else {
        return unsupported(name, scsi_debug::CAPABILITY);
    };
    let size = 64 << 10;
    let count = 1 + (BAD_SECTOR * 512) as usize / size;
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let before = made.device().stat();
    let tally = run(
        of(Transfer::Read).count(count).size(size),
        &cgroup,
        made.device(),
    );
    println!("{:?}", made.device().stat() - before);
    assert_eq!(
        (tally.requests, tally.errors),
        (count as u64, 1),
        "{tally:?}"
    );
}

#[test]
fn a_file_is_on_the_disk_of_its_file_system() {
    let file = ScratchFile::in_memory(1);
    assert_eq!(Device::below(file.path()), None);
    let disk = ScratchFile::on_disk(1);
    println!("{:?}", Device::below(disk.path()));
}

#[test]
fn a_disk_of_half_transfers_completes_all_in_pieces() {
    let name = "a_disk_of_half_transfers_completes_all_in_pieces";
    let Some(made) = ScsiDebug::new(Fault::HalfTransfers) else {
        return unsupported(name, scsi_debug::CAPABILITY);
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let before = made.device().stat();
    let size = 64 << 10;
    let tally = run(
        of(Transfer::Read).count(50).size(size),
        &cgroup,
        made.device(),
    );
    let grown = made.device().stat() - before;
    println!("{grown:?}");
    assert_eq!((tally.requests, tally.errors), (50, 0), "{tally:?}");
    assert_eq!((grown.reads, grown.read_bytes), (50, 50 * size as u64));
}

#[test]
fn a_file_system_is_mounted_on_a_device_that_keeps_data() {
    let name = "a_file_system_is_mounted_on_a_device_that_keeps_data";
    let plan = NullPlan {
        keeps_data: true,
        cache: 4,
        ..NullPlan::default()
    };
    let Some(made) = NullBlk::new(plan) else {
        return unsupported(name, null_blk::CAPABILITY);
    };
    let Some(mounted) = FileSystem::on(made.device()) else {
        return unsupported(name, filesystem::CAPABILITY);
    };
    let before = made.device().stat();
    let file = mounted.dir().join("file");
    std::fs::write(&file, vec![1; 1 << 20]).expect("there is room");
    std::fs::File::open(&file)
        .and_then(|file| file.sync_all())
        .expect("it is written");
    let grown = made.device().stat() - before;
    println!("{grown:?}");
    assert!(
        grown.write_bytes >= 1 << 20 && grown.flushes > 0,
        "{grown:?}"
    );
}
