//! `crosstalk agent`: observes on and on and delivers, until a signal comes.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use caps::Capability;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    canary::{Canary, Keeper},
    cli::{
        Exit,
        agent::{
            culprit_names,
            deliveries::{Deliveries, Prepared, summarize},
            events::Events,
            exports::{Intervals, publish},
            host, ledger,
            reload::{Reload, Sources},
            say,
            supervision::{self, Supervision},
            watch::{Naming, Watch},
        },
        interrupt::Interrupts,
        warm_up::warm_up,
    },
    config::Settings,
    confine::{Needs, confine},
    history::{History, Socket},
    names::{KubeletAccess, Resolver},
    observe::Observer,
    otlp::{delivery::Shared, ledger::Ledger, resource::Host},
};

/// Sources of names are read every ten seconds, and when a new container turns up.
const PATIENCE_FOR_NAMES: Duration = Duration::from_secs(20);

/// A running agent.
struct Agent {
    settings: Settings,
    host: Host,
    watch: Watch,
    intervals: Intervals,
    events: Events,
    history: History,
    shared: Arc<Shared>,
    deliveries: Deliveries,
    supervision: Supervision,
    canary: Option<Canary>,
}

/// Why the agent stops to take readings.
enum Pause {
    /// A signal wants it to end.
    End,
    /// Its settings are others.
    Reload,
}

pub(super) async fn run(settings: Settings, sources: Sources) -> anyhow::Result<Exit> {
    // Before anything is attached, so that it is detached in order.
    let mut interrupts = Interrupts::install().context("cannot catch signals")?;
    let mut reload = Reload::install(sources).context("cannot catch signals")?;
    let mut observer = Observer::start()?;
    // Its processes and cgroups are made before that becomes impossible.
    let canary = settings.canary.and_then(keeper);
    // A socket is made and given to a group before that becomes impossible.
    let history = History::start(settings.history.as_ref(), &observer);
    give_up_privileges(&observer, settings.history.as_ref());
    let host = host(&observer.facts().name, &settings);
    let shared = Shared::new(patient_ledger(host.clone(), &settings));
    let prepared = Prepared::new(&shared, &settings)?;
    let naming = naming(settings.kubelet.clone());
    let warm_up = warm_up(&mut observer, &mut interrupts).await;
    if warm_up.context("cannot start")?.is_some() {
        return Ok(Exit::Ran);
    }
    let watch = Watch::start(observer, naming, &settings.limits).context("cannot start")?;
    let mut agent = Agent {
        canary: canary.and_then(|(keeper, every)| {
            let canary = Canary::new(keeper, every, watch.now());
            canary
                .inspect_err(|error| tracing::warn!("there is no canary: {error}"))
                .ok()
        }),
        watch,
        intervals: Intervals::new(settings.interval, &host),
        history,
        events: Events::new(
            host.clone(),
            culprit_names(&settings),
            settings.event_target.is_some(),
        ),
        deliveries: Deliveries::start(prepared),
        supervision: Supervision::start(),
        settings,
        host,
        shared,
    };
    agent.say_what_it_does("ready");
    while let Pause::Reload = agent.observe(&mut interrupts, &mut reload).await {
        agent.reload(&mut reload).await;
    }
    agent.end(&mut interrupts).await;
    Ok(Exit::Ran)
}

impl Agent {
    fn say_what_it_does(&self, since: &str) {
        let what = self.what_it_does();
        say(&format!("{since}: {what}\n"));
        supervision::ready(&what);
    }

    fn what_it_does(&self) -> String {
        let interval = humantime::format_duration(self.settings.interval);
        format!("exporting every {interval} to {}", self.settings.target.uri)
    }

    /// Takes a reading each second, until something else is to be done.
    async fn observe(&mut self, interrupts: &mut Interrupts, reload: &mut Reload) -> Pause {
        let first = Instant::now() + self.intervals.to_reading(self.watch.now());
        let mut readings = interval_at(first, self.intervals.period());
        readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                biased;
                _ = interrupts.next() => return Pause::End,
                () = reload.asked() => return Pause::Reload,
                _ = readings.tick() => {
                    self.step();
                    if reload.is_due() {
                        return Pause::Reload;
                    }
                }
            }
        }
    }

    /// Takes a reading, and exports where an interval is over.
    fn step(&mut self) {
        let before = self.watch.now();
        self.read();
        self.ask_the_canary();
        if self.intervals.is_boundary_between(before, self.watch.now()) {
            publish(&mut self.watch, &self.shared);
        }
        self.supervision.alive();
    }

    fn read(&mut self) {
        match self.watch.second() {
            Ok(second) => {
                self.history.add(&second, self.watch.names());
                self.events.observe(&second, &self.shared);
            }
            Err(error) => tracing::warn!("this second cannot be observed: {error}"),
        }
    }

    fn ask_the_canary(&mut self) {
        let canary = self.canary.as_mut();
        let Some(outcome) = canary.and_then(|canary| canary.step(self.watch.latest())) else {
            return;
        };
        let [told, expected] = [outcome.measured_ns, outcome.expected_ns].map(|ns| ns / 1_000_000);
        match outcome.agrees() {
            Some(false) => tracing::warn!(
                "the canary does not agree: it waited {expected} ms for a CPU by the kernel's \
                 account, and {told} ms by this agent's"
            ),
            Some(true) | None => {
                tracing::debug!("canary: waited {expected} ms, told {told} ms");
            }
        }
        self.shared.count_canary(outcome);
    }

    /// Goes on with the settings as they are now; with the old ones where those are wrong.
    async fn reload(&mut self, reload: &mut Reload) {
        supervision::reloading();
        let settings = reload.settings().map_err(anyhow::Error::from);
        let prepared = settings.and_then(|settings| {
            let prepared = Prepared::new(&self.shared, &settings)?;
            Ok((settings, prepared))
        });
        match prepared {
            Ok((settings, prepared)) => {
                self.apply(settings);
                self.deliveries.replace(prepared).await;
                self.say_what_it_does("reloaded");
            }
            Err(error) => {
                tracing::warn!("the settings stay as they are: {error:#}");
                supervision::ready(&self.what_it_does());
            }
        }
    }

    fn apply(&mut self, settings: Settings) {
        self.watch.set_limits(&settings.limits);
        publish(&mut self.watch, &self.shared);
        let host = host(&self.host.name, &settings);
        let old = std::mem::replace(&mut self.settings, settings);
        let are_same = self.host == host
            && old.culprit_names == self.settings.culprit_names
            && old.form == self.settings.form;
        if are_same {
            self.shared.ledger().set_limits(self.settings.limits);
        } else {
            // They are other series.
            let ledger = patient_ledger(host.clone(), &self.settings);
            self.shared.begin_anew(ledger);
        }
        if old.history != self.settings.history {
            tracing::warn!("history.socket and history.group change when the agent starts again");
        }
        if old.canary != self.settings.canary {
            tracing::warn!("canary changes when the agent starts again");
        }
        if old.kubelet != self.settings.kubelet {
            self.watch.rename(naming(self.settings.kubelet.clone()));
        }
        let naming = culprit_names(&self.settings);
        let are_told = self.settings.event_target.is_some();
        self.events.tell_as(host.clone(), naming, are_told);
        self.intervals = Intervals::new(self.settings.interval, &host);
        self.host = host;
    }

    /// Exports the last interval, however long it was.
    async fn end(mut self, interrupts: &mut Interrupts) {
        supervision::stopping(self.settings.shutdown_timeout);
        self.read();
        self.events.stop(&self.shared);
        self.shared.ledger().stop_waiting();
        publish(&mut self.watch, &self.shared);
        // Nothing stays attached while a receiver takes its time.
        drop(self.watch);
        let deadline = self.settings.shutdown_timeout;
        self.deliveries.finish(deadline, interrupts).await;
        summarize(&self.shared);
    }
}

/// Without a canary the agent does all else.
fn keeper(every: Duration) -> Option<(Keeper, Duration)> {
    let keeper = Keeper::start();
    let keeper = keeper.inspect_err(|error| tracing::warn!("there is no canary: {error}"));
    Some((keeper.ok()?, every))
}

/// Whatever is not given up is told, and the agent goes on.
fn give_up_privileges(observer: &Observer, socket: Option<&Socket>) {
    let needs = Needs {
        // Some kernels refuse `bpf()` without it, also to those whose programs run.
        capability: observer
            .needs_bpf()
            .unwrap_or(true)
            .then_some(Capability::CAP_BPF),
        sockets: socket.and_then(|socket| socket.path.parent()),
        folders: None,
    };
    for gap in confine(&needs) {
        tracing::warn!("{gap}");
    }
}

fn patient_ledger(host: Host, settings: &Settings) -> Ledger {
    ledger(host, settings).waiting_for_names(PATIENCE_FOR_NAMES)
}

fn naming(kubelet: Option<KubeletAccess>) -> Naming {
    Naming::new(Resolver::of_this_host(kubelet))
}
