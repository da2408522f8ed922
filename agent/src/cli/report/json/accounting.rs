use std::collections::BTreeMap;

use agent_ebpf::{
    budget::Detail,
    layout::{Drop, Reason},
};
use serde::Serialize;

use crate::{
    cli::report::json::{finite, seconds},
    model::{Model, disk::DiskAccounting},
};

/// How complete the account is.
#[derive(Serialize)]
pub(super) struct Accounting {
    switches_seen: Option<u64>,
    switches_accounted: Option<u64>,
    dropped: BTreeMap<&'static str, Option<u64>>,
    discarded_phantom_s: f64,
    phantoms: Option<u64>,
    coverage: Option<f64>,
    wait_s: f64,
    unattributed_s: f64,
    unattributed_by_reason_s: BTreeMap<&'static str, Option<f64>>,
    estimated_share: Option<f64>,
    pairs_full_s: Option<f64>,
    slots_exhausted: Option<u64>,
    baselines_lost: Option<u64>,
    moved_lost: Option<u64>,
    tracks_lost: Option<u64>,
    names_lost: Option<u64>,
    unplaced_s: Option<f64>,
    missed: Option<u64>,
    recursion_misses: Option<u64>,
    cost_per_switch_ns: Option<f64>,
    detail: &'static str,
    disk: Option<Disk>,
}

/// How complete the account of requests is.
#[derive(Serialize)]
struct Disk {
    seen: Option<u64>,
    accounted: Option<u64>,
    dropped: DiskDropped,
    other_streams: Option<u64>,
    records_lost: Option<u64>,
    sampled: u32,
    recursion_misses: Option<u64>,
}

#[derive(Serialize)]
struct DiskDropped {
    partial: Option<u64>,
    not_io: Option<u64>,
    no_device: Option<u64>,
}

pub(super) fn of(model: &Model) -> Accounting {
    let accounting = &model.accounting;
    let disks = model.disks.as_ref();
    let dropped = Drop::ALL.into_iter().zip(accounting.dropped);
    let reasons = Reason::ALL.into_iter().zip(accounting.reasons_ns);
    Accounting {
        switches_seen: accounting.seen,
        switches_accounted: accounting.accounted,
        dropped: dropped.map(|(why, count)| (why.name(), count)).collect(),
        discarded_phantom_s: seconds(accounting.phantom_ns),
        phantoms: accounting.phantoms,
        coverage: accounting.coverage().and_then(finite),
        wait_s: seconds(accounting.wait_ns),
        unattributed_s: seconds(accounting.unattributed_ns),
        unattributed_by_reason_s: reasons
            .map(|(reason, ns)| (reason.name(), ns.map(seconds)))
            .collect(),
        estimated_share: accounting.estimated_share().and_then(finite),
        pairs_full_s: accounting.pairs_full_ns.map(seconds),
        slots_exhausted: accounting.slots_exhausted,
        baselines_lost: accounting.baselines_lost,
        moved_lost: accounting.moved_lost,
        tracks_lost: accounting.tracks_lost,
        names_lost: accounting.names_lost,
        unplaced_s: accounting.unplaced_ns.map(seconds),
        missed: accounting.missed,
        recursion_misses: accounting.recursion_misses,
        cost_per_switch_ns: accounting.cost_per_switch_ns().and_then(finite),
        detail: match accounting.detail {
            Detail::Full => "full",
            Detail::Short => "short",
            Detail::Totals => "totals",
        },
        disk: disks.map(|disks| disk(&disks.accounting)),
    }
}

fn disk(accounting: &DiskAccounting) -> Disk {
    Disk {
        seen: accounting.seen,
        accounted: accounting.accounted,
        dropped: DiskDropped {
            partial: accounting.partial,
            not_io: accounting.not_io,
            no_device: accounting.no_device,
        },
        other_streams: accounting.other_streams,
        records_lost: accounting.records_lost,
        sampled: accounting.sampled,
        recursion_misses: accounting.recursion_misses,
    }
}
