//! Block I/O of an interval: by row, by device, and for whom requests waited.

mod apportion;
mod busy;
mod devices;
mod figures;
mod rows;
mod streams;
mod usage;

use std::collections::BTreeSet;

use agent_ebpf::block::Operation;
use serde::{Deserialize, Serialize};

pub use devices::{DeviceUse, DiskAccounting, Disks};
pub use figures::IoUse;
pub use usage::{DiskCause, DiskUsage, DiskWaits};

pub(super) use rows::by_row;
pub(crate) use rows::together;
pub(super) use {figures::Figures, streams::Streams};

use crate::sample::disk::{DeviceId, Disk};

/// What a row did on one device with one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Where.
    pub device: DeviceId,
    /// What.
    pub operation: Operation,
    /// How much; `None` when a counter went backwards.
    pub usage: Option<DiskUsage>,
}

/// What two samples tell of block I/O.
pub(super) struct DiskParts<'a> {
    pub(super) streams: Streams,
    pub(super) figures: Figures<'a>,
    pub(super) disks: Disks,
}

impl<'a> DiskParts<'a> {
    pub(super) fn between(before: &'a Disk, after: &'a Disk) -> DiskParts<'a> {
        let streams = Streams::between(before, after);
        let active: BTreeSet<_> = streams.usage.keys().map(|stream| stream.owner).collect();
        DiskParts {
            figures: Figures::between(before, after, &active),
            disks: Disks::between(before, after, &streams),
            streams,
        }
    }
}

/// All that is known of what a row did on one device; `None` where that is nothing.
pub fn on_device(uses: &[DiskUse], device: DeviceId) -> Option<DiskUsage> {
    let uses = uses.iter().filter(|part| part.device == device);
    uses.filter_map(|part| part.usage.as_ref())
        .fold(None, |sum: Option<DiskUsage>, part| {
            let mut sum = sum.unwrap_or_default();
            sum.add(part);
            Some(sum)
        })
}
