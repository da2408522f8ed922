//! `crosstalk agent`: observes at an interval and delivers, until a signal comes.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use crate::{
    cli::{
        Exit,
        agent::{
            culprit_names,
            events::Events,
            host,
            watch::{Naming, Watch},
        },
        interrupt::Interrupts,
    },
    config::Settings,
    history::History,
    names::{Resolver, sources},
    observe::Observer,
    otlp::{
        delivery::{Delivery, EventOutbox, Shared, TotalsOutbox},
        ledger::Ledger,
    },
};

/// Until then histories have begun, and waits have one to be attributed from.
const WARM_UP: Duration = Duration::from_secs(1);
/// Meanwhile many cgroups run for the first time: they are given room so many times.
const WARM_UP_STEPS: u32 = 5;
/// Between readings.
const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn run(settings: &Settings) -> anyhow::Result<Exit> {
    // Before anything is attached, so that it is detached in order.
    let mut interrupts = Interrupts::install().context("cannot catch signals")?;
    let mut observer = Observer::start()?;
    let host = host(&observer.facts().name, settings);
    let phase = phase(host.id.as_ref().unwrap_or(&host.name), settings.interval);
    let naming = culprit_names(settings);
    let ledger = Ledger::new(host.clone(), settings.limits).naming(naming.clone());
    let shared = Shared::new(ledger);
    let totals = TotalsOutbox::new(Arc::clone(&shared));
    let totals = Delivery::new(totals, settings.target.clone())?;
    let told = settings.event_target.clone();
    let told = told.map(|target| Delivery::new(EventOutbox::new(Arc::clone(&shared)), target));
    let told = told.transpose()?;
    let mut events = Events::new(host, naming, told.is_some());
    // Names are optional, and so is a thread to read them.
    let names = Resolver::start(sources(Path::new("/"), settings.kubelet.clone())).ok();
    for _ in 0..WARM_UP_STEPS {
        tokio::select! {
            biased;
            _ = interrupts.next() => return Ok(Exit::Ran),
            () = sleep(WARM_UP / WARM_UP_STEPS) => {
                observer.keep_up().context("cannot start")?;
            }
        }
    }
    let history = History::start(settings.history.as_ref(), &observer);
    let mut watch = Watch::start(observer, Naming::new(names)).context("cannot start")?;
    let (end, ending) = watch::channel(false);
    let mut delivering = JoinSet::new();
    delivering.spawn(totals.run(ending.clone()));
    if let Some(told) = told {
        delivering.spawn(told.run(ending));
    }
    say(&format!(
        "ready: exporting every {} to {}\n",
        humantime::format_duration(settings.interval),
        settings.target.uri
    ));
    let mut exports = Exports {
        length: settings.interval,
        phase,
        shared: &shared,
        events: &mut events,
        history: &history,
    };
    observe(&mut watch, &mut exports, &mut interrupts).await;
    // The last interval ends now.
    exports.end(&mut watch);
    // Nothing stays attached while a receiver takes its time.
    drop(watch);
    // Nobody listens only when delivery has ended.
    let _ = end.send(true);
    finish(delivering, settings.shutdown_timeout, &mut interrupts).await;
    summarize(&shared);
    Ok(Exit::Ran)
}

/// Takes a reading each second, until a signal comes.
async fn observe(watch: &mut Watch, exports: &mut Exports<'_>, interrupts: &mut Interrupts) {
    let period = SECOND.min(exports.length);
    let since = watch.now().saturating_sub(exports.phase).as_nanos() % period.as_nanos();
    let first = period.saturating_sub(Duration::from_nanos(since as u64));
    let mut readings = interval_at(Instant::now() + first, period);
    readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = interrupts.next() => return,
            _ = readings.tick() => exports.step(watch),
        }
    }
}

/// What is exported of the readings, and when.
struct Exports<'a> {
    length: Duration,
    phase: Duration,
    shared: &'a Shared,
    events: &'a mut Events,
    history: &'a History,
}

impl Exports<'_> {
    /// Takes a reading, and exports where an interval is over.
    fn step(&mut self, watch: &mut Watch) {
        let before = self.number(watch.now());
        match watch.second() {
            Ok(second) => {
                self.history.add(&second, watch.names());
                self.events.observe(&second, self.shared);
            }
            Err(error) => tracing::warn!("this second cannot be observed: {error}"),
        }
        if self.number(watch.now()) != before {
            self.publish(watch);
        }
    }

    /// Ends the last interval, however long it was.
    fn end(&mut self, watch: &mut Watch) {
        match watch.second() {
            Ok(second) => self.events.observe(&second, self.shared),
            Err(error) => tracing::warn!("the last second cannot be observed: {error}"),
        }
        self.events.stop(self.shared);
        self.publish(watch);
    }

    fn publish(&self, watch: &mut Watch) {
        match watch.interval() {
            Some(model) => self.shared.ledger().add(&model, watch.names()),
            None => self.shared.ledger().skip(),
        }
        self.shared.publish();
    }

    /// The number of the interval that a time is in. Readings come a little late, never early.
    fn number(&self, now: Duration) -> u128 {
        now.saturating_sub(self.phase).as_nanos() / self.length.as_nanos()
    }
}

/// Waits until all is delivered, or the time is over, or a second signal comes.
async fn finish(mut delivering: JoinSet<()>, deadline: Duration, interrupts: &mut Interrupts) {
    let all = async { while delivering.join_next().await.is_some() {} };
    tokio::select! {
        biased;
        () = all => return,
        _ = interrupts.next() => {}
        () = sleep(deadline) => {}
    }
    tracing::warn!("the last interval could not be delivered in time");
    // Its end counts what was in flight.
    delivering.shutdown().await;
}

fn summarize(shared: &Shared) {
    let total = shared.total();
    let events = [
        total.events_accepted,
        total.events_rejected,
        total.events_refused,
        total.events_dropped,
        shared.waiting_events() as u64,
    ];
    if events.iter().any(|number| *number > 0) {
        let [accepted, rejected, refused, dropped, waiting] = events;
        say(&format!(
            "exported {accepted} events; {rejected} rejected, {refused} refused, {dropped} dropped, {waiting} not delivered\n",
        ));
    }
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
