//! How much of all waits has no cause, or no culprit. Read once a second, as the agent does: where
//! the programs step down, it shows here.

use std::{thread, time::Duration};

use agent_ebpf::cause::Cause;
use anyhow::Result;
use crosstalk::{
    observe::Observer,
    sample::{Account, Party, Sample},
};

use crate::{
    cgroups::Sleepers,
    figure::{Plan, Target, Teller},
    storm::Storm,
    tables,
};

/// Measures all loads.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let cpus = thread::available_parallelism()?.get();
    let ordinary = Sleepers::start(100, 10, Duration::from_millis(200))?;
    tell(
        "ordinary: 100 cgroups x 10 threads that sleep and wake",
        plan,
        Target::at_most(1.0),
    )?;
    drop(ordinary);
    let hot = Storm::hot(cpus)?;
    let hot_name = "storm: stress-ng --switch, a pair per CPU";
    tell(hot_name, plan, Target::NONE)?;
    drop(hot);
    let storm = Storm::of_two_on_one_cpu()?;
    tell("storm: two cgroups on one CPU", plan, Target::NONE)?;
    drop(storm);
    let moderate = Storm::moderate()?;
    let name = "two cgroups on one CPU, some 300,000 switches/s";
    tell(name, plan, Target::at_most(5.0))?;
    drop(moderate);
    Ok(())
}

fn tell(load: &str, plan: &Plan, most_unknown: Target) -> Result<()> {
    eprintln!("truth: {load}");
    let mut observer = Observer::start()?;
    thread::sleep(Duration::from_secs(1));
    let mut before = observer.sample()?;
    let (mut unknown, mut unnamed, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut stepped_down = Vec::new();
    for _ in 0..plan.rounds.max(5) * 2 {
        thread::sleep(Duration::from_secs(1));
        let after = observer.sample()?;
        let waits = Waits::between(&before, &after);
        unknown.push(100.0 * waits.unknown / waits.all);
        unnamed.push(100.0 * waits.unnamed / waits.all);
        let seconds = after
            .monotonic
            .saturating_sub(before.monotonic)
            .as_secs_f64();
        rates.push((after.health.seen - before.health.seen) as f64 / seconds);
        let is_full = after.health.detail == agent_ebpf::budget::Detail::Full;
        stepped_down.push(if is_full { 0.0 } else { 100.0 });
        before = after;
    }
    let teller = Teller {
        table: tables::TRUTH,
        load,
    };
    let mean = [stepped_down.iter().sum::<f64>() / stepped_down.len() as f64];
    teller.tell("switches a second, all CPUs", "/s", &rates, Target::NONE);
    teller.tell(
        "cause unknown, of all waits",
        tables::PER_CENT,
        &unknown,
        most_unknown,
    );
    let target = Target::at_most(5.0);
    teller.tell(
        "culprit unnamed, of all waits",
        tables::PER_CENT,
        &unnamed,
        target,
    );
    teller.tell(
        "readings stepped down",
        tables::PER_CENT,
        &mean,
        Target::NONE,
    );
    Ok(())
}

/// What was waited in an interval, nanoseconds.
struct Waits {
    all: f64,
    unknown: f64,
    /// For neighbors or the kernel, without the culprit's name.
    unnamed: f64,
}

impl Waits {
    fn between(before: &Sample, after: &Sample) -> Waits {
        let grown = |wait: &dyn Fn(&Account) -> u64| {
            let sum = |sample: &Sample| sample.accounts.values().map(wait).sum::<u64>();
            sum(after).saturating_sub(sum(before)) as f64
        };
        let named = |sample: &Sample| {
            let named = sample.blame.iter();
            let named = named.filter(|((_, culprit), _)| *culprit != Party::Other);
            named.map(|(_, ns)| ns).sum::<u64>()
        };
        let named = named(after).saturating_sub(named(before)) as f64;
        let others = grown(&|account| account.wait(Cause::Neighbor) + account.wait(Cause::Kernel));
        Waits {
            all: grown(&|account| account.wait_ns.iter().sum()),
            unknown: grown(&|account| account.wait(Cause::Unattributed)),
            unnamed: (others - named).max(0.0),
        }
    }
}
