//! `crosstalk agent`: observes on and on, and exports metrics.

mod args;
mod deliveries;
mod events;
mod exports;
mod once;
mod reload;
mod run;
mod supervision;
mod watch;

pub(super) use args::Args;

use std::io::Write as _;

use anyhow::Context as _;

use crate::{
    cli::{Exit, agent::reload::Sources, output},
    config::Settings,
    otlp::{culprit::Naming, ledger::Ledger, resource::Host, transport::Transport},
};

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let sources = Sources::new(args);
    let settings = sources.settings()?;
    if args.check {
        return check(&settings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    if args.once {
        runtime.block_on(once::run(&args.to, &settings))
    } else {
        runtime.block_on(run::run(settings, sources))
    }
}

/// Whether the agent could start with these settings.
fn check(settings: &Settings) -> anyhow::Result<Exit> {
    Transport::new(&settings.target)?;
    if let Some(events) = &settings.event_target {
        Transport::new(events)?;
    }
    let told = format!(
        "the configuration is right: every {} to {}\n",
        humantime::format_duration(settings.interval),
        settings.target.uri
    );
    output::write(&told).context("cannot write")?;
    Ok(Exit::Ran)
}

/// Nothing told yet of this host.
fn ledger(host: Host, settings: &Settings) -> Ledger {
    let ledger = Ledger::new(host, settings.limits).naming(culprit_names(settings));
    ledger.telling(settings.form)
}

/// How culprits are named. The secret is not exported, and the same until the host boots.
fn culprit_names(settings: &Settings) -> Naming {
    let secret = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Naming::new(settings.culprit_names, &secret)
}

/// What all Resources have in common.
fn host(name: &str, settings: &Settings) -> Host {
    let id = std::fs::read_to_string("/etc/machine-id").ok();
    let id = id.map(|id| id.trim().to_owned());
    Host {
        name: name.to_owned(),
        id: id.filter(|id| !id.is_empty()),
        given: settings.resource.clone(),
        service_name: settings.service_name.clone(),
    }
}

/// A line for whoever started the agent.
fn say(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
