//! Doubts about block I/O.

use crate::{
    model::{
        Model,
        disk::{DiskCause, Disks},
    },
    signal::{Doubt, Thresholds, doubt::matters},
};

pub(super) fn all(model: &Model, thresholds: &Thresholds) -> Vec<Doubt> {
    let Some(disks) = &model.disks else {
        return Vec::new();
    };
    let doubts = [
        sampled(disks),
        records_lost(disks, thresholds),
        unattributed(model, disks, thresholds),
        streams(disks),
    ];
    doubts.into_iter().flatten().collect()
}

fn sampled(disks: &Disks) -> Option<Doubt> {
    let sampled = disks.accounting.sampled;
    let pieces = 1u64.checked_shl(sampled).unwrap_or(u64::MAX);
    (sampled > 0).then_some(Doubt::DiskSampled(pieces))
}

fn records_lost(disks: &Disks, thresholds: &Thresholds) -> Option<Doubt> {
    let lost = disks.accounting.records_lost.filter(|lost| *lost > 0)? as f64;
    let requests = disks.accounting.accounted?.max(1) as f64;
    let part = (lost / requests).min(1.0);
    (part > thresholds.disk_records_doubt).then_some(Doubt::DiskRecordsLost(part))
}

fn unattributed(model: &Model, disks: &Disks, thresholds: &Thresholds) -> Option<Doubt> {
    let all = disks.total.as_ref()?;
    let part = all.part(DiskCause::Unattributed);
    let ns = all.wait.get(DiskCause::Unattributed) as f64;
    (part > thresholds.unattributed_doubt && matters(model, ns, thresholds))
        .then_some(Doubt::DiskUnattributed(part))
}

fn streams(disks: &Disks) -> Option<Doubt> {
    let [streams, devices] = [disks.accounting.other_streams, disks.accounting.no_device];
    let requests = streams.unwrap_or(0).saturating_add(devices.unwrap_or(0));
    (requests > 0).then_some(Doubt::DiskStreamsExhausted(requests))
}
