//! Run time against contracts: what weight, quota and CPU set entitle to, or what is requested
//! where that is more.

use crate::model::{Model, Row};

/// Run time as a ratio of the contract; `None` where either is unknown.
pub fn over_contract(row: &Row) -> Option<f64> {
    let contract = row.contract_s.filter(|contract| *contract > 0.0)?;
    Some(row.usage.as_ref()?.run_ns as f64 / 1e9 / contract)
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
        sum += row.contract_s?;
    }
    Some(sum > model.host.capacity_s()? * ROUNDING)
}

fn competes(model: &Model, row: &Row) -> bool {
    let demand = super::judged(row).map_or(0, |u| u.run_ns.saturating_add(u.wait.contention()));
    model
        .cpus(demand)
        .is_some_and(|cpus| cpus >= crate::model::ACTIVE_CPUS)
}
