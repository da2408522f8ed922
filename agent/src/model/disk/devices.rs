//! Devices, all their owners together, and how complete the account is.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    model::disk::{busy::busy, streams::Streams, usage::DiskUsage},
    sample::disk::{Device, DeviceId, Disk, DiskHealth},
};

/// Block I/O of the host in an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Disks {
    /// Devices that had requests since the attachment.
    pub devices: BTreeMap<DeviceId, DeviceUse>,
    /// All of them together, without those that are stacked; `None` when one is not known.
    pub total: Option<DiskUsage>,
    /// How complete the account is.
    pub accounting: DiskAccounting,
}

/// What a device did for all its owners.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceUse {
    /// What it is.
    pub device: Device,
    /// What it did; `None` when a counter went backwards.
    pub usage: Option<DiskUsage>,
    /// Time in which it had requests in flight, by the kernel's count; `None` where there is none.
    pub busy: Option<Duration>,
}

impl DeviceUse {
    /// The part of an interval of this length in which it had requests in flight, 0 to 1. Busy is not
    /// full: most devices serve several requests at a time.
    pub fn busy_share(&self, length: Duration) -> Option<f64> {
        let busy = self.busy.filter(|_| !length.is_zero())?;
        Some((busy.as_secs_f64() / length.as_secs_f64()).min(1.0))
    }
}

/// How complete the account of requests is. A counter that went backwards is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskAccounting {
    /// Completions that the program saw.
    pub seen: Option<u64>,
    /// Of these, accounted.
    pub accounted: Option<u64>,
    /// Of these, not the end of a request.
    pub partial: Option<u64>,
    /// Of these, commands of drivers and operations on zones.
    pub not_io: Option<u64>,
    /// Of these, of devices without a place in the maps.
    pub no_device: Option<u64>,
    /// Of these accounted, those whose stream found no place.
    pub other_streams: Option<u64>,
    /// Records of requests that were not written or overwritten before they were read.
    pub records_lost: Option<u64>,
    /// Every 2^k-th piece of time was observed in detail at the end, of several intervals where
    /// it was least: 0 is all of it.
    pub sampled: u32,
    /// Completions that the kernel kept from the program.
    pub recursion_misses: Option<u64>,
}

impl Disks {
    pub(in crate::model) fn between(before: &Disk, after: &Disk, streams: &Streams) -> Disks {
        let mut devices: BTreeMap<DeviceId, DeviceUse> = BTreeMap::new();
        for (id, device) in before.devices.iter().chain(&after.devices) {
            let device = DeviceUse {
                device: device.clone(),
                usage: Some(DiskUsage::default()),
                busy: None,
            };
            devices.insert(*id, device);
        }
        for (stream, usage) in &streams.usage {
            if let Some(device) = devices.get_mut(&stream.device) {
                add(&mut device.usage, usage.as_ref());
            }
        }
        let accounting = DiskAccounting::between(&before.health, &after.health);
        for (id, device) in &mut devices {
            let [first, last] = [before, after].map(|disk| disk.in_flight.get(id).copied());
            let usage = device.usage.as_ref();
            let usage = usage.filter(|usage| usage.untimed == 0 && accounting.saw_all());
            device.busy = busy(first, last, usage.and_then(DiskUsage::wait_ns));
        }
        let mut total = Some(DiskUsage::default());
        for device in devices.values().filter(|device| !device.device.stacked) {
            add(&mut total, device.usage.as_ref());
        }
        Disks {
            devices,
            total,
            accounting,
        }
    }

    /// Adds the interval that follows. A device that only one of them has did nothing in the other.
    pub(in crate::model) fn append(&mut self, next: &Disks) {
        for (id, device) in &next.devices {
            match self.devices.get_mut(id) {
                Some(known) => {
                    add(&mut known.usage, device.usage.as_ref());
                    let busy = known.busy.zip(device.busy);
                    known.busy = busy.map(|(one, other)| one.saturating_add(other));
                    known.device = device.device.clone();
                }
                None => {
                    self.devices.insert(*id, device.clone());
                }
            }
        }
        add(&mut self.total, next.total.as_ref());
        self.accounting.append(&next.accounting);
    }

    /// The kernel's name of a device, its number where it has none.
    pub fn name(&self, id: DeviceId) -> String {
        let device = self.devices.get(&id);
        device.map_or_else(|| id.to_string(), |device| device.device.name.clone())
    }

    /// Whether a device's requests become requests of other devices.
    pub fn is_stacked(&self, id: DeviceId) -> bool {
        let device = self.devices.get(&id);
        device.is_some_and(|device| device.device.stacked)
    }
}

impl DiskAccounting {
    /// Whether the kernel kept no completion from the program, as far as it counts that.
    fn saw_all(&self) -> bool {
        self.recursion_misses.is_none_or(|misses| misses == 0)
    }

    fn append(&mut self, next: &DiskAccounting) {
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            *sum = sum.zip(more).map(|(sum, more)| sum.saturating_add(more));
        };
        add(&mut self.seen, next.seen);
        add(&mut self.accounted, next.accounted);
        add(&mut self.partial, next.partial);
        add(&mut self.not_io, next.not_io);
        add(&mut self.no_device, next.no_device);
        add(&mut self.other_streams, next.other_streams);
        add(&mut self.records_lost, next.records_lost);
        self.sampled = self.sampled.max(next.sampled);
        add(&mut self.recursion_misses, next.recursion_misses);
    }

    fn between(before: &DiskHealth, after: &DiskHealth) -> DiskAccounting {
        let since = |field: fn(&DiskHealth) -> u64| field(after).checked_sub(field(before));
        DiskAccounting {
            seen: since(|health| health.seen),
            accounted: since(|health| health.accounted),
            partial: since(|health| health.partial),
            not_io: since(|health| health.not_io),
            no_device: since(|health| health.no_device),
            other_streams: since(|health| health.other_streams),
            records_lost: since(|health| health.records_lost),
            sampled: after.sampled,
            recursion_misses: after
                .recursion_misses
                .zip(before.recursion_misses)
                .and_then(|(after, before)| after.checked_sub(before)),
        }
    }
}

/// What is unknown of a part is unknown of the sum.
pub(super) fn add(sum: &mut Option<DiskUsage>, part: Option<&DiskUsage>) {
    *sum = sum.take().zip(part).map(|(mut sum, part)| {
        sum.add(part);
        sum
    });
}
