//! Run time against what weight, quota and CPU set entitle to.

use crate::model::{Model, Row};

/// Run time as a ratio of the entitlement; `None` where either is unknown.
///
/// Requests of pods are not known here, so the contract is the fair share alone.
pub fn over_contract(row: &Row) -> Option<f64> {
    let entitled = row.entitled_s.filter(|entitled| *entitled > 0.0)?;
    Some(row.usage.as_ref()?.run_ns as f64 / 1e9 / entitled)
}

/// Whether the contracts of all active entities together exceed the host's capacity; `None`
/// where one is unknown.
pub(super) fn is_overcommitted(model: &Model) -> Option<bool> {
    // Contracts are quotients that should add up to the capacity: rounding is no overcommitment.
    const ROUNDING: f64 = 1.001;
    let mut sum = 0.0;
    for row in model
        .entities
        .rows
        .iter()
        .filter(|row| competes(model, row))
    {
        sum += row.entitled_s?;
    }
    Some(sum > model.host.capacity_s()? * ROUNDING)
}

fn competes(model: &Model, row: &Row) -> bool {
    let demand = super::judged(row).map_or(0, |u| u.run_ns.saturating_add(u.wait.contention()));
    model
        .cpus(demand)
        .is_some_and(|cpus| cpus >= crate::model::ACTIVE_CPUS)
}
