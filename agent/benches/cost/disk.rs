//! The kernel program on block I/O: nanoseconds by the kernel's own statistics, beside an empty program and one that only
//! reads the clock; and how many requests a second are lost to it.

use std::{
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use crosstalk::observe::Observer;

use crate::{
    figure::{self, Plan, Teller},
    programs::{BIOLATENCY, Count, Empty, Peer, all_counts, names},
    slowdown::{Attach, NOTHING, Ours, alternate},
    tables,
    targets::Target,
};

/// As the kernel cuts it.
const COMPLETE: &str = "block_rq_comple";
/// Every program on requests.
const BLOCK: &str = "block_rq_";

/// From attaching to measuring.
const SETTLE: Duration = Duration::from_millis(500);

type Make = fn() -> Result<Target>;
const TARGETS: [Make; 2] = [Target::on_disk, Target::in_memory];

/// Measures the programs.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let _stats = enable_stats(Stats::RunTime).context("cannot enable bpf_stats")?;
    for make in TARGETS {
        let target = make()?;
        let _load = target.load()?;
        let rounds: Result<Vec<Round>> = (0..plan.rounds)
            .map(|number| {
                eprintln!("{}: round {} of {}", target.name, number + 1, plan.rounds);
                Ok(Round {
                    ours: ours(number, plan.window)?,
                    peer: peer(number, plan.window)?,
                })
            })
            .collect();
        tell(target.name, &rounds?);
    }
    Ok(())
}

/// Measures how many requests a second there are with nothing attached, with the least that can be attached, with ours
/// and with the peer.
pub(crate) fn compare(plan: &Plan) -> Result<()> {
    TARGETS
        .iter()
        .try_for_each(|make| compare_on(&make()?, plan))
}

/// The same on a device that does nothing: on a kernel that has it.
pub(crate) fn compare_null(plan: &Plan) -> Result<()> {
    compare_on(&Target::null()?, plan)
}

fn compare_on(target: &Target, plan: &Plan) -> Result<()> {
    let attached: [(&str, Attach<'_>); 3] = [
        (
            "fewer requests with a program that reads the clock",
            &Empty::clock_alone,
        ),
        ("fewer requests with ours", &Ours::boxed),
        ("fewer requests with biolatency", &|| {
            Peer::boxed(&BIOLATENCY)
        }),
    ];
    let mut all: Vec<Attach<'_>> = vec![NOTHING];
    all.extend(attached.iter().map(|(_, attach)| attach));
    let mut iops: Vec<Vec<f64>> = Vec::new();
    for number in 0..plan.alternations {
        eprintln!(
            "{}: alternation {} of {}",
            target.name,
            number + 1,
            plan.alternations
        );
        iops.push(alternate(number, &all, &|| target.iops(plan.window))?);
    }
    let teller = Teller {
        table: tables::SLOWDOWN,
        load: target.name,
    };
    let none = figure::Target::NONE;
    let alone: Vec<f64> = iops.iter().map(|iops| iops[0]).collect();
    teller.tell("nothing attached, requests", "/s", &alone, none);
    for (who, (what, _)) in attached.iter().enumerate() {
        let fewer = |iops: &Vec<f64>| 100.0 * (1.0 - iops[who + 1] / iops[0]);
        let fewer: Vec<f64> = iops.iter().map(fewer).collect();
        teller.tell(what, tables::PER_CENT, &fewer, none);
    }
    Ok(())
}

/// One window: what each program did.
struct Window {
    empty: Count,
    clock: Count,
    complete: Count,
    /// All programs of the peer, or ours.
    all: Count,
    length: Duration,
}

impl Window {
    fn over_empty(&self) -> f64 {
        self.complete.ns_per_run() - self.empty.ns_per_run()
    }

    /// All programs, for each request, over as many runs of an empty program.
    fn whole(&self) -> f64 {
        let empty = self.all.runs as f64 * self.empty.ns_per_run();
        (self.all.ns as f64 - empty) / self.complete.runs as f64
    }
}

struct Round {
    ours: Window,
    peer: Window,
}

fn ours(number: usize, window: Duration) -> Result<Window> {
    let first = number.is_multiple_of(2).then(Empty::at_requests);
    let first = first.transpose()?;
    let observer = Observer::start()?;
    let last = first.is_none().then(Empty::at_requests).transpose()?;
    let found = watch(&[process::id()], window)?;
    drop((first, last, observer));
    Ok(found)
}

fn peer(number: usize, window: Duration) -> Result<Window> {
    let first = number.is_multiple_of(2).then(Empty::at_requests);
    let first = first.transpose()?;
    let peer = Peer::start(&BIOLATENCY)?;
    let last = first.is_none().then(Empty::at_requests).transpose()?;
    let found = watch(&[process::id(), peer.id()], window)?;
    drop((first, last, peer));
    Ok(found)
}

fn watch(processes: &[u32], window: Duration) -> Result<Window> {
    thread::sleep(SETTLE);
    let (before, start) = (all_counts(processes)?, Instant::now());
    thread::sleep(window);
    let (after, length) = (all_counts(processes)?, start.elapsed());
    let names = names();
    let grown = |wanted: &dyn Fn(&str) -> bool| {
        let mut sum = Count::default();
        for (id, count) in &after {
            if names.get(id).is_some_and(|name| wanted(name)) {
                sum.add(count.since(before.get(id).copied().unwrap_or_default()));
            }
        }
        sum
    };
    Ok(Window {
        empty: grown(&|name| name == "block_empty"),
        clock: grown(&|name| name == "block_clock"),
        complete: grown(&|name| name == COMPLETE),
        all: grown(&|name| name.starts_with(BLOCK)),
        length,
    })
}

fn tell(load: &str, rounds: &[Round]) {
    let teller = Teller {
        table: tables::KERNEL,
        load,
    };
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<f64>>();
    let none = figure::Target::NONE;
    let rate = of(&|round| round.ours.complete.runs as f64 / round.ours.length.as_secs_f64());
    teller.tell("requests a second", "/s", &rate, none);
    let empty = of(&|round| round.ours.empty.ns_per_run());
    teller.tell("empty program, per request", tables::NS, &empty, none);
    let clock = of(&|round| round.ours.clock.ns_per_run() - round.ours.empty.ns_per_run());
    let what = "clock alone over empty, per request";
    teller.tell(what, tables::NS, &clock, none);
    let over_clock = of(&|round| round.ours.complete.ns_per_run() - round.ours.clock.ns_per_run());
    let what = "ours over clock alone, per request";
    let target = figure::Target::at_most(60.0);
    teller.tell(what, tables::NS, &over_clock, target);
    let over_empty = of(&|round| round.ours.over_empty());
    teller.tell(
        "ours over empty, per request",
        tables::NS,
        &over_empty,
        none,
    );
    let peer = of(&|round| round.peer.whole());
    let what = "all of biolatency over empty, per request";
    teller.tell(what, tables::NS, &peer, none);
    let ratio = of(&|round| round.ours.whole() / round.peer.whole());
    let what = "all of ours to all of biolatency, over empty";
    teller.tell(what, "", &ratio, none);
}
