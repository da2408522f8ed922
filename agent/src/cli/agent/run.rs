//! `crosstalk agent`: observes at an interval and delivers, until a signal comes.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    cli::{Exit, agent::host, interrupt::Interrupts},
    config::Settings,
    entity::identify,
    model::Model,
    observe::Observer,
    otlp::{
        delivery::{Delivery, Shared},
        ledger::Ledger,
    },
    sample::Sample,
};

/// Until then histories have begun, and waits have one to be attributed from.
const WARM_UP: Duration = Duration::from_secs(1);
/// Meanwhile many cgroups run for the first time: they are given room so many times.
const WARM_UP_STEPS: u32 = 5;
/// Between looks inside an interval, which keep the programs supplied with room for new cgroups.
const UPKEEP: Duration = Duration::from_secs(1);

pub(super) async fn run(settings: &Settings) -> anyhow::Result<Exit> {
    // Before anything is attached, so that it is detached in order.
    let mut interrupts = Interrupts::install().context("cannot catch signals")?;
    let mut observer = Observer::start()?;
    let host = host(&observer.facts().name, settings);
    let phase = phase(host.id.as_ref().unwrap_or(&host.name), settings.interval);
    let shared = Shared::new(Ledger::new(host, settings.limits));
    let delivery = Delivery::new(Arc::clone(&shared), settings.target.clone())?;
    for _ in 0..WARM_UP_STEPS {
        tokio::select! {
            biased;
            _ = interrupts.next() => return Ok(Exit::Ran),
            () = sleep(WARM_UP / WARM_UP_STEPS) => {
                observer.keep_up().context("cannot start")?;
            }
        }
    }
    let mut before = observer.sample().context("cannot start")?;
    let (end, ending) = watch::channel(false);
    let delivering = tokio::spawn(delivery.run(ending));
    say(&format!(
        "ready: exporting every {} to {}\n",
        humantime::format_duration(settings.interval),
        settings.target.uri
    ));
    observe(
        &mut observer,
        &mut before,
        &shared,
        settings.interval,
        phase,
        &mut interrupts,
    )
    .await;
    // The last interval ends now.
    step(&mut observer, &mut before, &shared);
    // Nothing stays attached while a receiver takes its time.
    drop(observer);
    // Nobody listens only when delivery has ended.
    let _ = end.send(true);
    finish(delivering, settings.shutdown_timeout, &mut interrupts).await;
    summarize(&shared);
    Ok(Exit::Ran)
}

/// Observes until a signal comes.
async fn observe(
    observer: &mut Observer,
    before: &mut Sample,
    shared: &Shared,
    length: Duration,
    phase: Duration,
    interrupts: &mut Interrupts,
) {
    let since_boundary =
        before.monotonic.as_nanos().saturating_sub(phase.as_nanos()) % length.as_nanos();
    let first = length.saturating_sub(Duration::from_nanos(since_boundary as u64));
    let mut readings = interval_at(Instant::now() + first, length);
    readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut upkeep = interval_at(Instant::now() + UPKEEP, UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = interrupts.next() => return,
            _ = readings.tick() => step(observer, before, shared),
            _ = upkeep.tick() => {
                // What fails now fails with the reading as well, and is told then.
                let _ = observer.keep_up();
            }
        }
    }
}

/// Ends one interval and begins the next. One that cannot be read is part of the next.
fn step(observer: &mut Observer, before: &mut Sample, shared: &Shared) {
    match observer.sample() {
        Ok(after) => {
            let model = Model::new(before, &after, &identify);
            shared.ledger().add(&model);
            *before = after;
            shared.publish();
        }
        Err(error) => {
            tracing::warn!("this interval cannot be observed: {error}");
            shared.ledger().skip();
        }
    }
}

/// Waits until all is delivered, or the time is over, or a second signal comes.
async fn finish(mut delivering: JoinHandle<()>, deadline: Duration, interrupts: &mut Interrupts) {
    tokio::select! {
        biased;
        _ = &mut delivering => return,
        _ = interrupts.next() => {}
        () = sleep(deadline) => {}
    }
    tracing::warn!("the last interval could not be delivered in time");
    delivering.abort();
    // Its end counts what was in flight.
    let _ = delivering.await;
}

fn summarize(shared: &Shared) {
    let total = shared.total();
    say(&format!(
        "exported {} points in {} requests; {} rejected, {} refused, {} superseded by newer ones; {} requests failed, {} were refused\n",
        total.points_accepted,
        total.requests_accepted,
        total.points_rejected,
        total.points_refused,
        total.points_superseded,
        total.requests_failed,
        total.requests_refused,
    ));
}

/// Where in an interval this host reads: many of them do not come at once.
fn phase(host: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    interval.mul_f64(hasher.finish() as f64 / u64::MAX as f64)
}

fn say(text: &str) {
    // Without standard error there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
