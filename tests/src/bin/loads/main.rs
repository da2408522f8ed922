//! Small loads of known shape: `loads CGROUP CPUS POLICY SHAPE` (see `tests::load` for who writes this line).
//!
//! It puts itself into the cgroup, says `parked` when all its threads sleep at the gate, starts at `go`, ends early at
//! `stop`, says `done` when all of them sleep again, and exits when its standard input closes.

mod churn;
mod course;
mod crew;
mod jobs;
mod pty;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

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
    enter(cgroup)?;
    let cpus: Vec<usize> = cpus.split(',').filter_map(|cpu| cpu.parse().ok()).collect();
    let shape: Shape = shape.parse()?;
    if shape.mode == Mode::Churn {
        lone(&shape)
    } else {
        with_crew(&shape, &cpus, policy)
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

/// A load without a second thread, so that it can fork.
fn lone(shape: &Shape) -> Result<(), String> {
    say("parked");
    if !hear() {
        return Ok(());
    }
    let used = churn::run(shape).map_err(|error| format!("churn: {error}"))?;
    say(&format!("done {}", used.as_nanos()));
    hear();
    Ok(())
}

fn with_crew(shape: &Shape, cpus: &[usize], policy: &str) -> Result<(), String> {
    let mut crew = Crew::park(jobs::of(shape, cpus)?, policy, shape.limit)?;
    say("parked");
    if hear() {
        crew.start();
        if shape.limit == Limit::Stop && jobs::endless(shape.mode) {
            // The end of standard input means the same, and that nobody will ask for more.
            hear();
            crew.stop();
        }
        crew.wait_done();
        say("done");
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
