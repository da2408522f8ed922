//! Block I/O: of rows, and of devices.

use std::time::Duration;

use serde::Serialize;

use crate::{
    cli::report::{
        findings::Findings,
        json::{
            rows::{Delay, delay},
            seconds,
        },
    },
    model::{
        Row,
        disk::{self, DeviceUse, DiskCause, DiskUsage, IoUse},
    },
    sample::{
        disk::{DeviceId, IoStat, Timing},
        pressure::Stalled,
    },
};

/// What a row did on one device with one operation.
#[derive(Serialize)]
pub(super) struct DiskUse {
    device: String,
    operation: &'static str,
    requests: Option<u64>,
    bytes: Option<u64>,
    errors: Option<u64>,
    untimed: Option<u64>,
    unissued: Option<u64>,
    wait_s: Option<f64>,
    queue_s: Option<f64>,
    device_time_s: Option<f64>,
    queue: Delay,
    device_time: Delay,
    total: Delay,
    wait_by_cause_s: ByCause,
}

/// By the names of [`DiskCause`].
#[derive(Serialize)]
struct ByCause {
    neighbor: Option<f64>,
    #[serde(rename = "self")]
    own: Option<f64>,
    device: Option<f64>,
    held: Option<f64>,
    unattributed: Option<f64>,
}

/// The kernel's own figures.
#[derive(Serialize)]
pub(super) struct Io {
    stat: Option<Stat>,
    pressure: Option<Pressure>,
    limited: Option<bool>,
}

#[derive(Serialize)]
struct Stat {
    read_bytes: u64,
    write_bytes: u64,
    reads: u64,
    writes: u64,
}

#[derive(Serialize)]
struct Pressure {
    some_s: f64,
    full_s: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct Device<'a> {
    #[serde(rename = "device")]
    name: &'a str,
    label: Option<&'a str>,
    number: String,
    stacked: bool,
    timing: &'static str,
    requests: Option<u64>,
    bytes: Option<u64>,
    wait_s: Option<f64>,
    errors: Option<u64>,
    busy_s: Option<f64>,
}

pub(super) fn uses(findings: &Findings, row: &Row) -> Option<Vec<DiskUse>> {
    let uses = row.disk.as_ref()?.iter();
    Some(uses.map(|part| of(findings, part)).collect())
}

fn of(findings: &Findings, part: &disk::DiskUse) -> DiskUse {
    let usage = part.usage.as_ref();
    let count = |field: fn(&DiskUsage) -> u64| usage.map(field);
    let time = |field: fn(&DiskUsage) -> Option<u64>| usage.and_then(field).map(seconds);
    DiskUse {
        device: name(findings, part.device),
        operation: part.operation.name(),
        requests: count(|usage| usage.requests),
        bytes: count(|usage| usage.bytes),
        errors: count(|usage| usage.errors),
        untimed: count(|usage| usage.untimed),
        unissued: count(|usage| usage.unissued),
        wait_s: time(DiskUsage::wait_ns),
        queue_s: time(DiskUsage::queue_ns),
        device_time_s: time(DiskUsage::device_ns),
        queue: delay(usage.and_then(|usage| usage.queue.as_ref())),
        device_time: delay(usage.and_then(|usage| usage.device.as_ref())),
        total: delay(usage.and_then(|usage| usage.total.as_ref())),
        wait_by_cause_s: by_cause(usage),
    }
}

/// Of what is not known, no cause is.
fn by_cause(usage: Option<&DiskUsage>) -> ByCause {
    let usage = usage.filter(|usage| usage.wait_ns().is_some());
    let of = |cause| usage.map(|usage| seconds(usage.wait.get(cause)));
    ByCause {
        neighbor: of(DiskCause::Neighbor),
        own: of(DiskCause::SelfInflicted),
        device: of(DiskCause::Device),
        held: of(DiskCause::Held),
        unattributed: of(DiskCause::Unattributed),
    }
}

pub(super) fn io(io: &IoUse) -> Io {
    Io {
        stat: io.stat.map(stat),
        pressure: io.pressure.map(pressure),
        limited: io.limited,
    }
}

fn stat(stat: IoStat) -> Stat {
    Stat {
        read_bytes: stat.read_bytes,
        write_bytes: stat.write_bytes,
        reads: stat.reads,
        writes: stat.writes,
    }
}

fn pressure(pressure: Stalled) -> Pressure {
    Pressure {
        some_s: Duration::as_secs_f64(&pressure.some),
        full_s: pressure.full.map(|full| full.as_secs_f64()),
    }
}

/// The kernel's name of a device.
pub(super) fn name(findings: &Findings, device: DeviceId) -> String {
    let disks = findings.model.disks.as_ref();
    disks.map_or_else(|| device.to_string(), |disks| disks.name(device))
}

pub(super) fn devices(findings: &Findings) -> Option<Vec<Device<'_>>> {
    let devices = findings.model.disks.as_ref()?.devices.iter();
    Some(
        devices
            .map(|(id, device)| self::device(*id, device))
            .collect(),
    )
}

fn device(id: DeviceId, used: &DeviceUse) -> Device<'_> {
    let usage = used.usage.as_ref();
    Device {
        name: &used.device.name,
        label: used.device.label.as_deref(),
        number: id.to_string(),
        stacked: used.device.stacked,
        timing: match used.device.timing {
            Timing::Kernel => "kernel",
            Timing::Issues => "issues",
            Timing::TotalOnly => "total_only",
            Timing::DeviceOnly => "device_only",
            Timing::Nothing => "nothing",
        },
        requests: usage.map(|usage| usage.requests),
        bytes: usage.map(|usage| usage.bytes),
        wait_s: usage.and_then(DiskUsage::wait_ns).map(seconds),
        errors: usage.map(|usage| usage.errors),
        busy_s: used.busy.map(|busy| busy.as_secs_f64()),
    }
}
