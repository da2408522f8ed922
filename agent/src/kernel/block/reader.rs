//! One reading of the maps of block I/O: accounts, and where their time went.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use agent_ebpf::block::{BlockCpu, OTHER, Operation, Record};

use super::{
    maps::BlockMaps,
    ring::Rings,
    streams::{Streams, Total},
};
use crate::{
    attribution::{Attribution, Observed, Request},
    kernel::system::monotonic,
    sample::{
        CgroupId,
        disk::{DeviceId, DiskAccount, DiskHealth, DiskOwner, DiskWait, Stream, Timing},
    },
};

/// Time is settled so much later between samples, so that the requests in service are known.
const LAG: Duration = Duration::from_secs(1);
/// The program takes that long between the clock and the record, at most.
const RECORDING: Duration = Duration::from_millis(1);
/// So many requests a second are observed in detail.
const WANTED: f64 = 5_000.0;
/// With fewer, more of the time is observed again.
const FEW: f64 = 2_000.0;
/// At least every 64th piece of time: every half second.
const MOST_SAMPLED: u32 = 6;

/// From so many requests without an issue on, and one in a hundred, it is worth a program.
const LEAST_LACKING: u64 = 8;

/// What one reading tells.
#[derive(Clone, Debug, Default)]
pub struct BlockReading {
    /// Devices that had requests, and how their times are known.
    pub devices: BTreeMap<DeviceId, Timing>,
    /// Accounts since attach.
    pub accounts: BTreeMap<Stream, DiskAccount>,
    /// Where their time went.
    pub waits: BTreeMap<Stream, DiskWait>,
    /// Without what the maps do not hold: `recursion_misses`.
    pub health: DiskHealth,
}

/// Reads the maps again and again.
#[derive(Debug)]
pub struct BlockReader {
    maps: BlockMaps,
    rings: Rings,
    streams: Streams,
    attribution: Attribution,
    records: Vec<Record>,
    read_at: Duration,
    sampled: u32,
    /// The most that was sampled since time was settled last: requests that only a finer sample
    /// would hold are not complete.
    coarsest: u32,
    no_room: u64,
}

impl BlockReader {
    /// A reader of maps that no program writes yet.
    pub fn new(maps: BlockMaps) -> BlockReader {
        let now = monotonic();
        BlockReader {
            rings: Rings::new(&maps),
            streams: Streams::new(),
            attribution: Attribution::new(nanos(now)),
            records: Vec::new(),
            read_at: now,
            sampled: 0,
            coarsest: 0,
            no_room: 0,
            maps,
        }
    }

    /// Reads everything; settles all time until now.
    pub fn read(&mut self) -> BlockReading {
        self.look(Duration::ZERO);
        BlockReading {
            devices: self.timings(),
            accounts: self
                .streams
                .totals
                .iter()
                .map(|(stream, total)| (*stream, total.account.clone()))
                .collect(),
            waits: self.attribution.waits(),
            health: self.health(),
        }
    }

    /// Empties the rings between readings.
    pub fn keep_up(&mut self) {
        self.look(LAG);
    }

    /// The cgroups and devices that exist were looked for.
    pub fn scanned(
        &mut self,
        cgroup_exists: impl Fn(CgroupId) -> bool,
        device_exists: impl Fn(DeviceId) -> bool,
    ) {
        let devices = self.maps.devices().map(|(_, device)| device);
        let there: BTreeSet<DeviceId> = devices.filter(|device| device_exists(*device)).collect();
        let device_exists = |device| there.contains(&device);
        let exists = |stream: &Stream| {
            device_exists(stream.device)
                && match stream.owner {
                    DiskOwner::Cgroup(id) => cgroup_exists(id),
                    DiskOwner::Device | DiskOwner::Other => true,
                }
        };
        self.streams.scanned(&self.maps, &exists, &device_exists);
    }

    /// Cgroups that had requests.
    pub fn cgroups(&self) -> impl Iterator<Item = CgroupId> {
        let owners = self.streams.totals.keys().map(|stream| stream.owner);
        owners.filter_map(|owner| match owner {
            DiskOwner::Cgroup(id) => Some(id),
            DiskOwner::Device | DiskOwner::Other => None,
        })
    }

    /// Whether there is a device for which the kernel does not note when requests are issued.
    pub fn wants_issues(&self) -> bool {
        let mut devices = BTreeMap::<DeviceId, (u64, u64)>::new();
        for (stream, total) in &self.streams.totals {
            if has_data(stream.operation) {
                let (requests, lacking) = devices.entry(stream.device).or_default();
                *requests += total.account.requests;
                *lacking += total.account.unissued + total.unseen;
            }
        }
        let lacks = |(requests, lacking): &(u64, u64)| *lacking > LEAST_LACKING.max(requests / 100);
        devices.values().any(lacks)
    }

    /// A program notes when requests are issued.
    pub fn issues_are_noted(&self) {
        self.maps.set_issues();
    }

    fn look(&mut self, lag: Duration) {
        let now = monotonic();
        let until = now.saturating_sub(RECORDING).saturating_sub(lag);
        self.records.clear();
        self.rings.read(&self.maps, &mut self.records);
        // After the records: the stream of each is there then.
        self.streams.find_new(&self.maps);
        self.streams.read(&self.maps);
        self.add_records();
        let sampled = self.coarsest;
        self.attribution.settle(nanos(until), Observed { sampled });
        self.streams.turn(&self.maps, now);
        for stream in self.streams.forget(now) {
            self.attribution.forget(&stream);
        }
        self.choose_sampling(now);
    }

    fn add_records(&mut self) {
        for record in &self.records {
            let Some(stream) = stream_of(&self.maps, &self.streams, record) else {
                continue;
            };
            if !self
                .attribution
                .add(stream.device, request(&stream, record))
            {
                self.no_room += 1;
            }
        }
    }

    fn choose_sampling(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.read_at).as_secs_f64();
        if seconds < 0.1 {
            return;
        }
        self.read_at = now;
        let rate = self.records.len() as f64 / seconds;
        let before = self.sampled;
        if rate > WANTED {
            let steps = (rate / WANTED).log2().ceil() as u32;
            self.sampled = (before + steps).min(MOST_SAMPLED);
        } else if rate < FEW {
            self.sampled = before.saturating_sub(1);
        }
        self.coarsest = before.max(self.sampled);
        if self.sampled != before {
            self.maps.set_sampled(self.sampled);
        }
    }

    fn timings(&self) -> BTreeMap<DeviceId, Timing> {
        let totals = &self.streams.totals;
        let devices: BTreeSet<DeviceId> = totals.keys().map(|stream| stream.device).collect();
        let of_device = |device| {
            let all = totals
                .iter()
                .filter(|(stream, _)| stream.device == device && has_data(stream.operation));
            timing(all.map(|(_, total)| total))
        };
        devices
            .into_iter()
            .map(|device| (device, of_device(device)))
            .collect()
    }

    fn health(&self) -> DiskHealth {
        let mut sums = BlockCpu::default();
        for cpu in 0..=self.maps.shape.cpus {
            add(&mut sums, &self.maps.cpu(cpu));
        }
        DiskHealth {
            seen: sums.seen,
            accounted: sums.accounted,
            partial: sums.partial,
            not_io: sums.not_io,
            no_device: sums.no_device,
            other_streams: self.streams.without_place,
            records_lost: self.rings.lost + self.no_room + sums.unrecorded,
            sampled: self.sampled,
            recursion_misses: None,
        }
    }
}

fn add(sums: &mut BlockCpu, cpu: &BlockCpu) {
    sums.seen += cpu.seen;
    sums.accounted += cpu.accounted;
    sums.partial += cpu.partial;
    sums.not_io += cpu.not_io;
    sums.no_device += cpu.no_device;
    sums.unrecorded += cpu.unrecorded;
}

fn stream_of(maps: &BlockMaps, streams: &Streams, record: &Record) -> Option<Stream> {
    if record.stream & OTHER == 0 {
        return streams.in_place(record.stream);
    }
    let operation = (record.stream & !OTHER) >> 16;
    Some(Stream {
        owner: DiskOwner::Other,
        device: maps.device(record.stream & 0xffff)?,
        operation: *Operation::ALL.get(operation as usize)?,
    })
}

/// A flush that somebody asked for is never issued itself: the kernel makes one of all that ask at
/// a time. So it is in service from the start.
fn request(stream: &Stream, record: &Record) -> Request {
    let issued = if stream.operation == Operation::Flush {
        record.start
    } else {
        record.issued
    };
    Request {
        owner: stream.owner,
        operation: stream.operation,
        start: record.start,
        issued: (issued != 0).then_some(issued),
        done: record.done,
        bytes: record.bytes,
    }
}

/// Flushes are made by the kernel, which notes no times in them.
fn has_data(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::Write)
}

/// By most of the requests.
fn timing<'a>(totals: impl Iterator<Item = &'a Total>) -> Timing {
    let (mut requests, mut untimed, mut unissued, mut unseen, mut seen) = (0, 0, 0, 0, 0);
    for total in totals {
        requests += total.account.requests;
        untimed += total.account.untimed;
        unissued += total.account.unissued;
        unseen += total.unseen;
        seen += total.seen_issued;
    }
    let most = |part: u64| part > requests / 2;
    if most(unseen) {
        Timing::Nothing
    } else if most(untimed) {
        Timing::DeviceOnly
    } else if most(unissued) {
        Timing::TotalOnly
    } else if most(seen) {
        Timing::Issues
    } else {
        Timing::Kernel
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
