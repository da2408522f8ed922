//! Run time against contracts: what weight, quota and CPU set entitle to, or what is requested
//! where that is more.

mod recent;

use crate::model::{Model, Row};

pub(super) use recent::Recent;

/// Run time of each row of a model as a ratio of its contract.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ratios(Vec<Option<f64>>);

impl Ratios {
    /// In the interval of the model.
    pub(super) fn of(model: &Model) -> Ratios {
        Ratios(model.entities.rows.iter().map(over_contract).collect())
    }

    /// That of a row; `None` where either is unknown.
    pub fn get(&self, row: usize) -> Option<f64> {
        self.0.get(row).copied().flatten()
    }
}

/// Run time as a ratio of the contract; `None` where either is unknown.
pub fn over_contract(row: &Row) -> Option<f64> {
    let (run_s, contract_s) = used(row)?;
    (contract_s > 0.0).then(|| run_s / contract_s)
}

/// Run time and contract, seconds.
fn used(row: &Row) -> Option<(f64, f64)> {
    let run_ns = row.usage.as_ref()?.run_ns;
    Some((run_ns as f64 / 1e9, row.contract_s?))
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
