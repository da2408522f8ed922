//! What makes the account of an interval less certain.

mod disk;

use agent_ebpf::budget::Detail;

use crate::{
    model::{Key, Model, Resource},
    signal::Thresholds,
};

/// A reason to trust an interval less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// Only this part of the kernel's own run-queue delay was accounted.
    Coverage(f64),
    /// This part of all waits has no cause.
    Unattributed(f64),
    /// The culprits of this part of all blame have no name.
    Unnamed(f64),
    /// The programs stepped down to cheaper accounting.
    SteppedDown(Detail),
    /// So many switches went to cgroups that found no place in the maps.
    SlotsExhausted(u64),
    /// Interrupts took this part of the CPUs, and sit with whoever they interrupted.
    Interrupts(f64),
    /// Where the time of requests went was observed in one of so many pieces of time.
    DiskSampled(u64),
    /// … and of this part of the requests it was lost.
    DiskRecordsLost(f64),
    /// This part of all time of requests has no cause.
    DiskUnattributed(f64),
    /// So many requests were of streams or devices that found no place in the maps.
    DiskStreamsExhausted(u64),
}

pub(super) fn all(model: &Model, thresholds: &Thresholds) -> Vec<Doubt> {
    let accounting = &model.accounting;
    let stepped_down = Some(accounting.detail).filter(|detail| *detail != Detail::Full);
    [
        coverage(model, thresholds.coverage_doubt, thresholds).map(Doubt::Coverage),
        unattributed(model, thresholds.unattributed_doubt, thresholds).map(Doubt::Unattributed),
        unnamed(model, thresholds).map(Doubt::Unnamed),
        stepped_down.map(Doubt::SteppedDown),
        accounting
            .slots_exhausted
            .filter(|switches| *switches > 0)
            .map(Doubt::SlotsExhausted),
        interrupts(model, thresholds).map(Doubt::Interrupts),
    ]
    .into_iter()
    .flatten()
    .chain(disk::all(model, thresholds))
    .collect()
}

/// Coverage below a limit, when what is missing matters.
pub(super) fn coverage(model: &Model, limit: f64, thresholds: &Thresholds) -> Option<f64> {
    let accounting = &model.accounting;
    let ours = accounting.wait_ns.saturating_add(accounting.phantom_ns) as f64;
    let coverage = accounting.coverage().filter(|coverage| *coverage < limit)?;
    // Nothing accounted of something is no coverage, however short the waits.
    let missing_ns = if coverage > 0.0 {
        ours / coverage - ours
    } else {
        f64::INFINITY
    };
    matters(model, missing_ns, thresholds).then_some(coverage)
}

/// Waits without a cause above a limit, when they matter.
pub(super) fn unattributed(model: &Model, limit: f64, thresholds: &Thresholds) -> Option<f64> {
    let share = model.accounting.unattributed_share()?;
    let ns = model.accounting.unattributed_ns as f64;
    (share > limit && matters(model, ns, thresholds)).then_some(share)
}

fn unnamed(model: &Model, thresholds: &Thresholds) -> Option<f64> {
    let table = &model.entities;
    let (mut unnamed, mut all) = (0u64, 0u64);
    for blame in table.blame.iter().filter(|b| b.resource == Resource::Cpu) {
        all = all.saturating_add(blame.ns);
        if table.rows[blame.culprit].key == Key::Other {
            unnamed = unnamed.saturating_add(blame.ns);
        }
    }
    let share = unnamed as f64 / all.max(1) as f64;
    (share > thresholds.unnamed_doubt && matters(model, unnamed as f64, thresholds))
        .then_some(share)
}

fn interrupts(model: &Model, thresholds: &Thresholds) -> Option<f64> {
    if model.abilities.irq {
        return None;
    }
    let share = model.host.stat_irq_ns? as f64 / 1e9 / model.host.capacity_s()?;
    (share > thresholds.interrupts_doubt).then_some(share)
}

fn matters(model: &Model, ns: f64, thresholds: &Thresholds) -> bool {
    ns >= thresholds.doubt_cpus * model.seconds() * 1e9
}
