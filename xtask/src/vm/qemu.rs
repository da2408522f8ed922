//! One boot under qemu's own emulation, which needs no rights and runs every kernel on every machine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::image::Image;
use super::init::MARK;
use crate::process;
use crate::setup;

/// What a guest tells.
pub(crate) enum Heard<'a> {
    /// It has booted.
    Ready,
    /// A line of a program's output.
    Line(&'a str),
    /// A step ended.
    End {
        /// Which.
        step: &'a str,
        /// Its exit status.
        status: &'a str,
    },
}

/// A machine of 62.5 million instructions a second: slow enough for the seconds of a test to pass quickly.
const LOG2_NS_PER_INSTRUCTION: u32 = 4;

/// An oops is a failed test run, not something to limp on from. Safety against attacks doubles the work of emulation.
const KERNEL_ARGS: &str = "console=ttyS0 loglevel=5 panic=-1 oops=panic softlockup_panic=1 mitigations=off init_on_alloc=0";

/// Status with which `timeout` tells that it ended the program.
const TIMED_OUT: i32 = 124;

/// Boots a kernel, shows and logs its console, and passes on what is said there. That the guest did
/// not come to its end is an error.
pub(crate) fn boot(
    name: &str,
    image: &Image,
    initramfs: &Path,
    log: &Path,
    path: &OsStr,
    limit: Duration,
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<()> {
    let mut out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut is_done = false;
    let status = process::stream(command(image, initramfs, limit).env("PATH", path), |line| {
        writeln!(out, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
        let Some(heard) = understood(line, &mut is_done) else {
            return Ok(());
        };
        if let Heard::Line(line) = heard
            && !line.is_empty()
        {
            println!("{name:>5} | {line}");
        }
        hear(heard);
        Ok(())
    })?;
    let why = match status.code() {
        _ if is_done => return Ok(()),
        Some(TIMED_OUT) => format!("stopped after {} s", limit.as_secs()),
        _ => format!("the kernel stopped before all was done ({status})"),
    };
    bail!("{why}: see {}", log.display())
}

/// What a line says; `None` for what is only a mark.
fn understood<'a>(line: &'a str, is_done: &mut bool) -> Option<Heard<'a>> {
    let Some(message) = line.strip_prefix(MARK) else {
        return Some(Heard::Line(line));
    };
    let words: Vec<&str> = message.split_whitespace().collect();
    match words[..] {
        ["ready", ..] => Some(Heard::Ready),
        ["end", step, status] => Some(Heard::End { step, status }),
        ["done"] => {
            *is_done = true;
            None
        }
        _ => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_output_are_told_apart() {
        let mut is_done = false;
        let mut hear = |line| understood(line, &mut is_done);
        assert!(matches!(hear("@@xtask ready 6.12 4.5"), Some(Heard::Ready)));
        assert!(hear("@@xtask begin kernel_a").is_none());
        assert!(matches!(
            hear("running 1 test"),
            Some(Heard::Line("running 1 test"))
        ));
        let end = hear("@@xtask end kernel_a 139");
        assert!(matches!(
            end,
            Some(Heard::End {
                step: "kernel_a",
                status: "139"
            })
        ));
        assert!(hear("@@xtask done").is_none());
        assert!(is_done);
    }
}
