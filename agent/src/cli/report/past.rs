//! `crosstalk report --since`: what a running agent remembers. Nothing is loaded.

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;

use crate::{
    cli::{
        Exit,
        exit::UsageError,
        report::{
            self,
            args::{Args, By},
            findings::{Extent, Findings, Host, Question},
        },
        socket,
    },
    history::{AskError, Past, Window, ask},
    observe::{Obstacle, StartError},
    wording::figures::span,
};

/// Tells of a window that began so long ago; `None` when there is no agent.
pub(super) fn run(args: &Args, since: Duration) -> anyhow::Result<Option<Exit>> {
    let window = window(args, since)?;
    let path = socket::path(args.history_socket.as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for an answer")?;
    match runtime.block_on(ask(&path, window)) {
        Ok(past) => report::print(args, &findings(args, &path, past, window)?).map(Some),
        Err(AskError::NoAgent) => {
            let duration = span(args.duration.as_secs_f64());
            let told = format!("no history: no agent was running; observing {duration} from now\n");
            // Without standard error there is nobody to tell.
            let _ = std::io::stderr().write_all(told.as_bytes());
            Ok(None)
        }
        Err(error @ AskError::Forbidden(_)) => Err(StartError {
            obstacle: Obstacle::Privilege,
            message: error.to_string(),
            remedy: Some("run as root, or join the group of the agent's `history.group`".into()),
            capabilities: Vec::new(),
        }
        .into()),
        Err(error) => Err(error.into()),
    }
}

fn window(args: &Args, since: Duration) -> Result<Window, UsageError> {
    let until = args.until.unwrap_or_default();
    if until >= since {
        let what = "--until must be less than --since: both are before now";
        return Err(UsageError(what.into()));
    }
    if args.by == By::Cgroup {
        let what = "--since knows entities only: leave out `--by cgroup`";
        return Err(UsageError(what.into()));
    }
    Ok(Window { since, until })
}

fn findings(
    args: &Args,
    path: &std::path::Path,
    past: Past,
    window: Window,
) -> anyhow::Result<Findings> {
    let model = past.model.with_context(|| {
        format!(
            "{}: the agent remembers nothing of that time; it remembers at most two hours, and \
             nothing from before its start",
            path.display()
        )
    })?;
    let question = Question {
        by: args.by,
        filter: args.cgroup.clone(),
        top: args.top,
        duration: window.length(),
    };
    let host = Host {
        facts: past.origin.facts,
        hierarchy: past.origin.hierarchy,
        capabilities: past.origin.capabilities,
    };
    let extent = Extent::Remembered {
        complete: past.extent.whole,
        others_together: past.extent.others_together,
    };
    Ok(Findings::new(question, host, model, extent))
}
