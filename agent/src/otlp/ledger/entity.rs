//! The series of one entity.

use std::collections::BTreeMap;

use super::{Amount, Attributes, Resource, Span, Told, admission};
use crate::{
    config::Temporality,
    otlp::registry::{CULPRIT_KIND, METRICS, OTHER},
};

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
    /// Whether a receiver knows of it.
    pub is_known: bool,
    /// What it came to since; of a gauge, the latest.
    pub total: Amount,
    /// What a delta came to after that, while it is being told.
    later: Option<Amount>,
    /// When a gauge had a value last.
    pub at: u64,
}

/// One entity, or all of the host.
#[derive(Clone, Debug)]
pub struct Entity {
    /// No two of a ledger have the same.
    pub number: u64,
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
    temporality: Temporality,
    /// Up to when it is being told, nanoseconds of Unix time. What its deltas came to until then stays
    /// as it is, and goes once a receiver has taken it.
    telling: Option<u64>,
    series: BTreeMap<(usize, Attributes), Series>,
}

impl Series {
    /// Adds to what was not told yet. A delta begins with the interval in which there is something.
    fn add_delta(&mut self, more: &Amount, span: Span, telling: Option<u64>) {
        let told_until = telling.unwrap_or(0);
        if self.total.is_nothing() {
            self.start = self.start.max(span.start).max(told_until);
        }
        match &mut self.later {
            Some(later) => later.add(more),
            None if self.start < told_until => self.later = Some(more.clone()),
            None => self.total.add(more),
        }
    }

    /// What was told of a delta is not told again.
    fn begin_anew(&mut self, now: u64) {
        self.start = now;
        if let Some(left) = self.later.take().or_else(|| self.total.zero()) {
            self.total = left;
        }
    }
}

impl Entity {
    pub(super) fn new(number: u64, resource: Resource, temporality: Temporality) -> Entity {
        Entity {
            number,
            resource,
            affected: false,
            life: Life::Alive,
            last: 0,
            held_until: 0,
            temporality,
            telling: None,
            series: BTreeMap::new(),
        }
    }

    /// It is there, until `end` at least.
    pub(super) fn begin(&mut self, end: u64) {
        if self.life == Life::Stale {
            // To a receiver the old series are over, or about to be.
            self.series.clear();
            self.telling = None;
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

    /// Whether a metric is told as what came since a receiver took it last.
    pub fn is_delta(&self, metric: usize) -> bool {
        METRICS[metric].kind.is_delta(self.temporality)
    }

    pub(super) fn has(&self, metric: usize, attributes: &Attributes) -> bool {
        // Borrowing a pair out of two parts would need a key type of its own; this is as cheap.
        self.series.contains_key(&(metric, attributes.clone()))
    }

    /// What is told of culprits, where other attributes are these.
    pub(super) fn culprits(
        &self,
        metric: usize,
        scope: &[(&'static str, String)],
    ) -> admission::Told {
        let mut told = admission::Told::default();
        for attributes in self.among(metric, scope) {
            let mut pairs = attributes.iter();
            if pairs.any(|(key, value)| *key == CULPRIT_KIND && value == OTHER) {
                told.has_other = true;
            } else {
                told.own += 1;
            }
        }
        told
    }

    /// Whether another part of the same whole has a series: all but the last attribute are the same.
    pub(super) fn has_part_beside(&self, metric: usize, attributes: &Attributes) -> bool {
        let scope = attributes.split_last().map_or(&[][..], |(_, scope)| scope);
        self.among(metric, scope).next().is_some()
    }

    /// Attributes of the series of a metric that begin with these.
    fn among(
        &self,
        metric: usize,
        scope: &[(&'static str, String)],
    ) -> impl Iterator<Item = &Attributes> {
        let of_metric = self.series.range((metric, Vec::new())..);
        let of_metric = of_metric.map(|((number, attributes), _)| (number, attributes));
        let of_metric = of_metric.take_while(move |(number, _)| **number == metric);
        let all = of_metric.map(|(_, attributes)| attributes);
        all.filter(move |attributes| attributes.starts_with(scope))
    }

    pub(super) fn add(&mut self, metric: usize, attributes: Attributes, more: &Amount, span: Span) {
        let is_delta = self.is_delta(metric);
        let series = self.series.entry((metric, attributes));
        let series = series.or_insert_with(|| Series {
            start: span.start,
            is_known: false,
            total: more.zero().unwrap_or_else(|| more.clone()),
            later: None,
            at: span.end,
        });
        if is_delta {
            series.add_delta(more, span, self.telling);
        } else {
            series.total.add(more);
        }
        series.at = span.end;
    }

    /// From now on it is being told.
    pub(super) fn begin_telling(&mut self, now: u64) {
        self.telling = Some(now);
        for series in self.series.values_mut() {
            if let Some(later) = series.later.take() {
                series.total.add(&later);
            }
        }
    }

    /// Whether a receiver knows of it, or may.
    pub(super) fn was_told(&self) -> bool {
        self.telling.is_some() || self.series.values().any(|series| series.is_known)
    }

    /// Whether it is to be told now.
    pub fn is_due(&self, now: u64) -> bool {
        self.has_something_to_tell() && (self.life != Life::Alive || self.held_until <= now)
    }

    /// Whether any series says something.
    pub(super) fn has_something_to_tell(&self) -> bool {
        self.told().next().is_some()
    }

    /// Those of its series that say something, in the order of metrics. A delta of nothing does not:
    /// each stands for its own time, so none of them has to begin at 0 or to end.
    pub fn told(&self) -> impl Iterator<Item = (usize, &Attributes, &Series)> {
        let says_something =
            |metric: usize, series: &Series| !self.is_delta(metric) || !series.total.is_nothing();
        let series = self.series();
        series.filter(move |(metric, _, series)| says_something(*metric, series))
    }

    /// Series in the order of metrics.
    pub fn series(&self) -> impl ExactSizeIterator<Item = (usize, &Attributes, &Series)> {
        let series = self.series.iter();
        series.map(|((metric, attributes), series)| (*metric, attributes, series))
    }

    /// Takes note of what arrived; whether nothing is left to tell, ever.
    pub(super) fn taken(&mut self, told: Told) -> bool {
        let of_deltas = self.telling.take_if(|telling| *telling == told.now);
        for ((metric, _), series) in &mut self.series {
            if series.start >= told.now {
                continue;
            }
            series.is_known = true;
            if of_deltas.is_some() && METRICS[*metric].kind.is_delta(self.temporality) {
                series.begin_anew(told.now);
            }
        }
        // It may have been there again since, and have gone again.
        let is_of_this_life = told.now >= self.last;
        if told.life != self.life || !is_of_this_life {
            return false;
        }
        match self.life {
            Life::Alive => false,
            Life::Ending => {
                self.life = Life::Stale;
                !self.has_something_to_tell()
            }
            Life::Stale => true,
        }
    }
}
