//! What the agent's series came to. Pure.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::otlp::{
    amount::{Amount, Attributes},
    measure::Account,
    registry::{Kind, METRICS, Source},
};

/// By metric and attributes. A series that is there stays, unless it is a gauge: by the rules of the
/// SDK a delta of one that was left out in between would begin at 0 again.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<(usize, Attributes), Amount>);

impl Totals {
    /// Adds an interval. Of gauges there are those that it had.
    pub(super) fn add(&mut self, account: &Account<'_>) {
        let lasts = |metric: usize| METRICS[metric].kind != Kind::Gauge;
        self.0.retain(|(metric, _), _| lasts(*metric));
        for (number, metric) in METRICS.iter().enumerate() {
            let Source::Agent(read) = metric.source else {
                continue;
            };
            let mut points = Vec::new();
            read(account, &mut points);
            for (attributes, amount) in points {
                match self.0.entry((number, attributes)) {
                    Entry::Occupied(mut total) => total.get_mut().add(&amount),
                    Entry::Vacant(place) => _ = place.insert(amount),
                }
            }
        }
    }

    /// The series of one metric.
    pub(super) fn of(&self, metric: usize) -> impl Iterator<Item = (&Attributes, &Amount)> {
        let of = (metric, Vec::new())..(metric + 1, Vec::new());
        let series = self.0.range(of);
        series.map(|((_, attributes), total)| (attributes, total))
    }

    /// The metric of each series.
    pub(super) fn metrics(&self) -> impl Iterator<Item = usize> {
        self.0.keys().map(|(metric, _)| *metric)
    }
}

/// Totals are whole after each step, also where another one panicked.
pub(super) fn lock(totals: &Mutex<Totals>) -> MutexGuard<'_, Totals> {
    totals.lock().unwrap_or_else(PoisonError::into_inner)
}
