//! Small loads of known shape: `loads CGROUP CPUS POLICY SHAPE` (see `tests::load` for who writes this line).
//!
//! It puts itself into the cgroup (or several of different hierarchies, see [`CGROUP_SEPARATOR`]), says `parked` when all its threads sleep at the gate, starts at `go`, ends early at
//! `stop`, says `done` when all of them sleep again, and exits when its standard input closes.

mod churn;
mod course;
mod crew;
mod disk;
mod jobs;
mod pty;
mod tour;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use tests::load::CGROUP_SEPARATOR;
use tests::shape::{Limit, Mode, Shape};

use crate::crew::Crew;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [cgroup, cpus, policy, shape] = &args[..] else {
        return Err("usage: loads CGROUP CPUS POLICY SHAPE".to_owned());
    };
    for cgroup in cgroup.split(CGROUP_SEPARATOR) {
        enter(cgroup)?;
    }
    let cpus: Vec<usize> = cpus.split(',').filter_map(|cpu| cpu.parse().ok()).collect();
    let shape: Shape = shape.parse()?;
    match shape.mode {
        Mode::Churn => lone(|| churn::run(&shape).map(|used| used.as_nanos().to_string())),
        Mode::Tour => {
            // Home is in the same hierarchy.
            let home = cgroup.rsplit(CGROUP_SEPARATOR).next().unwrap_or(cgroup);
            lone(|| tour::run(&shape, home).map(|tally| tally.to_string()))
        }
        _ => with_crew(&shape, &cpus, policy),
    }
}

/// "-" stays where the parent is.
fn enter(cgroup: &str) -> Result<(), String> {
    if cgroup == "-" {
        return Ok(());
    }
    std::fs::write(format!("{cgroup}/cgroup.procs"), "0")
        .map_err(|error| format!("{cgroup}: {error}"))
}

/// A load without a second thread, so that it can fork, and move between cgroups as a whole.
fn lone(work: impl FnOnce() -> io::Result<String>) -> Result<(), String> {
    say("parked");
    if !hear() {
        return Ok(());
    }
    let said = work().map_err(|error| format!("a lone load: {error}"))?;
    say(&format!("done {said}"));
    hear();
    Ok(())
}

fn with_crew(shape: &Shape, cpus: &[usize], policy: &str) -> Result<(), String> {
    let mut crew = Crew::park(jobs::of(shape, cpus)?, policy, shape.limit)?;
    say("parked");
    if hear() {
        crew.start();
        if shape.limit == Limit::Stop && jobs::endless(shape) {
            // The end of standard input means the same, and that nobody will ask for more.
            hear();
            crew.stop();
        }
        match crew.wait_done() {
            Some(tally) => say(&format!("done {tally}")),
            None => say("done"),
        }
        hear();
    }
    crew.dismiss();
    Ok(())
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // The listener is gone: the next `hear` ends this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Waits for one line; false when standard input is closed.
fn hear() -> bool {
    io::stdin()
        .lock()
        .read_line(&mut String::new())
        .is_ok_and(|bytes| bytes > 0)
}
