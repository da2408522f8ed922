//! What is told of episodes.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    model::{Resource, Row},
    signal::{Class, loss::Loss},
};

/// Something to tell of one victim.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was decided.
    pub at: SystemTime,
    /// To whom it happened.
    pub victim: Victim,
    /// What.
    pub what: What,
}

/// To whom an episode happens.
#[derive(Clone, Debug)]
pub enum Victim {
    /// All of the host: one of its resources is saturated.
    Host,
    /// An entity that loses time to its neighbors: its row, without what it did.
    Entity(Arc<Row>),
}

/// What there is to tell.
#[derive(Clone, Debug)]
pub enum What {
    /// An episode began, or began again.
    Started(Episode),
    /// It goes on.
    Updated(Episode),
    /// It is over.
    Ended(Episode, EndReason),
    /// More episodes of this victim than are told in an hour.
    Untold(Untold),
}

/// One episode, from its beginning up to now.
#[derive(Clone, Debug)]
pub struct Episode {
    /// Joins its events.
    pub id: EpisodeId,
    /// What is lost.
    pub resource: Resource,
    /// The kernel's name of a disk.
    pub device: Option<String>,
    /// How often it began: 1, and 1 more for each time that it began again.
    pub openings: u32,
    /// From its latest beginning to the latest second that was not calm.
    pub length: Duration,
    /// How much it matters.
    pub severity: Severity,
    /// What kind of interference most of the loss was; `None` where that is not known, and of a
    /// host.
    pub class: Option<Class>,
    /// What was lost in the seconds that were not calm …
    pub loss: Loss,
    /// … and how long those were together.
    pub observed: Duration,
    /// Who had the resource, the largest first; of a host, who ran. Few, or none if none is large.
    pub culprits: Vec<EpisodeCulprit>,
    /// How many with a name had it in a second, at most.
    pub neighbors: usize,
}

/// One of those who had the resource.
#[derive(Clone, Debug)]
pub struct EpisodeCulprit {
    /// Its row, without what it did.
    pub who: Arc<Row>,
    /// Its part of the loss, of a host of all run time, 0 to 1.
    pub share: f64,
    /// Its run time as a ratio of its contract; `None` where that is not known, and of disks.
    pub over: Option<f64>,
}

/// How much an episode matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Much was lost through others who did not keep to their contracts, or to contracts that do
    /// not fit; or somebody starved.
    Warning,
}

impl Severity {
    /// The name in events.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Notice => "notice",
            Severity::Warning => "warning",
        }
    }
}

/// Why an episode is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Little was lost for long enough.
    Calm,
    /// The victim was not seen any more.
    NotSeen,
    /// The agent ends, and sees no more.
    AgentStopped,
}

impl EndReason {
    /// The name in events.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::Calm => "calm",
            EndReason::NotSeen => "not seen",
            EndReason::AgentStopped => "agent stopped",
        }
    }
}

/// Episodes that were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// How many.
    pub episodes: u32,
    /// How long they were together.
    pub length: Duration,
}

/// The name of an episode: unique among all hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpisodeId {
    /// Of the agent's life.
    pub(super) agent: u64,
    /// Of the episode in it.
    pub(super) number: u64,
}

impl fmt::Display for EpisodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.agent, self.number)
    }
}

/// What a second adds to the account of episodes.
#[derive(Clone, Debug)]
pub struct EpisodeUse {
    /// To whom.
    pub victim: Victim,
    /// Of what.
    pub resource: Resource,
    /// The kernel's name of a disk.
    pub device: Option<String>,
    /// The episode's class.
    pub class: Option<Class>,
    /// Episodes that began: those that began again not.
    pub opened: u64,
    /// Time in them, calm ends left out.
    pub length: Duration,
}
