//! How much slower other programs get, in turn: nothing attached, ours, a peer. `perf bench sched` beside `runqlat`, and
//! `fio` beside `biolatency`.

use std::{
    any::Any,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    child::{output_of, this_program},
    figure::{Plan, Target, Teller},
    programs::{Peer, RUNQLAT},
    tables,
};

/// A benchmark of perf, with its arguments.
const BENCHES: [(&str, &[&str]); 2] = [
    (
        "perf bench sched pipe, on one CPU",
        &["pipe", "-l", "200000"],
    ),
    (
        "perf bench sched messaging",
        &["messaging", "-g", "10", "-l", "100"],
    ),
];

/// For `taskset`: those that do not exist are left out.
const ALL_CPUS: &str = "0-1023";

/// Measures all benchmarks.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    for (name, args) in BENCHES {
        let (mut ours, mut peer, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..plan.alternations {
            eprintln!(
                "{name}: alternation {} of {}",
                number + 1,
                plan.alternations
            );
            let times = alternate(
                number,
                &[NOTHING, &Ours::boxed, &|| Peer::boxed(&RUNQLAT)],
                &|| run(args),
            )?;
            alone.push(times[0]);
            ours.push(100.0 * (times[1] / times[0] - 1.0));
            peer.push(100.0 * (times[2] / times[0] - 1.0));
        }
        let teller = Teller {
            table: tables::SLOWDOWN,
            load: name,
        };
        teller.tell("nothing attached", "s", &alone, Target::NONE);
        teller.tell("slower with ours", tables::PER_CENT, &ours, Target::NONE);
        teller.tell("slower with runqlat", tables::PER_CENT, &peer, Target::NONE);
    }
    Ok(())
}

/// Attaches something, until what it returns is dropped.
pub(crate) type Attach<'a> = &'a dyn Fn() -> Result<Box<dyn Any>>;

/// Nothing at all.
pub(crate) const NOTHING: Attach<'static> = &|| Ok(Box::new(()));

/// What was measured with each of them, in their order; who comes first changes.
pub(crate) fn alternate(
    number: usize,
    all: &[Attach<'_>],
    run: &dyn Fn() -> Result<f64>,
) -> Result<Vec<f64>> {
    let mut measured = vec![0.0; all.len()];
    for place in 0..all.len() {
        let who = (place + number) % all.len();
        let _attached = all[who]()?;
        measured[who] = run()?;
    }
    Ok(measured)
}

fn run(args: &[&str]) -> Result<f64> {
    let mut command = Command::new("taskset");
    // The two ends of a pipe take several times as long on two CPUs as on one, and where they are
    // put is chance: it would hide everything else.
    command.args(["-c", if args[0] == "pipe" { "0" } else { ALL_CPUS }]);
    command
        .args(["perf", "bench", "-f", "simple", "sched"])
        .args(args);
    let text = output_of(&mut command)?;
    let seconds = text.trim().parse();
    seconds.with_context(|| format!("perf bench printed {text:?}"))
}

/// The agent, which reads once a second. Ended by the end of its standard input.
pub(crate) struct Ours(Child);

impl Ours {
    pub(crate) fn boxed() -> Result<Box<dyn Any>> {
        Ok(Box::new(Ours::start()?))
    }

    fn start() -> Result<Ours> {
        let child = this_program()?
            .arg("watch")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ours = Ours(child);
        let output = ours.0.stdout.take().context("its output is piped")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        anyhow::ensure!(line == "ready\n", "the agent did not start");
        Ok(ours)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.stdin.take();
        let _ = self.0.wait();
    }
}
