//! `crosstalk agent --once`: one interval, printed.

use std::{collections::BTreeMap, ffi::OsStr, fmt::Write as _, path::Path};

use anyhow::Context as _;

use crate::{
    cli::{
        Exit,
        agent::{args::To, host, ledger},
        output,
        report::interval::{Course, observe},
    },
    config::Settings,
    entity::identify_with,
    host::facts,
    model::Model,
    names::{PATIENCE, Resolver},
    observe::Observer,
    otlp::{
        encode,
        ledger::Ledger,
        own::Telemetry,
        registry::{METRICS, Tier},
    },
};

pub(super) async fn run(to: &To, settings: &Settings) -> anyhow::Result<Exit> {
    let names = Resolver::of_this_host(settings.kubelet.clone());
    // Known before the interval, at which the agent's own series are to begin.
    let facts = facts::read(Path::new("/proc"), Path::new("/sys"));
    let host = host(
        &facts.context("cannot tell what this host is")?.name,
        settings,
    );
    let mut own = Telemetry::new(host.clone(), settings.form);
    let mut pressures = Vec::new();
    let mut read = |observer: &Observer| {
        if settings.limits.tell(Tier::Extra) {
            pressures.push(observer.pressures());
        }
    };
    let course = observe(settings.interval, &mut read).await?;
    let (observer, interval) = match course {
        Course::Interrupted(exit) => return Ok(exit),
        Course::Observed(observed) => *observed,
    };
    let names = names.map(|names| names.latest(PATIENCE));
    let names = names.unwrap_or_default();
    let identify = |path: &OsStr| identify_with(&names.facts, path);
    let model = Model::of_entities(&interval.before, &interval.after, &identify);
    let model = match &pressures[..] {
        [before, after] => model.with_pressure(before, after),
        _ => model,
    };
    let mut ledger = ledger(host, settings);
    // Nothing stays attached while a slow reader takes its time.
    drop(observer);
    if let Some(added) = ledger.add(&model, &names) {
        own.add(&model, &names, &added);
    }
    if to.stdout {
        let parts = own.part().into_iter().chain(encode::parts(&ledger));
        output::write_json(&encode::request(parts.map(|part| part.metrics)))?;
    } else {
        output::write(&cardinality(&ledger, &own)).context("cannot write")?;
    }
    Ok(Exit::Ran)
}

/// How many series each metric has.
fn cardinality(ledger: &Ledger, own: &Telemetry) -> String {
    let mut series: BTreeMap<usize, usize> = BTreeMap::new();
    let of_entities = ledger.entities().flat_map(|(_, entity)| entity.series());
    for metric in of_entities.map(|(metric, ..)| metric).chain(own.series()) {
        *series.entry(metric).or_default() += 1;
    }
    let mut text = String::new();
    let mut line = |number: usize, name: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{number:>8}  {name}");
    };
    for (metric, number) in &series {
        line(*number, METRICS[*metric].name);
    }
    line(series.values().sum(), "all");
    text
}
