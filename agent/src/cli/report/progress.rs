//! What standard error shows during the interval: a bar for people, a line for programs.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::log;

const FRAME: Duration = Duration::from_millis(200);

/// Shown until it is dropped.
pub(super) enum Progress {
    /// On a terminal.
    Bar(ProgressBar),
    /// The line has been written.
    Line,
}

impl Progress {
    /// Says that the interval has started.
    pub(super) fn start(duration: Duration) -> Progress {
        let length = humantime::format_duration(duration);
        if !io::stderr().is_terminal() {
            // Nobody may read it.
            let _ = writeln!(io::stderr(), "ready: observing for {length}");
            return Progress::Line;
        }
        let bar = ProgressBar::new(milliseconds(duration));
        let style = ProgressStyle::with_template("{msg} {bar:30} {eta} left, Ctrl-C ends it now");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(format!("observing for {length}"));
        log::appear_above(&bar);
        Progress::Bar(bar)
    }

    /// How often it wants to be shown.
    pub(super) fn frame(&self) -> Duration {
        match self {
            Progress::Bar(_) => FRAME,
            Progress::Line => Duration::from_hours(1),
        }
    }

    pub(super) fn show(&self, elapsed: Duration) {
        if let Progress::Bar(bar) = self {
            bar.set_position(milliseconds(elapsed));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
