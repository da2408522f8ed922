//! Nanoseconds that the kernel programs take, by the kernel's own statistics.
//!
//! On one load that goes on, windows alternate: an empty program beside ours, and the same beside
//! `runqlat`. The statistics take time themselves, which each program bears alike: what counts is
//! the difference to the empty one.

use std::{
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::sys::{Stats, enable_stats};
use clap::ValueEnum;
use crosstalk::observe::Observer;

use crate::{
    cgroups::Sleepers,
    figure::{Plan, Target, Teller},
    programs::{Count, Empty, Peer, RUNQLAT, all_counts, names},
    storm::Storm,
    tables,
};

const SWITCH: &str = "sched_switch";
const MIGRATE: &str = "sched_migrate_t";
const WAKEUP: &str = "sched_wakeup";
/// Switches a second of the promise.
const COLD_RATE: f64 = 10_000.0;
/// Threads in each cgroup of the cold load, and how often they wake: each time is two switches,
/// where the CPU is idle in between.
const COLD_THREADS: u32 = 20;
const COLD_PERIOD: Duration = Duration::from_secs(4);

/// From attaching to measuring.
const SETTLE: Duration = Duration::from_millis(500);

/// Measures all loads.
pub(crate) fn measure(plan: &Plan, load: Option<Load>) -> Result<()> {
    let _stats = enable_stats(Stats::RunTime).context("cannot enable bpf_stats")?;
    let loads = load.map_or(vec![Load::Hot, Load::Storm, Load::Cold], |load| vec![load]);
    loads
        .into_iter()
        .try_for_each(|load| measure_on(plan, load))
}

/// What goes on while the programs are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// All of it in the caches.
    Hot,
    /// Two cgroups switch to and fro.
    Storm,
    /// Nothing of it in the caches.
    Cold,
}

fn measure_on(plan: &Plan, load: Load) -> Result<()> {
    match load {
        Load::Hot => {
            let cpus = thread::available_parallelism()?.get();
            let _load = Storm::hot(cpus)?;
            let name = "hot: stress-ng --switch, a pair per CPU";
            tell(load, name, &rounds(plan, SETTLE)?);
        }
        Load::Storm => {
            let _load = Storm::of_two_on_one_cpu()?;
            let name = "storm: two cgroups on one CPU";
            tell(load, name, &rounds(plan, SETTLE)?);
        }
        Load::Cold => {
            let cgroups = plan.cold_cgroups;
            let _load = Sleepers::start(cgroups, COLD_THREADS, COLD_PERIOD)?;
            let name = format!("cold: {cgroups} cgroups x {COLD_THREADS} threads");
            // Until each thread has come once.
            tell(load, &name, &rounds(plan, COLD_PERIOD + SETTLE)?);
        }
    }
    Ok(())
}

/// One window: what each program did.
struct Window {
    empty: Count,
    switch: Count,
    /// Ours moves waits, the peer notes wake-ups.
    other: Count,
    length: Duration,
}

impl Window {
    fn over_empty(&self) -> f64 {
        self.switch.ns_per_run() - self.empty.ns_per_run()
    }

    /// All programs, for each switch, over as many runs of an empty program.
    fn whole(&self) -> f64 {
        let runs = (self.switch.runs + self.other.runs) as f64;
        let ns = (self.switch.ns + self.other.ns) as f64;
        (ns - runs * self.empty.ns_per_run()) / self.switch.runs as f64
    }

    fn rate(&self) -> f64 {
        self.switch.runs as f64 / self.length.as_secs_f64()
    }
}

struct Round {
    ours: Window,
    peer: Window,
}

fn rounds(plan: &Plan, settle: Duration) -> Result<Vec<Round>> {
    let round = |number: usize| {
        eprintln!("kernel programs: round {} of {}", number + 1, plan.rounds);
        Ok(Round {
            ours: ours(number, settle, plan.window)?,
            peer: peer(number, settle, plan.window)?,
        })
    };
    (0..plan.rounds).map(round).collect()
}

fn ours(number: usize, settle: Duration, window: Duration) -> Result<Window> {
    let own = process::id();
    let first = number
        .is_multiple_of(2)
        .then(Empty::at_switches)
        .transpose()?;
    let mut observer = Observer::start()?;
    let last = (first.is_none()).then(Empty::at_switches).transpose()?;
    let found = watch(&[own], [settle, window], || {
        observer.sample()?;
        Ok(())
    })?;
    drop((first, last, observer));
    Ok(found)
}

fn peer(number: usize, settle: Duration, window: Duration) -> Result<Window> {
    let own = process::id();
    let first = number
        .is_multiple_of(2)
        .then(Empty::at_switches)
        .transpose()?;
    let runqlat = Peer::start(&RUNQLAT)?;
    let last = (first.is_none()).then(Empty::at_switches).transpose()?;
    let found = watch(&[own, runqlat.id()], [settle, window], || Ok(()))?;
    drop((first, last, runqlat));
    Ok(found)
}

/// `read` is done once a second, as whoever reads the maps does.
fn watch(
    processes: &[u32],
    [settle, window]: [Duration; 2],
    mut read: impl FnMut() -> Result<()>,
) -> Result<Window> {
    // What turns up first, new slots and baselines, is not what lasts.
    pass(settle, &mut read)?;
    let (before, start) = (all_counts(processes)?, Instant::now());
    pass(window, &mut read)?;
    let (after, length) = (all_counts(processes)?, start.elapsed());
    let names = names();
    let grown = |wanted: &dyn Fn(&str) -> bool| {
        let mut sum = Count::default();
        for (id, count) in &after {
            if names.get(id).is_some_and(|name| wanted(name)) {
                let grown = count.since(before.get(id).copied().unwrap_or_default());
                sum.runs += grown.runs;
                sum.ns += grown.ns;
            }
        }
        sum
    };
    Ok(Window {
        empty: grown(&|name| name == "empty"),
        switch: grown(&|name| name == SWITCH),
        other: grown(&|name| name == MIGRATE || name.starts_with(WAKEUP)),
        length,
    })
}

fn pass(time: Duration, read: &mut impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        read()?;
        thread::sleep(left.min(Duration::from_secs(1)));
    }
    Ok(())
}

fn tell(load: Load, name: &str, rounds: &[Round]) {
    let teller = Teller {
        table: tables::KERNEL,
        load: name,
    };
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<f64>>();
    let none = Target::NONE;
    let hot = Target {
        at_most: Some(70.0),
        aim: Some(45.0),
    };
    let rate = of(&|round| round.ours.rate());
    teller.tell("switches a second", "/s", &rate, none);
    let empty = of(&|round| round.ours.empty.ns_per_run());
    teller.tell("empty program, per switch", tables::NS, &empty, none);
    let over_empty = of(&|round| round.ours.over_empty());
    let target = if load == Load::Cold { none } else { hot };
    let what = "ours over empty, per switch";
    teller.tell(what, tables::NS, &over_empty, target);
    let moved = of(&|round| round.ours.other.ns_per_run());
    teller.tell(
        "ours, per task moved to another CPU",
        tables::NS,
        &moved,
        none,
    );
    let peer = of(&|round| round.peer.over_empty());
    teller.tell("runqlat over empty, per switch", tables::NS, &peer, none);
    let wakeup = of(&|round| round.peer.other.ns_per_run() - round.peer.empty.ns_per_run());
    teller.tell("runqlat over empty, per wake-up", tables::NS, &wakeup, none);
    let ratio = of(&|round| round.ours.whole() / round.peer.whole());
    let what = "all of ours to all of runqlat, over empty";
    // Promised hot: cold it would be a fraction of what is promised cold.
    let target = if load == Load::Hot {
        Target::at_most(0.2)
    } else {
        none
    };
    teller.tell(what, "", &ratio, target);
    if load == Load::Cold {
        let share = of(&|round| 100.0 * COLD_RATE * round.ours.whole() / 1e9);
        let what = "ours over empty, of a CPU at 10,000 switches/s";
        teller.tell(what, tables::PER_CENT, &share, Target::at_most(0.5));
    }
}
