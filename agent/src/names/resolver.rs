//! Reads the sources on a thread of its own: a kubelet that hangs keeps nobody but that thread.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    KubeletAccess,
    facts::Facts,
    source::{Error, Source},
    sources,
};

/// Between rounds while nobody asks.
const PERIOD: Duration = Duration::from_secs(10);
/// Names outlive those who bore them: their last waits are told later.
const REMEMBERED: Duration = Duration::from_mins(10);
/// No more pods, and no more containers, than this are remembered.
const MOST: usize = 1 << 15;

/// What sources told so far, and how they are.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names.
    pub facts: Arc<Facts>,
    /// Sources in their order.
    pub sources: Vec<SourceHealth>,
    /// Rounds through all sources that are complete.
    pub rounds: u64,
}

impl Names {
    /// Whether there is a source that could tell more.
    pub fn can_tell(&self) -> bool {
        let is_there = |source: &SourceHealth| source.state != SourceState::Absent;
        self.sources.iter().any(is_there)
    }
}

/// How a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHealth {
    /// Its name.
    pub name: &'static str,
    /// How the last reading went.
    pub state: SourceState,
    /// Readings that failed so far.
    pub failures: u64,
}

/// How a reading went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Not there.
    Absent,
    /// It told the names of so many.
    Read {
        /// Pods.
        pods: usize,
        /// Containers.
        containers: usize,
    },
    /// It is there, and could not be read.
    Failed(String),
}

/// The thread that reads sources. It ends after its owner.
#[derive(Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
    ask: SyncSender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<Names>,
    round: Condvar,
}

impl Resolver {
    /// Begins to read what this host has. Names are optional, and so is a thread to read them.
    pub fn of_this_host(kubelet: Option<KubeletAccess>) -> Option<Resolver> {
        let sources = sources(Path::new("/"), kubelet);
        Self::start(sources)
            .inspect_err(|error| tracing::warn!("no names are read: {error}"))
            .ok()
    }

    /// Begins to read; those that come first count where two know the same.
    pub fn start(sources: Vec<Box<dyn Source>>) -> io::Result<Resolver> {
        let shared = Arc::new(Shared::default());
        let (ask, asked) = mpsc::sync_channel(1);
        let there = Arc::clone(&shared);
        thread::Builder::new().name("names".into()).spawn(move || {
            let mut reader = Reader::new(sources);
            loop {
                there.publish(reader.round(Instant::now()));
                if asked.recv_timeout(PERIOD) == Err(RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        })?;
        Ok(Resolver { shared, ask })
    }

    /// What is known now.
    pub fn names(&self) -> Names {
        self.shared.lock().clone()
    }

    /// Asks for another round soon; whether the thread lives.
    pub fn ask(&self) -> bool {
        !matches!(self.ask.try_send(()), Err(TrySendError::Disconnected(())))
    }

    /// What is known after a round that begins now, or at the end of one's patience.
    pub fn latest(&self, patience: Duration) -> Names {
        let end = Instant::now() + patience;
        let mut names = self.shared.lock();
        // A round under way may have read before what matters happened.
        let wanted = names.rounds + 2;
        while names.rounds < wanted && self.ask() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let round = self.shared.round.wait_timeout(names, left);
            names = round.unwrap_or_else(PoisonError::into_inner).0;
        }
        names.clone()
    }
}

impl Shared {
    fn publish(&self, names: Names) {
        *self.lock() = names;
        self.round.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread keeps.
struct Reader {
    sources: Vec<Box<dyn Source>>,
    health: Vec<SourceHealth>,
    known: Facts,
    pods_seen: BTreeMap<String, Instant>,
    containers_seen: BTreeMap<String, Instant>,
    rounds: u64,
}

impl Reader {
    fn new(sources: Vec<Box<dyn Source>>) -> Reader {
        let health = sources.iter().map(|source| SourceHealth {
            name: source.name(),
            state: SourceState::Absent,
            failures: 0,
        });
        Reader {
            health: health.collect(),
            sources,
            known: Facts::default(),
            pods_seen: BTreeMap::new(),
            containers_seen: BTreeMap::new(),
            rounds: 0,
        }
    }

    fn round(&mut self, now: Instant) -> Names {
        let mut fresh = Facts::default();
        for (source, health) in self.sources.iter_mut().zip(&mut self.health) {
            let read = source.read();
            health.note(&read);
            if let Ok(facts) = read {
                fresh.fill(&facts);
            }
        }
        self.remember(fresh, now);
        self.rounds += 1;
        Names {
            facts: Arc::new(self.known.clone()),
            sources: self.health.clone(),
            rounds: self.rounds,
        }
    }

    /// What is no longer told stays as it was for a while.
    fn remember(&mut self, mut fresh: Facts, now: Instant) {
        let seen = |ids: Vec<&String>, seen: &mut BTreeMap<String, Instant>| {
            seen.extend(ids.into_iter().map(|id| (id.clone(), now)));
            seen.retain(|_, at| now.saturating_duration_since(*at) < REMEMBERED);
        };
        seen(fresh.pods.keys().collect(), &mut self.pods_seen);
        seen(fresh.containers.keys().collect(), &mut self.containers_seen);
        fresh.fill(&self.known);
        fresh.pods.retain(|uid, _| self.pods_seen.contains_key(uid));
        let containers = &self.containers_seen;
        fresh.containers.retain(|id, _| containers.contains_key(id));
        bound(&mut fresh.pods, &mut self.pods_seen, now);
        bound(&mut fresh.containers, &mut self.containers_seen, now);
        self.known = fresh;
    }
}

/// Where there are too many, the dead go first.
fn bound<T>(known: &mut BTreeMap<String, T>, seen: &mut BTreeMap<String, Instant>, now: Instant) {
    if known.len() > MOST {
        seen.retain(|_, at| *at == now);
        while seen.len() > MOST {
            seen.pop_last();
        }
        known.retain(|id, _| seen.contains_key(id));
    }
}

impl SourceHealth {
    fn note(&mut self, read: &Result<Facts, Error>) {
        self.state = match read {
            Ok(facts) => SourceState::Read {
                pods: facts.pods.len(),
                containers: facts.containers.len(),
            },
            Err(Error::Absent) => SourceState::Absent,
            Err(Error::Failed(why)) => {
                self.failures += 1;
                SourceState::Failed(why.clone())
            }
        };
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
