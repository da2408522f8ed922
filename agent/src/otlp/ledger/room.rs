//! How many series there may still be. What everybody has is refused last: all else has a room of its
//! own, and in it culprits and histograms have theirs, so that none of them takes all of it.

use super::{Limits, entity::Entity};
use crate::otlp::registry::{CAUSE, Kind, METRICS, Metric, Source, Tier};

/// Series of a node that nobody has to be afraid of, in times of [`Limits::details`].
const NODE: usize = 3;

/// The agent's and the host's come last in the first interval.
const OWN: usize = 60;

/// What a series is, by what it costs and how much it is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Of everybody.
    Essential,
    /// Of those who lost time.
    Detail,
    /// … and by whom.
    Interference,
}

impl Class {
    pub(super) fn of(metric: &Metric) -> Class {
        match (metric.tier, metric.source) {
            (_, Source::Culprits(_)) => Class::Interference,
            (Tier::Affected | Tier::Extra, Source::Entity(_) | Source::Both(..)) => Class::Detail,
            _ => Class::Essential,
        }
    }
}

/// Series that there are, and how many there may be.
#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    essential: usize,
    /// Interference left out.
    details: usize,
    interference: usize,
    /// Among the details.
    histograms: usize,
}

impl Room {
    pub(super) fn beside<'a>(entities: impl Iterator<Item = &'a Entity>, limits: Limits) -> Room {
        let mut room = Room {
            limits,
            essential: 0,
            details: 0,
            interference: 0,
            histograms: 0,
        };
        for (metric, ..) in entities.flat_map(Entity::series) {
            room.note(&METRICS[metric]);
        }
        room
    }

    /// There is one more of this metric.
    pub(super) fn note(&mut self, metric: &Metric) {
        match Class::of(metric) {
            Class::Essential => self.essential += 1,
            Class::Detail => self.details += 1,
            Class::Interference => self.interference += 1,
        }
        self.histograms += usize::from(metric.kind == Kind::Histogram);
    }

    /// How many more there may be of this metric.
    pub(super) fn left(&self, metric: &Metric) -> usize {
        let details = self.details + self.interference;
        let all = self.limits.series.saturating_sub(self.essential + details);
        let most = self.limits.details;
        let of_all_details = (NODE * most)
            .saturating_sub(self.essential + OWN)
            .clamp(most * 2 / 5, most)
            .saturating_sub(details);
        let own = match (Class::of(metric), metric.kind) {
            (Class::Essential, _) => return all,
            (Class::Interference, _) => (most / 2).saturating_sub(self.interference),
            (Class::Detail, Kind::Histogram) => {
                let histograms = (most / 12).saturating_sub(self.histograms);
                histograms.min((most * 2 / 3).saturating_sub(self.details))
            }
            (Class::Detail, _) => (most * 2 / 3).saturating_sub(self.details),
        };
        own.min(of_all_details).min(all)
    }
}

/// Whether series of a metric are parts of a whole: who has one has all of them.
pub(super) fn are_parts(metric: &Metric) -> bool {
    metric.attributes.contains(&CAUSE)
}
