//! A pretended SCSI disk with the faults of real ones. Removed on drop.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::device::Device;

const DRIVER: &str = "/sys/bus/pseudo/drivers/scsi_debug";

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "scsi_debug";

/// The first sector that cannot be read, by the driver's default.
pub const BAD_SECTOR: u64 = 0x1234;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Some sectors cannot be read, [`BAD_SECTOR`] first.
    BadSectors,
    /// Every second command transfers half of what it should, and the rest is asked for anew.
    HalfTransfers,
    /// Every third command fails for a passing reason, and is tried again.
    Retries,
    /// For every third command it has no time: it is put back into the queue.
    Busy,
}

impl Fault {
    /// Bits of `opts`, and `every_nth`.
    const fn options(self) -> (&'static str, &'static str) {
        match self {
            Self::BadSectors => ("0x2", "0"),
            Self::HalfTransfers => ("0x100", "2"),
            Self::Retries => ("0x10", "3"),
            Self::Busy => ("0x8000", "3"),
        }
    }
}

/// The disk.
#[derive(Debug)]
pub struct ScsiDebug(Device);

impl ScsiDebug {
    /// Plugs it in; `None` where the driver is not there, or in use.
    pub fn new(fault: Fault) -> Option<Self> {
        if !Path::new(DRIVER).exists() || disk().is_some() {
            return None;
        }
        set("add_host", "1");
        // It is found by the kernel in its own time, which nothing tells.
        for _ in 0..1_000 {
            if let Some(device) = disk().filter(|device| device.path().exists()) {
                wait_until_probed(&device);
                let (options, every_nth) = fault.options();
                set("opts", options);
                set("every_nth", every_nth);
                return Some(Self(device));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the disk of scsi_debug does not turn up");
    }

    /// The disk.
    pub fn device(&self) -> &Device {
        &self.0
    }
}

impl Drop for ScsiDebug {
    fn drop(&mut self) {
        set("every_nth", "0");
        set("opts", "0");
        set("add_host", "-1");
    }
}

/// The kernel looks for partitions after the disk has turned up, and nothing tells when it has.
fn wait_until_probed(device: &Device) {
    let mut before = device.stat();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(100));
        let now = device.stat();
        if now.reads > 0 && now == before {
            return;
        }
        before = now;
    }
}

fn set(file: &str, value: &str) {
    let path = Path::new(DRIVER).join(file);
    if let Err(error) = fs::write(&path, value) {
        eprintln!("{} {value}: {error}", path.display());
    }
}

/// The one whose model is the driver's.
fn disk() -> Option<Device> {
    let entries = fs::read_dir("/sys/block").ok()?.filter_map(Result::ok);
    let is_ours = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("device/model"))
            .is_ok_and(|model| model.trim() == "scsi_debug")
    };
    entries
        .filter(is_ours)
        .find_map(|entry| Some(Device::named(entry.file_name().to_str()?)))
}
