//! Where the time of block requests went: from when single requests were created, issued and
//! completed, to who waited for whom.
//!
//! Pure. At each instant the requests in service share what the device does:
//! - a request that is not issued waits for those in service, each equally; where there are none,
//!   the kernel holds it;
//! - a request in service takes what the device needs for such a request alone, which is learned;
//!   beyond that it waits for the others in service, each equally.
//!
//! So the parts add up to the time from creation to completion.

mod observed;
mod sweep;
mod unloaded;

use std::collections::BTreeMap;

use agent_ebpf::block::Operation;

pub use self::observed::Observed;
use self::{sweep::Sweep, unloaded::Unloaded};
use crate::sample::disk::{DeviceId, DiskOwner, DiskWait, Stream};

/// One completed request. Monotonic clock, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose.
    pub owner: DiskOwner,
    /// What it did.
    pub operation: Operation,
    /// Created.
    pub start: u64,
    /// Issued to the device; `None` where that is not known.
    pub issued: Option<u64>,
    /// Completed.
    pub done: u64,
    /// Its size.
    pub bytes: u32,
}

impl Request {
    /// A flush that the kernel makes of all that are asked for at a time: those are in service
    /// already.
    fn is_of_kernel(&self) -> bool {
        self.owner == DiskOwner::Device && self.operation == Operation::Flush
    }
}

/// Requests of one device that wait for more of their time to be settled, at most.
const MOST_PENDING: usize = 1 << 17;

/// No window is longer, nanoseconds: 18 minutes. What is older is left out.
const LONGEST: u64 = 1 << 40;

/// Settles time, piece by piece, as requests become known.
#[derive(Debug)]
pub struct Attribution {
    devices: BTreeMap<DeviceId, DeviceTimes>,
    /// Settled up to here.
    until: u64,
    sweep: Sweep,
}

#[derive(Debug, Default)]
struct DeviceTimes {
    pending: Vec<Request>,
    unloaded: Unloaded,
    waits: BTreeMap<(DiskOwner, Operation), DiskWait>,
}

impl Attribution {
    /// Nothing is known of the time before `now`.
    pub fn new(now: u64) -> Attribution {
        Attribution {
            devices: BTreeMap::new(),
            until: now,
            sweep: Sweep::default(),
        }
    }

    /// A request that is completed. Returns `false` when there is no room for it.
    pub fn add(&mut self, device: DeviceId, request: Request) -> bool {
        if request.done <= self.until || request.done < request.start {
            return true;
        }
        let pending = &mut self.devices.entry(device).or_default().pending;
        let has_room = pending.len() < MOST_PENDING;
        if has_room {
            pending.push(request);
        }
        has_room
    }

    /// Settles all time up to `until`. A request that is not completed by then, and was not added,
    /// is missing; one that is added later counts from `until` on.
    pub fn settle(&mut self, until: u64, observed: Observed) {
        if until <= self.until {
            return;
        }
        let window = (self.until.max(until.saturating_sub(LONGEST)), until);
        for device in self.devices.values_mut() {
            let DeviceTimes {
                pending,
                unloaded,
                waits,
            } = device;
            if pending.is_empty() {
                continue;
            }
            self.sweep.run(pending, window, observed, unloaded);
            self.sweep.add_to(waits);
            pending.retain(|request| request.done > until);
        }
        self.until = until;
    }

    /// Settled so far, cumulative.
    pub fn waits(&self) -> BTreeMap<Stream, DiskWait> {
        let of_device = |(device, times): (&DeviceId, &DeviceTimes)| {
            let device = *device;
            let waits = times.waits.iter();
            let stream = move |(owner, operation): &(DiskOwner, Operation)| Stream {
                owner: *owner,
                device,
                operation: *operation,
            };
            waits
                .map(|(key, wait)| (stream(key), wait.clone()))
                .collect::<Vec<_>>()
        };
        self.devices.iter().flat_map(of_device).collect()
    }

    /// Forgets an owner: what it waited, and others for it, has no name then.
    pub fn forget(&mut self, stream: &Stream) {
        let Some(times) = self.devices.get_mut(&stream.device) else {
            return;
        };
        if let Some(wait) = times.waits.remove(&(stream.owner, stream.operation)) {
            let nobody = (DiskOwner::Other, stream.operation);
            times.waits.entry(nobody).or_default().add(&wait);
        }
        let is_left = times.waits.keys().any(|(owner, _)| *owner == stream.owner);
        if !is_left {
            for wait in times.waits.values_mut() {
                if let Some(ns) = wait.neighbor_ns.remove(&stream.owner) {
                    let other = wait.neighbor_ns.entry(DiskOwner::Other).or_default();
                    *other = other.saturating_add(ns);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
