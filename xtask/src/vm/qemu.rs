//! One boot under qemu's own emulation, which needs no rights and runs every kernel on every machine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::image::Image;
use super::init::MARK;
use crate::process;
use crate::results::{Reader, Tally};
use crate::setup;

/// What came out of one boot.
pub(crate) struct Run {
    /// Results of all test programs.
    pub(crate) tally: Tally,
    /// From power-on to the first test.
    pub(crate) boot: Duration,
}

/// A machine of 62.5 million instructions a second: slow enough for the seconds of a test to pass quickly.
const LOG2_NS_PER_INSTRUCTION: u32 = 4;

/// An oops is a failed test run, not something to limp on from. Safety against attacks doubles the work of emulation.
const KERNEL_ARGS: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic softlockup_panic=1 mitigations=off init_on_alloc=0";

/// Status with which `timeout` tells that it ended the program.
const TIMED_OUT: i32 = 124;

/// Boots a kernel, shows and logs its console, and reads the results out of it.
pub(crate) fn boot(
    name: &str,
    image: &Image,
    initramfs: &Path,
    log: &Path,
    path: &OsStr,
    limit: Duration,
) -> Result<Run> {
    let mut out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut console = Console {
        start: Instant::now(),
        boot: Duration::ZERO,
        done: false,
        reader: Reader::default(),
    };
    let status = process::stream(command(image, initramfs, limit).env("PATH", path), |line| {
        writeln!(out, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
        if !console.line(line) && !line.is_empty() {
            println!("{name:>5} | {line}");
        }
        Ok(())
    })?;
    if !console.done {
        let why = match status.code() {
            Some(TIMED_OUT) => format!("stopped after {} s", limit.as_secs()),
            _ => format!("the kernel stopped before the tests were done ({status})"),
        };
        console.reader.fail(format!("{why}: see {}", log.display()));
    }
    Ok(Run {
        tally: console.reader.finish(),
        boot: console.boot,
    })
}

fn command(image: &Image, initramfs: &Path, limit: Duration) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &limit.as_secs().to_string(), setup::QEMU]);
    // Time in the guest is counted in its instructions: how busy this machine is cannot disturb a test, idle time costs
    // nothing, and a run can be repeated as it was. Both of its CPUs share one thread.
    command.args(["-accel", "tcg,thread=single", "-icount"]);
    command.arg(format!("shift={LOG2_NS_PER_INSTRUCTION},sleep=off"));
    command.args(["-rtc", "base=2026-01-01,clock=vm", "-seed", "1"]);
    // The plainest CPU: string instructions that are fast in hardware are what takes longest to emulate.
    command.args(["-cpu", "qemu64,+rdrand", "-smp", "2", "-m", "1024"]);
    command.args(["-display", "none", "-vga", "none", "-monitor", "none"]);
    command.args(["-serial", "stdio", "-nic", "none", "-no-reboot"]);
    command
        .arg("-kernel")
        .arg(&image.vmlinuz)
        .arg("-initrd")
        .arg(initramfs);
    command.args(["-append", KERNEL_ARGS]);
    command
}

struct Console {
    start: Instant,
    boot: Duration,
    done: bool,
    reader: Reader,
}

impl Console {
    /// Reads one line; true when it was meant for us alone.
    fn line(&mut self, line: &str) -> bool {
        let Some(message) = line.strip_prefix(MARK) else {
            self.reader.line(line);
            return false;
        };
        let words: Vec<&str> = message.split_whitespace().collect();
        match words[..] {
            ["ready", ..] => self.boot = self.start.elapsed(),
            ["end", test, status] => self.end(test, status),
            ["done"] => self.done = true,
            _ => {}
        }
        true
    }

    fn end(&mut self, test: &str, status: &str) {
        // libtest ends with 101 when a test failed, which the reader has counted.
        let complete = self.reader.end();
        if !complete || !matches!(status, "0" | "101") {
            self.reader
                .fail(format!("{test} broke off with status {status}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(lines: &[&str]) -> Console {
        let mut console = Console {
            start: Instant::now(),
            boot: Duration::ZERO,
            done: false,
            reader: Reader::default(),
        };
        for line in lines {
            console.line(line);
        }
        console
    }

    #[test]
    fn a_complete_run_is_recognised() {
        let lines = [
            "@@xtask begin kernel_a",
            "running 1 test",
            "test result: ok. 1 passed; 0 failed;",
            "@@xtask end kernel_a 0",
            "@@xtask done",
        ];
        let console = console(&lines);
        assert!(console.done);
        assert_eq!(
            console.reader.finish(),
            Tally {
                passed: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let console = console(&["running 1 test", "@@xtask end kernel_a 139"]);
        let tally = console.reader.finish();
        assert_eq!(
            (tally.failed, tally.failures),
            (1, vec!["kernel_a broke off with status 139".into()])
        );
        assert!(!console.done);
    }
}
