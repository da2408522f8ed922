//! `crosstalk report`: observes for a while, then tells.

mod args;
mod findings;
#[cfg(test)]
mod fixture;
pub(super) mod interval;
mod json;
mod past;
mod processes;
mod progress;
mod sentences;
mod text;

pub(super) use args::Args;

use std::ffi::OsStr;

use anyhow::Context as _;

use crate::{
    cli::{
        Exit, output,
        report::{
            args::FailOn,
            findings::{Extent, Findings, Host, Question},
            interval::{Course, Interval},
        },
    },
    entity::identify_with,
    model::Model,
    names::{self, PATIENCE, Resolver},
    observe::Observer,
    signal::Verdict,
};

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(since) = args.since
        && let Some(exit) = past::run(args, since)?
    {
        return Ok(exit);
    }
    let names = Resolver::of_this_host(args.kubelet.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    match runtime.block_on(interval::observe(args.duration, &mut |_| {}))? {
        Course::Interrupted(exit) => Ok(exit),
        Course::Observed(observed) => tell(args, *observed, names.as_ref()),
    }
}

fn tell(
    args: &Args,
    (observer, interval): (Observer, Interval),
    names: Option<&Resolver>,
) -> anyhow::Result<Exit> {
    let question = Question {
        by: args.by,
        filter: args.cgroup.clone(),
        top: args.top,
        duration: args.duration,
    };
    let names = names
        .map(|names| names.latest(PATIENCE))
        .unwrap_or_default();
    let mut capabilities = observer.capabilities().to_vec();
    capabilities.push(names::capability(&names));
    let host = Host {
        facts: observer.facts().clone(),
        hierarchy: observer.hierarchy().mode,
        capabilities,
    };
    let identify = |path: &OsStr| identify_with(&names.facts, path);
    let model = Model::new(&interval.before, &interval.after, &identify);
    let extent = Extent::Observed {
        complete: interval.complete,
    };
    let mut findings = Findings::new(question, host, model, extent);
    processes::name(&mut findings, &observer, interval.processes.as_ref());
    // Nothing stays attached while a slow reader takes its time.
    drop(observer);
    print(args, &findings)
}

fn print(args: &Args, findings: &Findings) -> anyhow::Result<Exit> {
    if args.json {
        output::write_json(&json::document(findings))?;
    } else {
        output::write(&text::render(findings, output::width())).context("cannot write")?;
    }
    let hurts = matches!(findings.signals.verdict, Verdict::Hurts { .. });
    Ok(match args.fail_on {
        Some(FailOn::Hurt) if hurts => Exit::ConditionMet,
        _ => Exit::Ran,
    })
}
