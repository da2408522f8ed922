//! Settings that change while the agent runs.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::agent::args::Args,
    config::{ConfigError, Layer, Settings, from_environment, from_file},
};

/// Where settings come from.
pub(super) struct Sources {
    flags: Layer,
    file: Option<PathBuf>,
}

impl Sources {
    pub(super) fn new(args: &Args) -> Sources {
        Sources {
            flags: args.layer(),
            file: args.config.clone(),
        }
    }

    /// What all of them say now.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let file = self.file.as_deref().map(from_file).transpose()?;
        let environment = from_environment(&|name| std::env::var(name).ok())?;
        let flags = self.flags.clone().over(environment);
        flags.over(file.unwrap_or_default()).settle()
    }
}

/// When to read them anew: after SIGHUP, and when the file is another.
pub(super) struct Reload {
    sources: Sources,
    seen: Option<Version>,
    hangups: Signal,
}

/// What tells that a file is another. A mounted ConfigMap swaps a link: the file behind it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    place: (u64, u64),
    length: u64,
    modified: Option<SystemTime>,
}

impl Reload {
    /// From now on SIGHUP does not end the process. Must be called inside the runtime.
    pub(super) fn install(sources: Sources) -> io::Result<Reload> {
        Ok(Reload {
            seen: sources.file.as_deref().and_then(version),
            sources,
            hangups: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGHUP.
    pub(super) async fn asked(&mut self) {
        self.hangups.recv().await;
    }

    /// Whether the file is another than at the last look. One that is missing for a moment is not.
    pub(super) fn is_due(&mut self) -> bool {
        let now = self.sources.file.as_deref().and_then(version);
        let is_due = now.is_some() && now != self.seen;
        self.seen = now.or(self.seen);
        is_due
    }

    /// The settings as they are now.
    pub(super) fn settings(&mut self) -> Result<Settings, ConfigError> {
        // What is read now is not due again.
        self.is_due();
        self.sources.settings()
    }
}

fn version(path: &Path) -> Option<Version> {
    let file = fs::metadata(path).ok()?;
    Some(Version {
        place: (file.dev(), file.ino()),
        length: file.len(),
        modified: file.modified().ok(),
    })
}
