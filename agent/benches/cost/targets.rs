//! What is read from, and who reads. Removed on drop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::child::{Running, output_of};

/// Requests at a time.
const DEPTH: &str = "16";
const BYTES: u64 = 256 << 20;

/// Where null_blk devices are made.
const NULL_DEVICES: &str = "/sys/kernel/config/nullb";

/// A file on the local disk, a loop device over a file in memory, or a null_blk device.
pub(crate) struct Target {
    /// As it is told.
    pub(crate) name: &'static str,
    /// What is read.
    path: PathBuf,
    /// What was made for it.
    made: Made,
}

enum Made {
    File,
    Loop { file: PathBuf },
    Null { folder: PathBuf },
}

impl Target {
    /// A file behind the file system of the machine's disk.
    pub(crate) fn on_disk() -> Result<Target> {
        let target = Target {
            name: "direct 4 KiB reads of the local disk, depth 16",
            path: file_in("/var/tmp"),
            made: Made::File,
        };
        // Blocks that were never written are not read either.
        let bytes = vec![0x5a; BYTES as usize];
        fs::write(&target.path, bytes).context("cannot write to the local disk")?;
        output_of(&mut Command::new("sync"))?;
        Ok(target)
    }

    /// As fast as requests can be.
    pub(crate) fn in_memory() -> Result<Target> {
        let file = file_in("/dev/shm");
        fs::write(&file, vec![0x5a; BYTES as usize])?;
        let mut command = Command::new("losetup");
        let device = output_of(command.args(["--find", "--show"]).arg(&file));
        let made = Made::Loop { file };
        let name = "direct 4 KiB reads of a loop device over memory, depth 16";
        let path = device
            .as_ref()
            .map_or_else(|_| PathBuf::new(), |name| name.trim().into());
        let target = Target { name, path, made };
        device.map(|_| target)
    }

    /// A device that completes each request at once, in a softirq.
    pub(crate) fn null() -> Result<Target> {
        let name = format!("crosstalk-bench-{}", process::id());
        let folder = Path::new(NULL_DEVICES).join(&name);
        fs::create_dir(&folder).context("cannot make a null_blk device")?;
        let mut target = Target {
            name: "direct 4 KiB reads of null_blk in an emulated machine, depth 16",
            path: PathBuf::new(),
            made: Made::Null {
                folder: folder.clone(),
            },
        };
        let megabytes = (BYTES >> 20).to_string();
        for (setting, value) in [
            ("size", megabytes.as_str()),
            ("blocksize", "4096"),
            ("irqmode", "1"),
            ("power", "1"),
        ] {
            fs::write(folder.join(setting), value)
                .with_context(|| format!("null_blk takes no {setting} {value}"))?;
        }
        // Older kernels count them, newer ones use the folder's name.
        let number = fs::read_to_string(folder.join("index"))?;
        let paths = [
            format!("/dev/nullb{}", number.trim()),
            format!("/dev/{name}"),
        ];
        let path = paths.iter().map(PathBuf::from).find(|path| path.exists());
        target.path = path.context("the null_blk device has no node in /dev")?;
        Ok(target)
    }

    /// Reads until the handle goes.
    pub(crate) fn load(&self) -> Result<Running> {
        let mut command = self.fio();
        command.arg("--runtime=1h");
        Running::start(&mut command)
    }

    /// Reads for so long; returns requests a second.
    pub(crate) fn iops(&self, time: Duration) -> Result<f64> {
        let mut command = self.fio();
        command.arg(format!("--runtime={}ms", time.as_millis()));
        let text = output_of(command.arg("--output-format=json"))?;
        let report: Value = serde_json::from_str(&text).context("fio printed no JSON")?;
        let iops = report["jobs"][0]["read"]["iops"].as_f64();
        iops.context("fio told no requests a second")
    }

    fn fio(&self) -> Command {
        let mut command = Command::new("fio");
        command.args(["--name=reads", "--rw=randread", "--bs=4k", "--direct=1"]);
        command.args(["--ioengine=libaio", "--iodepth", DEPTH, "--time_based"]);
        command.args(["--randrepeat=1", "--norandommap", "--gtod_reduce=1"]);
        command.arg(format!("--size={BYTES}"));
        command.arg(format!("--filename={}", self.path.display()));
        command
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = match &self.made {
            Made::File => fs::remove_file(&self.path),
            Made::Loop { file } => {
                let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
                fs::remove_file(file)
            }
            Made::Null { folder } => fs::remove_dir(folder),
        };
    }
}

fn file_in(folder: &str) -> PathBuf {
    Path::new(folder).join(format!("crosstalk-bench-{}", process::id()))
}
