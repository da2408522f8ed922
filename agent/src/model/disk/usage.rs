//! What one stream of requests, or several together, did in an interval.

use serde::{Deserialize, Serialize};

use crate::{model::histogram::Histogram, sample::disk::DiskAccount};

/// How many [`DiskCause`]s there are.
const CAUSES: usize = 5;

/// Where the time of requests went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskCause {
    /// Requests of others were in service.
    Neighbor,
    /// Other requests of the same owner were.
    SelfInflicted,
    /// What the device takes when it serves nothing else.
    Device,
    /// Not issued, while nothing was in service.
    Held,
    /// Not known.
    Unattributed,
}

impl DiskCause {
    /// All of them.
    pub const ALL: [DiskCause; CAUSES] = [
        DiskCause::Neighbor,
        DiskCause::SelfInflicted,
        DiskCause::Device,
        DiskCause::Held,
        DiskCause::Unattributed,
    ];

    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DiskCause::Neighbor => "neighbor",
            DiskCause::SelfInflicted => "self",
            DiskCause::Device => "device",
            DiskCause::Held => "held",
            DiskCause::Unattributed => "unattributed",
        }
    }
}

/// Time of requests by cause, nanoseconds. The total *is* the sum of the causes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskWaits([u64; CAUSES]);

impl DiskWaits {
    /// Adds time to a cause.
    pub fn add(&mut self, cause: DiskCause, ns: u64) {
        let sum = &mut self.0[cause as usize];
        *sum = sum.saturating_add(ns);
    }

    /// Moves time from one cause to another, at most what is there.
    pub fn shift(&mut self, from: DiskCause, to: DiskCause, ns: u64) {
        let moved = self.0[from as usize].min(ns);
        self.0[from as usize] -= moved;
        self.add(to, moved);
    }

    /// The time of one cause, nanoseconds.
    pub fn get(&self, cause: DiskCause) -> u64 {
        self.0[cause as usize]
    }

    /// The whole time, nanoseconds.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, ns| sum.saturating_add(*ns))
    }
}

/// Completed requests of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUsage {
    /// Requests.
    pub requests: u64,
    /// Bytes.
    pub bytes: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Requests whose creation is not known.
    pub untimed: u64,
    /// Requests whose issue is not known.
    pub unissued: u64,
    /// Sum of queue time, nanoseconds.
    queue_ns: u64,
    /// Sum of device time, nanoseconds.
    device_ns: u64,
    /// Queue time by length: created to issued.
    pub queue: Option<Histogram>,
    /// Device time by length: issued to completed.
    pub device: Option<Histogram>,
    /// Created to completed, by length.
    pub total: Option<Histogram>,
    /// Time of all requests by cause.
    pub wait: DiskWaits,
}

impl Default for DiskUsage {
    fn default() -> DiskUsage {
        DiskUsage {
            requests: 0,
            bytes: 0,
            errors: 0,
            untimed: 0,
            unissued: 0,
            queue_ns: 0,
            device_ns: 0,
            queue: Some(Histogram::default()),
            device: Some(Histogram::default()),
            total: Some(Histogram::default()),
            wait: DiskWaits::default(),
        }
    }
}

impl DiskUsage {
    /// What was done between two readings, all of its time without a cause; `None` when a counter
    /// went backwards.
    pub fn between(before: &DiskAccount, after: &DiskAccount) -> Option<DiskUsage> {
        let since = |field: fn(&DiskAccount) -> u64| field(after).checked_sub(field(before));
        let mut usage = DiskUsage {
            requests: since(|account| account.requests)?,
            bytes: since(|account| account.bytes)?,
            errors: since(|account| account.errors)?,
            untimed: since(|account| account.untimed)?,
            unissued: since(|account| account.unissued)?,
            queue_ns: since(|account| account.queue_ns)?,
            device_ns: since(|account| account.device_ns)?,
            queue: Histogram::between(&before.queue, &after.queue),
            device: Histogram::between(&before.device, &after.device),
            total: Histogram::between(&before.total, &after.total),
            wait: DiskWaits::default(),
        };
        let undivided = since(|account| account.undivided_ns)?;
        for ns in [usage.queue_ns, usage.device_ns, undivided] {
            usage.wait.add(DiskCause::Unattributed, ns);
        }
        Some(usage)
    }

    /// Adds what another stream did.
    pub fn add(&mut self, other: &DiskUsage) {
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        sum(&mut self.requests, other.requests);
        sum(&mut self.bytes, other.bytes);
        sum(&mut self.errors, other.errors);
        sum(&mut self.untimed, other.untimed);
        sum(&mut self.unissued, other.unissued);
        sum(&mut self.queue_ns, other.queue_ns);
        sum(&mut self.device_ns, other.device_ns);
        for cause in DiskCause::ALL {
            self.wait.add(cause, other.wait.get(cause));
        }
        self.queue = merged(self.queue.take(), other.queue.as_ref());
        self.device = merged(self.device.take(), other.device.as_ref());
        self.total = merged(self.total.take(), other.total.as_ref());
    }

    /// Any request was completed.
    pub fn is_active(&self) -> bool {
        self.requests > 0 || self.wait.total() > 0
    }

    /// Time of all requests from creation, where that is not known from issue, to completion;
    /// `None` where neither is known of any.
    pub fn wait_ns(&self) -> Option<u64> {
        let total = self.wait.total();
        (total > 0 || self.timed() > 0 || self.requests == 0).then_some(total)
    }

    /// Sum of queue time, nanoseconds; `None` where it is not known of any request.
    pub fn queue_ns(&self) -> Option<u64> {
        let unknown = self.untimed.saturating_add(self.unissued);
        (self.queue_ns > 0 || unknown < self.requests.max(1)).then_some(self.queue_ns)
    }

    /// Sum of device time, nanoseconds; `None` where it is not known of any request.
    pub fn device_ns(&self) -> Option<u64> {
        (self.device_ns > 0 || self.unissued < self.requests.max(1)).then_some(self.device_ns)
    }

    /// Mean time of a request, seconds; `None` where it is not known of any.
    pub fn mean_s(&self) -> Option<f64> {
        let timed = self.timed();
        (timed > 0).then(|| self.wait.total() as f64 / 1e9 / timed as f64)
    }

    /// Time of requests by length: of those whose creation is known, or else from their issue on.
    pub fn lengths(&self) -> Option<&Histogram> {
        let total = self.total.as_ref();
        total
            .filter(|total| total.count() > 0)
            .or(self.device.as_ref())
    }

    /// Requests of which at least the creation or the issue is known.
    fn timed(&self) -> u64 {
        self.requests
            .saturating_sub(self.untimed.min(self.unissued))
    }

    /// Time of one cause as a part of the whole, 0 to 1.
    pub fn part(&self, cause: DiskCause) -> f64 {
        self.wait.get(cause) as f64 / self.wait.total().max(1) as f64
    }
}

fn merged(sum: Option<Histogram>, part: Option<&Histogram>) -> Option<Histogram> {
    let mut sum = sum?;
    sum.add(part?);
    Some(sum)
}
