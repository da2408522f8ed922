//! Who is hurt in one interval, by whom, and whether that can be told at all.
//!
//! Pure: no IO, no clock, no output format. Entities are judged, since only the roll-up tells a
//! neighbour from a part of oneself.

mod contract;
#[cfg(test)]
mod disk_tests;
mod doubt;
pub mod episodes;
mod hurt;
mod loss;
mod note;
#[cfg(test)]
mod relation_tests;
#[cfg(test)]
mod tests;
mod thresholds;
mod verdict;

pub use contract::{Ratios, over_contract};
pub use doubt::Doubt;
pub use hurt::{Class, Culprit, Culprits, Hurt};
pub use loss::Loss;
pub use note::{Note, OwnCause};
pub use thresholds::Thresholds;
pub use verdict::{Blindness, Verdict};

use crate::model::{Kind, Model, Row, Usage, disk::DiskUse};

/// What one interval says. Rows are indexes into [`Model::entities`].
#[derive(Clone, Debug, PartialEq)]
pub struct Signals {
    /// In one word.
    pub verdict: Verdict,
    /// Entities that neighbours hurt, once for each resource; those that the verdict counts first,
    /// then the worst first.
    pub hurt: Vec<Hurt>,
    /// Losses that no neighbour caused, the worst first.
    pub notes: Vec<Note>,
    /// What makes the account less certain.
    pub doubts: Vec<Doubt>,
    /// Entities that ran, waited or had requests.
    pub active: usize,
    /// How much of their contracts all entities used, by which it was judged.
    pub over: Ratios,
}

impl Signals {
    /// Judges one interval.
    pub fn detect(model: &Model, thresholds: &Thresholds) -> Signals {
        Signals::detect_among(model, thresholds, &|_| true)
    }

    /// The same by other ratios of run time and contract than those of this very interval.
    pub fn detect_by(over: Ratios, model: &Model, thresholds: &Thresholds) -> Signals {
        Signals::detect_all(over, model, thresholds, &|_| true)
    }

    /// Judges only what happened to some of the rows; anybody may have done it.
    pub fn detect_among(
        model: &Model,
        thresholds: &Thresholds,
        among: &dyn Fn(&Row) -> bool,
    ) -> Signals {
        Signals::detect_all(Ratios::of(model), model, thresholds, among)
    }

    fn detect_all(
        over: Ratios,
        model: &Model,
        thresholds: &Thresholds,
        among: &dyn Fn(&Row) -> bool,
    ) -> Signals {
        let rows = &model.entities.rows;
        let asked = || rows.iter().filter(|row| among(row));
        let mut hurt = hurt::all(model, thresholds, &over);
        hurt.retain(|hurt| among(&rows[hurt.row]));
        let mut notes = note::all(model, thresholds);
        notes.retain(|note| among(&rows[note.row]));
        let active = asked().filter(|row| is_active(row)).count();
        let verdict = if asked().next().is_none() && !rows.is_empty() {
            Verdict::CannotTell(Blindness::NobodyThere)
        } else {
            verdict::of(model, thresholds, &hurt, active)
        };
        Signals {
            verdict,
            hurt,
            notes,
            doubts: doubt::all(model, thresholds),
            active,
            over,
        }
    }

    /// What the verdict counts, worst first.
    pub fn counted(&self) -> impl Iterator<Item = &Hurt> {
        self.hurt.iter().filter(|hurt| !hurt.is_information())
    }
}

/// Kernel threads, devices and cgroups without a name are nobody's service: they are not judged.
pub fn is_judged(row: &Row) -> bool {
    !matches!(row.kind, Kind::Kernel | Kind::Device | Kind::Other)
}

fn judged(row: &Row) -> Option<&Usage> {
    row.usage.as_ref().filter(|_| is_judged(row))
}

fn judged_disk(row: &Row) -> &[DiskUse] {
    let uses = row.disk.as_deref().filter(|_| is_judged(row));
    uses.unwrap_or_default()
}

fn is_active(row: &Row) -> bool {
    let waiting = row.waiting.is_some_and(|now| now.tasks > 0);
    judged(row).is_some_and(|usage| usage.is_active() || waiting) || !judged_disk(row).is_empty()
}
