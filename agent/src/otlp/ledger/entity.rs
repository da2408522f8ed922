//! The series of one entity.

use std::collections::BTreeMap;

use super::{Amount, Attributes, Resource, Span, Told};
use crate::otlp::registry::{CULPRIT_KIND, OTHER};

/// Where an entity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It may do something.
    Alive,
    /// It is gone, and its last totals have not arrived yet.
    Ending,
    /// They have; that there is no value any more has not.
    Stale,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Since when it counts, nanoseconds of Unix time.
    pub start: u64,
    /// Whether a receiver knows that it began at 0 then.
    pub is_known: bool,
    /// What it came to; of a gauge, the latest.
    pub total: Amount,
    /// When a gauge had a value last.
    pub at: u64,
}

/// One entity, or the agent itself.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Attributes of its Resource.
    pub resource: Resource,
    /// It lost a noticeable time once.
    pub affected: bool,
    /// Where it is in its life.
    pub life: Life,
    /// The end of the latest interval that it had.
    pub last: u64,
    /// Until then it is not told while it lives, nanoseconds of Unix time: its name may come.
    pub(super) held_until: u64,
    series: BTreeMap<(usize, Attributes), Series>,
}

impl Entity {
    pub(super) fn new(resource: Resource) -> Entity {
        Entity {
            resource,
            affected: false,
            life: Life::Alive,
            last: 0,
            held_until: 0,
            series: BTreeMap::new(),
        }
    }

    /// It is there, until `end` at least.
    pub(super) fn begin(&mut self, end: u64) {
        if self.life == Life::Stale {
            // To a receiver the old series are over, or about to be.
            self.series.clear();
        }
        self.life = Life::Alive;
        self.last = end;
    }

    /// It is gone.
    pub(super) fn end(&mut self) {
        if self.life == Life::Alive {
            self.life = Life::Ending;
        }
    }

    pub(super) fn has(&self, metric: usize, attributes: &Attributes) -> bool {
        // Borrowing a pair out of two parts would need a key type of its own; this is as cheap.
        self.series.contains_key(&(metric, attributes.clone()))
    }

    /// Culprits that have a series of their own.
    pub(super) fn culprits(&self, metric: usize, scope: &[(&'static str, String)]) -> usize {
        let of = self.series.keys().filter(|(number, attributes)| {
            let is_other = attributes
                .iter()
                .any(|(k, v)| *k == CULPRIT_KIND && v == OTHER);
            *number == metric && !is_other && attributes.starts_with(scope)
        });
        of.count()
    }

    pub(super) fn add(&mut self, metric: usize, attributes: Attributes, more: &Amount, span: Span) {
        let series = self.series.entry((metric, attributes));
        let series = series.or_insert_with(|| Series {
            start: span.start,
            is_known: false,
            total: more.zero().unwrap_or_else(|| more.clone()),
            at: span.end,
        });
        series.total.add(more);
        series.at = span.end;
    }

    /// Whether a receiver knows of it.
    pub(super) fn was_told(&self) -> bool {
        self.series.values().any(|series| series.is_known)
    }

    /// Whether it is to be told now.
    pub fn is_due(&self, now: u64) -> bool {
        !self.series.is_empty() && (self.life != Life::Alive || self.held_until <= now)
    }

    /// Series in the order of metrics.
    pub fn series(&self) -> impl ExactSizeIterator<Item = (usize, &Attributes, &Series)> {
        let series = self.series.iter();
        series.map(|((metric, attributes), series)| (*metric, attributes, series))
    }

    /// Takes note of what arrived; whether nothing is left to tell, ever.
    pub(super) fn taken(&mut self, told: Told) -> bool {
        for series in self.series.values_mut() {
            series.is_known |= series.start < told.now;
        }
        if told.life != self.life {
            return false;
        }
        match self.life {
            Life::Alive => false,
            Life::Ending => {
                self.life = Life::Stale;
                false
            }
            Life::Stale => true,
        }
    }
}
