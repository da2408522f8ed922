//! Slow disks, and limits on them.

use std::collections::BTreeSet;

use crate::{
    model::{
        Model, Row,
        disk::{DiskCause, DiskUsage, DiskUse, Disks, on_device},
    },
    sample::disk::DeviceId,
    signal::{Note, OwnCause, Thresholds, is_judged, judged_disk},
};

pub(super) fn all(model: &Model, thresholds: &Thresholds) -> Vec<Note> {
    let Some(disks) = &model.disks else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    for (index, row) in model.entities.rows.iter().enumerate() {
        let uses = judged_disk(row);
        let devices: BTreeSet<DeviceId> = uses.iter().map(|part| part.device).collect();
        let slow = |device| slow_disk(model, thresholds, (index, uses), device);
        let below = devices
            .into_iter()
            .filter(|device| !disks.is_stacked(*device));
        notes.extend(below.filter_map(slow));
        notes.extend(io_limit(model, thresholds, disks, (index, row)));
    }
    notes
}

fn slow_disk(
    model: &Model,
    thresholds: &Thresholds,
    (row, uses): (usize, &[DiskUse]),
    device: DeviceId,
) -> Option<Note> {
    let all = on_device(uses, device)?;
    let lost_ns = all.wait.get(DiskCause::Device);
    let lost_share = all.part(DiskCause::Device);
    let is_slow = lost_share >= thresholds.note_device_share
        && of_interval(model, lost_ns) >= thresholds.note_device_rate
        && p99(&all).is_some_and(|p99| p99 >= thresholds.objective_s);
    is_slow.then_some(Note {
        row,
        cause: OwnCause::Device(device),
        lost_ns,
        lost_share,
    })
}

fn p99(usage: &DiskUsage) -> Option<f64> {
    usage.lengths()?.quantile(0.99)
}

/// Tasks waited for I/O that is limited, and their requests do not explain it.
fn io_limit(
    model: &Model,
    thresholds: &Thresholds,
    disks: &Disks,
    (index, row): (usize, &Row),
) -> Option<Note> {
    let io = row.io.filter(|_| is_judged(row))?;
    let waited = u64::try_from(io.pressure?.some.as_nanos()).unwrap_or(u64::MAX);
    let explained = judged_disk(row)
        .iter()
        .filter(|part| !disks.is_stacked(part.device))
        .filter_map(|part| part.usage.as_ref())
        .fold(0, |sum: u64, usage| sum.saturating_add(usage.wait.total()));
    let lost_ns = waited.saturating_sub(explained);
    let is_hint = io.limited == Some(true)
        && of_interval(model, waited) >= thresholds.note_io_limit_pressure
        && explained as f64 <= waited as f64 * thresholds.note_io_limit_explained;
    is_hint.then(|| Note {
        row: index,
        cause: OwnCause::IoLimit,
        lost_ns,
        lost_share: of_interval(model, lost_ns).min(1.0),
    })
}

fn of_interval(model: &Model, ns: u64) -> f64 {
    ns as f64 / model.length.as_nanos().max(1) as f64
}
