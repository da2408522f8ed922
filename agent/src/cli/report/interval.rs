//! The interval of a report: warm up, sample, wait, sample.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    cli::{Exit, interrupt::Interrupts, report::progress::Progress, warm_up::warm_up},
    host::processes::Snapshot,
    observe::Observer,
    sample::Sample,
};

/// Between looks inside the interval, which keep the programs supplied with room for new cgroups
/// and find the names of those that come and go.
const UPKEEP: Duration = Duration::from_secs(1);

/// What an interval begins and ends with.
pub(in crate::cli) struct Interval {
    pub(in crate::cli) before: Sample,
    pub(in crate::cli) after: Sample,
    /// All processes at its start.
    pub(super) processes: Option<Snapshot>,
    /// Whether it was as long as asked for.
    pub(super) complete: bool,
}

/// How an observation went.
pub(in crate::cli) enum Course {
    /// There is something to tell.
    Observed(Box<(Observer, Interval)>),
    /// It ended before it began.
    Interrupted(Exit),
}

/// `at_ends` reads what else is wanted, at the beginning and at the end.
pub(in crate::cli) async fn observe(
    duration: Duration,
    at_ends: &mut dyn FnMut(&Observer),
) -> anyhow::Result<Course> {
    // Before anything is attached, so that it is detached in order.
    let mut interrupts = Interrupts::install().context("cannot catch signals")?;
    let mut observer = Observer::start()?;
    let warm_up = warm_up(&mut observer, &mut interrupts).await;
    if let Some(exit) = warm_up.context("cannot start the interval")? {
        return Ok(Course::Interrupted(exit));
    }
    let processes = Snapshot::all(Path::new("/proc")).ok();
    let before = observer.sample().context("cannot start the interval")?;
    at_ends(&observer);
    let complete = wait(duration, &mut observer, &mut interrupts).await;
    let after = observer.sample().context("cannot end the interval")?;
    at_ends(&observer);
    let interval = Interval {
        before,
        after,
        processes,
        complete,
    };
    Ok(Course::Observed(Box::new((observer, interval))))
}

/// Waits until the interval is over; whether it was as long as asked for.
async fn wait(duration: Duration, observer: &mut Observer, interrupts: &mut Interrupts) -> bool {
    let start = Instant::now();
    let progress = Progress::start(duration);
    let mut frames = interval(progress.frame());
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut upkeep = start + UPKEEP;
    loop {
        tokio::select! {
            biased;
            _ = interrupts.next() => return false,
            () = sleep_until(start + duration) => return true,
            () = sleep_until(upkeep) => {
                // What fails now fails at the end as well, and is told then.
                let _ = observer.keep_up();
                upkeep = Instant::now() + UPKEEP;
            }
            _ = frames.tick() => progress.show(start.elapsed()),
        }
    }
}
