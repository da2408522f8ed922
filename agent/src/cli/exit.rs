//! How the command ends: a code that scripts can tell apart, and a sentence for people.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use thiserror::Error;

use crate::observe::{Obstacle, StartError};

/// How the command ended. What clap refuses exits with 2 before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked for.
    Ran,
    /// It failed.
    Failure,
    /// What was asked for makes no sense.
    Usage,
    /// `--fail-on` was met.
    ConditionMet,
    /// This process may not load the kernel programs.
    Privilege,
    /// This kernel lacks what the core needs.
    Unsupported,
    /// SIGINT came before there was anything to tell.
    Interrupted,
    /// SIGTERM came before there was anything to tell.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Ran => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::ConditionMet => 3,
            Exit::Privilege => 4,
            Exit::Unsupported => 5,
            Exit::Interrupted => 128 + 2,
            Exit::Terminated => 128 + 15,
        })
    }
}

impl From<Obstacle> for Exit {
    fn from(obstacle: Obstacle) -> Exit {
        match obstacle {
            Obstacle::Privilege => Exit::Privilege,
            Obstacle::Unsupported => Exit::Unsupported,
            Obstacle::Broken => Exit::Failure,
        }
    }
}

/// Arguments that do not go together. The message says which, and what to do.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Says what failed and what to do about it.
pub(super) fn complain(error: &anyhow::Error) -> Exit {
    let start = error.downcast_ref::<StartError>();
    let remedy = start.and_then(|start| start.remedy.as_ref());
    let remedy = remedy.map_or(String::new(), |remedy| format!("what to do: {remedy}\n"));
    let said = format!("crosstalk: {error:#}\n{remedy}");
    // Without standard error there is nobody to tell.
    let _ = io::stderr().write_all(said.as_bytes());
    if error.is::<UsageError>() {
        return Exit::Usage;
    }
    start.map_or(Exit::Failure, |start| start.obstacle.into())
}
