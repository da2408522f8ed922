//! Block I/O of an entity, by device and operation.

use std::collections::BTreeSet;

use crate::{
    model::{
        Model, Resource,
        disk::{DiskCause, DiskUsage, on_device},
        histogram::Histogram,
    },
    otlp::{
        amount::Amount,
        measure::Of,
        registry::{CAUSE, DEVICE, OPERATION, Points},
    },
    sample::disk::DeviceId,
};

pub(crate) fn operations(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| Some(Amount::Count(usage.requests)));
}

pub(crate) fn bytes(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| Some(Amount::Count(usage.bytes)));
}

pub(crate) fn errors(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| Some(Amount::Count(usage.errors)));
}

pub(crate) fn total(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| {
        let whole = usage.queue_ns().zip(usage.device_ns());
        let whole = whole.map(|(queue, device)| queue.saturating_add(device));
        // Of requests whose issue is not known the sum has no parts.
        let sum = whole.filter(|_| usage.unissued == 0 && usage.untimed == 0);
        histogram(usage.total.as_ref(), sum)
    });
}

pub(crate) fn queue(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| {
        histogram(usage.queue.as_ref(), usage.queue_ns())
    });
}

pub(crate) fn device(of: &Of<'_>, points: &mut Points) {
    by_operation(of, points, |usage| {
        histogram(usage.device.as_ref(), usage.device_ns())
    });
}

pub(crate) fn wait(of: &Of<'_>, points: &mut Points) {
    let uses = of.row.disk.as_deref().unwrap_or_default();
    for device in devices(of) {
        let Some(usage) = on_device(uses, device) else {
            continue;
        };
        for cause in DiskCause::ALL {
            let attributes = vec![
                (DEVICE, name(of.model, device)),
                (CAUSE, cause.name().to_owned()),
            ];
            points.push((attributes, Amount::Ns(usage.wait.get(cause))));
        }
    }
}

pub(crate) fn interference(of: &Of<'_>, points: &mut Points) {
    for device in devices(of) {
        for (culprit, amount) in of.culprits(Resource::Disk(device)) {
            let mut attributes = vec![(DEVICE, name(of.model, device))];
            attributes.extend(culprit);
            points.push((attributes, amount));
        }
    }
}

fn by_operation(of: &Of<'_>, points: &mut Points, amount: fn(&DiskUsage) -> Option<Amount>) {
    for part in of.row.disk.iter().flatten() {
        if let Some(amount) = part.usage.as_ref().and_then(amount) {
            let device = (DEVICE, name(of.model, part.device));
            let operation = (OPERATION, part.operation.name().to_owned());
            points.push((vec![device, operation], amount));
        }
    }
}

fn histogram(counts: Option<&Histogram>, sum: Option<u64>) -> Option<Amount> {
    counts.map(|counts| Amount::Histogram(counts.counts().clone(), sum))
}

fn devices(of: &Of<'_>) -> BTreeSet<DeviceId> {
    let uses = of.row.disk.iter().flatten();
    uses.map(|part| part.device).collect()
}

fn name(model: &Model, id: DeviceId) -> String {
    let disks = model.disks.as_ref();
    let device = disks.and_then(|disks| disks.devices.get(&id));
    device.map_or_else(|| id.to_string(), |part| part.device.name.clone())
}
