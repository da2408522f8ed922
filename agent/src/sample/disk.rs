//! Block I/O at one instant.

use std::{collections::BTreeMap, ffi::OsStr, fmt, sync::Arc, time::Duration};

use agent_ebpf::block::Operation;
use serde::{Deserialize, Serialize};

use super::{CgroupId, Counts, pressure::Stalled};

/// A block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskOwner {
    /// A cgroup of the hierarchy that owns the `io` (version 1: `blkio`) controller, by its inode
    /// there. On version 2 it is the nearest one where the controller is enabled.
    Cgroup(CgroupId),
    /// Nobody: flushes that the kernel makes of several.
    Device,
    /// Cgroups that found no place in the maps.
    Other,
}

/// What one owner does on one device with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Whose.
    pub owner: DiskOwner,
    /// Where.
    pub device: DeviceId,
    /// What.
    pub operation: Operation,
}

/// What the kernel programs accounted for one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskAccount {
    /// Completed requests.
    pub requests: u64,
    /// Completed bytes.
    pub bytes: u64,
    /// Requests that failed; among `requests`.
    pub errors: u64,
    /// Requests whose creation is not known: in no total time.
    pub untimed: u64,
    /// Requests whose creation is known and whose issue is not: in neither queue nor device time.
    pub unissued: u64,
    /// Sum of queue time: created to issued.
    pub queue_ns: u64,
    /// Sum of device time: issued to completed.
    pub device_ns: u64,
    /// Sum of the total time of requests whose issue is not known: in neither of the above.
    pub undivided_ns: u64,
    /// Queue time of requests by bucket.
    pub queue: Counts,
    /// Device time.
    pub device: Counts,
    /// Created to completed.
    pub total: Counts,
}

impl DiskAccount {
    /// Adds what another account holds.
    pub fn add(&mut self, more: &DiskAccount) {
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        sum(&mut self.requests, more.requests);
        sum(&mut self.bytes, more.bytes);
        sum(&mut self.errors, more.errors);
        sum(&mut self.untimed, more.untimed);
        sum(&mut self.unissued, more.unissued);
        sum(&mut self.queue_ns, more.queue_ns);
        sum(&mut self.device_ns, more.device_ns);
        sum(&mut self.undivided_ns, more.undivided_ns);
        self.queue.add(&more.queue);
        self.device.add(&more.device);
        self.total.add(&more.total);
    }

    /// Created to completed, over all requests, and from the issue on where the creation is not
    /// known: what their owners waited.
    pub fn total_ns(&self) -> u64 {
        self.queue_ns
            .saturating_add(self.device_ns)
            .saturating_add(self.undivided_ns)
    }
}

/// Where the time of a stream's requests went, by the requests that were observed in detail:
/// with [`DiskHealth::sampled`] above 0 that is a part of them, so only the proportions count.
/// Cumulative, nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskWait {
    /// While requests of others were in service.
    pub neighbor_ns: BTreeMap<DiskOwner, u64>,
    /// While other requests of the same owner were in service.
    pub self_ns: u64,
    /// What the device takes when it serves nothing else.
    pub device_ns: u64,
    /// Not issued, while nothing was in service: plugged, or held by the I/O scheduler.
    pub held_ns: u64,
    /// It is not known when they were issued.
    pub unattributed_ns: u64,
}

impl DiskWait {
    /// Adds what another holds.
    pub fn add(&mut self, more: &DiskWait) {
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        for (culprit, ns) in &more.neighbor_ns {
            sum(self.neighbor_ns.entry(*culprit).or_default(), *ns);
        }
        sum(&mut self.self_ns, more.self_ns);
        sum(&mut self.device_ns, more.device_ns);
        sum(&mut self.held_ns, more.held_ns);
        sum(&mut self.unattributed_ns, more.unattributed_ns);
    }
}

/// How queue and device time of a device's requests are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timing {
    /// The kernel notes in each request when it was created and issued.
    Kernel,
    /// The kernel notes the creation, a program of ours the issue.
    Issues,
    /// The kernel notes the creation alone: queue and device time are not told apart.
    TotalOnly,
    /// The kernel notes nothing (`queue/iostats` is 0): a program of ours sees the issue, so there
    /// is a device time alone.
    DeviceOnly,
    /// Nothing: requests and bytes alone.
    Nothing,
}

/// A block device that had requests since attach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The kernel's name: `vda`, `dm-0`. Its number as text where it has none any more.
    pub name: String,
    /// The name that people gave it: a volume, an array, the file behind a loop device.
    pub label: Option<String>,
    /// Its requests become requests of other devices here (loop, request-based dm): it does not
    /// count in totals.
    pub stacked: bool,
    /// How times are known.
    pub timing: Timing,
}

/// What the kernel keeps of a device's requests (`/proc/diskstats`, admin-guide/iostats.rst), from
/// their creation to their completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// In which some were in flight (`io_ticks`), in ticks of the kernel's clock.
    pub time: Duration,
    /// In flight at this instant.
    pub requests: u64,
}

/// The kernel's own figures of one cgroup, of itself *and all below it* on version 2, of itself
/// alone on version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IoFigures {
    /// `io.stat`, or `blkio.throttle.io_service_bytes` and `…io_serviced`, by device.
    pub stat: Option<BTreeMap<DeviceId, IoStat>>,
    /// `io.pressure`. Version 2 alone.
    pub pressure: Option<Stalled>,
    /// Whether `io.max` (version 1: `blkio.throttle.*_device`) of this very cgroup limits it.
    pub limited: Option<bool>,
}

/// One line of `io.stat`: counted when they are submitted, before they become requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoStat {
    /// `rbytes`.
    pub read_bytes: u64,
    /// `wbytes`.
    pub write_bytes: u64,
    /// `rios`.
    pub reads: u64,
    /// `wios`.
    pub writes: u64,
}

/// A cgroup of the hierarchy that owns `io`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCgroup {
    /// Path from that hierarchy's root; any bytes.
    pub path: Arc<OsStr>,
    /// The one above; `None` for the root.
    pub parent: Option<CgroupId>,
    /// Read for those that had requests and those above them.
    pub figures: Option<IoFigures>,
    /// It was made after the attachment: its figures began at 0.
    pub is_new: bool,
}

/// The program's own account of its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskHealth {
    /// Completions that the program saw. `seen = accounted + partial + not_io + no_device`.
    pub seen: u64,
    /// Of these, accounted.
    pub accounted: u64,
    /// Of these, not the end of a request.
    pub partial: u64,
    /// Of these, commands of drivers and operations on zones.
    pub not_io: u64,
    /// Of these, of devices without a place in the maps.
    pub no_device: u64,
    /// Of these, in the account of [`DiskOwner::Other`], whose stream found no place.
    pub other_streams: u64,
    /// Records that were not written or overwritten before they were read.
    pub records_lost: u64,
    /// Every 2^k-th piece of time is observed in detail: 0 is all of it.
    pub sampled: u32,
    /// Completions that the kernel kept from the program, because it was running on that CPU;
    /// `None` where the kernel does not count them.
    pub recursion_misses: Option<u64>,
}

/// Block I/O at one instant.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Devices that had requests since attach.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Of devices of which the kernel keeps statistics; read before the accounts.
    pub in_flight: BTreeMap<DeviceId, InFlight>,
    /// Accounts of all streams since attach.
    pub accounts: BTreeMap<Stream, DiskAccount>,
    /// Where their time went.
    pub waits: BTreeMap<Stream, DiskWait>,
    /// Cgroups of all accounts, and those above them; at first all there are.
    pub cgroups: BTreeMap<CgroupId, DiskCgroup>,
    /// Figures of cgroups hold those of all below them: version 2.
    pub recursive: bool,
    /// The program's own account.
    pub health: DiskHealth,
}
