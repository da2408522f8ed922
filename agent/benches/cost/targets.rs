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

/// A file on the local disk, or a loop device over a file in memory.
pub(crate) struct Target {
    /// As it is told.
    pub(crate) name: &'static str,
    path: PathBuf,
    file: PathBuf,
    is_loop: bool,
}

impl Target {
    /// A file behind the file system of the machine's disk.
    pub(crate) fn on_disk() -> Result<Target> {
        let file = file_in("/var/tmp");
        let target = Target {
            name: "direct 4 KiB reads of the local disk, depth 16",
            path: file.clone(),
            file,
            is_loop: false,
        };
        // Blocks that were never written are not read either.
        let bytes = vec![0x5a; BYTES as usize];
        fs::write(&target.file, bytes).context("cannot write to the local disk")?;
        output_of(&mut Command::new("sync"))?;
        Ok(target)
    }

    /// As fast as requests can be.
    pub(crate) fn in_memory() -> Result<Target> {
        let file = file_in("/dev/shm");
        let mut target = Target {
            name: "direct 4 KiB reads of a loop device over memory, depth 16",
            path: file.clone(),
            file,
            is_loop: false,
        };
        fs::write(&target.file, vec![0x5a; BYTES as usize])?;
        let mut command = Command::new("losetup");
        command.args(["--find", "--show"]).arg(&target.file);
        target.path = output_of(&mut command)?.trim().into();
        target.is_loop = true;
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
        if self.is_loop {
            let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
        }
        let _ = fs::remove_file(&self.file);
    }
}

fn file_in(folder: &str) -> PathBuf {
    Path::new(folder).join(format!("crosstalk-bench-{}", process::id()))
}
