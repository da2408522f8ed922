//! Requests that were held up by requests of others.

use std::collections::BTreeSet;

use crate::{
    model::{
        Key, Model, Relation, Resource, Row,
        disk::{DiskCause, DiskUse, on_device},
        histogram::bucket_over,
    },
    sample::disk::DeviceId,
    signal::{
        Class, Hurt, Thresholds,
        hurt::{
            Judged, Over,
            culprits::{culprits, neighbors},
        },
        judged_disk,
    },
};

/// On each device. What is lost on a stacked device is mostly lost on those below it: it is told
/// only when nothing was lost there.
pub(super) fn hurt(judged: Judged<'_>, index: usize, row: &Row) -> Vec<Hurt> {
    let uses = judged_disk(row);
    let devices: BTreeSet<DeviceId> = uses.iter().map(|part| part.device).collect();
    let is_stacked = |device: &DeviceId| {
        let disks = judged.model.disks.as_ref();
        disks.is_some_and(|disks| disks.is_stacked(*device))
    };
    let (above, below): (Vec<_>, Vec<_>) = devices.into_iter().partition(is_stacked);
    let on = |device| on(judged, (index, uses), device);
    let hurt: Vec<Hurt> = below.into_iter().filter_map(on).collect();
    if hurt.is_empty() {
        return above.into_iter().filter_map(on).collect();
    }
    hurt
}

fn on(judged: Judged<'_>, (index, uses): (usize, &[DiskUse]), device: DeviceId) -> Option<Hurt> {
    let Judged {
        model, thresholds, ..
    } = judged;
    let all = on_device(uses, device)?;
    let lost_ns = all.wait.get(DiskCause::Neighbor);
    let rate = lost_ns as f64 / model.length.as_nanos().max(1) as f64;
    let lost_share = all.part(DiskCause::Neighbor);
    let is_hurt = rate >= thresholds.hurt_disk_rate
        && lost_share >= thresholds.hurt_disk_share
        && took_long(thresholds, uses, device);
    let resource = Resource::Disk(device);
    is_hurt.then(|| Hurt {
        row: index,
        resource,
        lost_ns,
        lost_share,
        starved: false,
        idle_elsewhere: false,
        class: class(model, thresholds, (index, resource), device),
        culprits: culprits(judged, (index, resource), lost_ns),
    })
}

/// Whether a request took longer than the objective, of an operation that others held up: a long
/// flush says nothing of reads.
fn took_long(thresholds: &Thresholds, uses: &[DiskUse], device: DeviceId) -> bool {
    let over = bucket_over(thresholds.objective_s);
    let on_device = uses.iter().filter(|part| part.device == device);
    on_device
        .filter_map(|part| part.usage.as_ref())
        .filter(|usage| usage.part(DiskCause::Neighbor) >= thresholds.hurt_disk_share)
        .any(|usage| {
            let took = usage.lengths();
            took.is_some_and(|took| took.count_from(over) > 0)
        })
}

/// Weights of disks are not read, so victim and culprits count as equals: who of them had requests
/// in service for longer. `None` where that is about the same.
fn class(
    model: &Model,
    thresholds: &Thresholds,
    (victim, resource): (usize, Resource),
    device: DeviceId,
) -> Option<Class> {
    let in_service = |row: usize| {
        let uses = model.entities.rows[row].disk.as_deref()?;
        on_device(uses, device)?.device_ns()
    };
    let own = in_service(victim)? as f64;
    let rows = &model.entities.rows;
    let (mut most, mut over) = (None::<u64>, Over::default());
    for blame in neighbors(model, victim, resource) {
        let culprit = &rows[blame.culprit];
        let Some(served) = in_service(blame.culprit).filter(|_| culprit.key != Key::Other) else {
            continue;
        };
        most = most.max(Some(served));
        if served as f64 > own * thresholds.over_contract {
            over.add(Relation::between(&rows[victim], culprit), blame.ns);
        }
    }
    let most = most? as f64;
    if most > own * thresholds.over_contract {
        return Some(over.class());
    }
    (own > most * thresholds.over_contract).then_some(Class::OverRequest)
}
