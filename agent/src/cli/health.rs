//! `crosstalk health`: whether an agent runs and observes, for probes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};

use crate::{
    cli::{Exit, output, socket},
    history::{Window, ask},
};

/// A healthy agent took a reading this long ago at most.
const RECENT: Duration = Duration::from_secs(15);

/// Tell whether the agent on this host observes: exits with 0 when it took a reading in the last 15
/// seconds, and with 1 when not. Whether receivers answer does not matter.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the agent listens [default: /run/crosstalk/agent.sock]
    #[arg(long, value_name = "PATH")]
    history_socket: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let path = socket::path(args.history_socket.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for an answer")?;
    let window = Window {
        since: RECENT,
        until: Duration::ZERO,
    };
    let past = runtime
        .block_on(ask(&path, window))
        .with_context(|| format!("the agent at {} is not healthy", path.display()))?;
    if past.model.is_none() {
        let seconds = RECENT.as_secs();
        bail!("the agent took no reading in the last {seconds} s: it has just started, or hangs");
    }
    output::write("healthy: the agent observes this host\n").context("cannot write")?;
    Ok(Exit::Ran)
}
