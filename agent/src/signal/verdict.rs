//! The interval in one word.

use std::collections::BTreeSet;

use crate::{
    model::Model,
    signal::{Hurt, Thresholds, doubt},
};

/// What the host did to its entities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Nobody was hurt by a neighbour.
    Calm,
    /// Some were.
    Hurts {
        /// Entities that were hurt, on any resource.
        hurt: usize,
        /// Entities that ran, waited or had requests.
        of: usize,
    },
    /// No answer: nothing was found, and too little was seen for that to mean anything.
    CannotTell(Blindness),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Blindness {
    /// None of the entities asked for exists.
    NobodyThere,
    /// The interval has no length.
    NoInterval,
    /// Not one switch between tasks was accounted.
    NothingSeen,
    /// Only this part of the kernel's own run-queue delay was accounted.
    Coverage(f64),
    /// This part of all waits has no cause.
    Unattributed(f64),
}

pub(super) fn of(model: &Model, thresholds: &Thresholds, hurt: &[Hurt], active: usize) -> Verdict {
    if model.length.is_zero() {
        return Verdict::CannotTell(Blindness::NoInterval);
    }
    if model.accounting.accounted.is_none_or(|events| events == 0) {
        return Verdict::CannotTell(Blindness::NothingSeen);
    }
    // Harm that was found is real, however much else was missed.
    let counted = hurt.iter().filter(|hurt| !hurt.is_information());
    let entities: BTreeSet<usize> = counted.map(|hurt| hurt.row).collect();
    if !entities.is_empty() {
        return Verdict::Hurts {
            hurt: entities.len(),
            of: active,
        };
    }
    blindness(model, thresholds).map_or(Verdict::Calm, Verdict::CannotTell)
}

fn blindness(model: &Model, thresholds: &Thresholds) -> Option<Blindness> {
    let coverage = doubt::coverage(model, thresholds.coverage_blind, thresholds);
    let unattributed = doubt::unattributed(model, thresholds.unattributed_blind, thresholds);
    coverage
        .map(Blindness::Coverage)
        .or(unattributed.map(Blindness::Unattributed))
}
