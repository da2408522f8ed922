//! What could not be observed, with reasons.

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        Accounting,
        disk::{DiskParts, DiskUsage},
        names::{Member, Names},
        rollup::Parts,
    },
    sample::{Sample, disk::Timing},
};

/// A value that is `None`, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Its name in the JSON report.
    pub field: String,
    /// Why it is not known, as part of a sentence.
    pub reason: String,
}

pub(super) fn all(after: &Sample, parts: &Parts<'_>, accounting: &Accounting) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    let mut note = |field: &str, reason: &str| {
        unknown.push(Unknown {
            field: field.into(),
            reason: reason.into(),
        });
    };
    if after.abilities.steal.is_none() {
        note(
            "cpu.steal_s",
            "this host has no steal clock; what was stolen counts for whoever had the CPU",
        );
    }
    if !after.abilities.irq {
        note(
            "cpu.wait_by_cause_s.irq",
            "this kernel does not account interrupt time; it counts for whoever had the CPU",
        );
    }
    if after.abilities.throttle.is_none() {
        note(
            "cpu.throttled_s",
            "this kernel does not tell when a CPU quota held a task back; such waits are unattributed",
        );
    }
    if after.waiting.is_none() {
        note(
            "cpu.waiting_now",
            "waits in progress cannot be listed on this host",
        );
    }
    if accounting.coverage().is_none() {
        note(
            "accounting.coverage",
            "this kernel keeps no sum of waits of its own to compare with",
        );
    }
    for party in parts.parties.unusable() {
        let who = parts.names.label(Member::Party(party));
        note("cpu", &format!("the counters of {who} went backwards"));
    }
    if let Some(disk) = parts.disk {
        of_disks(disk, parts.names, &mut note);
    } else if after.disk.is_none() {
        note(
            "disk",
            "requests to block devices are not observed; `crosstalk doctor` says why",
        );
    }
    unknown
}

fn of_disks(disk: &DiskParts<'_>, names: &Names<'_>, note: &mut dyn FnMut(&str, &str)) {
    for stream in disk.streams.unusable() {
        let who = names.label(Member::Owner(stream.owner));
        let (device, operation) = (disk.disks.name(stream.device), stream.operation.name());
        note(
            "disk",
            &format!("the {operation} counters of {who} on {device} went backwards"),
        );
    }
    for used in disk.disks.devices.values() {
        let is_active = used.usage.as_ref().is_some_and(DiskUsage::is_active);
        if let Some((field, what)) = unknown_times(used.device.timing).filter(|_| is_active) {
            note(
                field,
                &format!("{what} for requests to {}", used.device.name),
            );
        }
    }
}

fn unknown_times(timing: Timing) -> Option<(&'static str, &'static str)> {
    match timing {
        Timing::Kernel | Timing::Issues => None,
        Timing::TotalOnly => Some((
            "disk.queue_s",
            "this kernel does not tell queue time from device time",
        )),
        Timing::DeviceOnly => Some((
            "disk.queue_s",
            "with queue/iostats off the kernel notes no queue time",
        )),
        Timing::Nothing => Some(("disk.wait_s", "the kernel notes no times")),
    }
}
