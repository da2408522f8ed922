//! How the values of metrics come from a model: one small function for each metric.

pub(super) mod agent;
pub(super) mod cpu;
pub(super) mod disk;
pub(super) mod episodes;
pub(super) mod load;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    canary::Outcome,
    model::{Model, Resource, Row},
    otlp::{
        amount::{Amount, Attributes},
        culprit::Naming,
        registry::Points,
    },
    signal::episodes::EpisodeUse,
};

/// What happened in one interval.
#[derive(Clone, Copy)]
pub struct Interval<'a> {
    /// What was observed.
    pub model: &'a Model,
    /// What came to the host's account of episodes.
    pub episodes: &'a [EpisodeUse],
    /// Time in which resources were full.
    pub full: &'a BTreeMap<Resource, Duration>,
}

/// The agent's account of one interval.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// What was observed.
    pub model: &'a Model,
    /// The agent's own affairs.
    pub own: &'a Own,
}

/// What the agent knows of itself beside the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Intervals that could not be observed since the last one.
    pub skipped: u64,
    /// Amounts that found no series since.
    pub refused: u64,
    /// Culprits that found none, and were told as `other`.
    pub culprits_refused: u64,
    /// Entities that have series.
    pub entities: usize,
    /// Series of all entities.
    pub series: usize,
    /// Readings of sources of names that failed since, by source.
    pub failed_readings: Vec<(&'static str, u64)>,
    /// Runs of the canary since; `None`: there were none at all.
    pub canary: Option<CanaryRuns>,
    /// What was exported since.
    pub exported: Exported,
    /// Whether some of it were deltas.
    pub has_deltas: bool,
}

/// What became of requests and of their data points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Requests that the receiver took.
    pub requests_accepted: u64,
    /// Requests that it will never take.
    pub requests_refused: u64,
    /// Requests that did not get through.
    pub requests_failed: u64,
    /// Points that the receiver took.
    pub points_accepted: u64,
    /// Points that it rejected, out of requests that it took.
    pub points_rejected: u64,
    /// Points of refused requests.
    pub points_refused: u64,
    /// Points of failed requests: newer ones take their place.
    pub points_superseded: u64,
    /// Deltas of failed requests that the receiver may have taken all the same.
    pub points_ambiguous: u64,
    /// Events that the receiver took.
    pub events_accepted: u64,
    /// Events that it rejected, out of requests that it took.
    pub events_rejected: u64,
    /// Events that it will never take.
    pub events_refused: u64,
    /// Events that had to go because too many waited.
    pub events_dropped: u64,
}

/// Runs of the canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CanaryRuns {
    /// How many.
    pub runs: u64,
    /// What they were together.
    pub sum: Outcome,
}

/// One row of the model.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    /// The whole interval.
    pub model: &'a Model,
    /// Number of the row among the entities.
    pub index: usize,
    /// The row.
    pub row: &'a Row,
    /// What came to its account of episodes.
    pub episodes: &'a [EpisodeUse],
    /// How culprits are named.
    pub naming: &'a Naming,
}

impl Of<'_> {
    /// Whether anybody made it wait.
    pub fn has_culprits(&self) -> bool {
        let mut all = self.model.entities.all_blame_of(self.index);
        all.any(|blame| blame.ns > 0)
    }

    /// By culprit, how long.
    fn culprits(&self, resource: Resource) -> impl Iterator<Item = (Attributes, Amount)> {
        let table = &self.model.entities;
        table.blame_of(self.index, resource).map(|blame| {
            let culprit = self.naming.attributes(&table.rows[blame.culprit]);
            (culprit, Amount::Ns(blame.ns))
        })
    }
}

fn one(points: &mut Points, amount: Amount) {
    points.push((Vec::new(), amount));
}

fn by(points: &mut Points, key: &'static str, value: &str, amount: Amount) {
    points.push((vec![(key, value.to_owned())], amount));
}
