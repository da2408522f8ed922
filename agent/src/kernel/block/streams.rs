//! Accounts of streams: what grew in the maps, by owner, device and operation.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    time::Duration,
};

use agent_ebpf::{
    block::{self, DEVICES, OPERATIONS, Operation, RETIRED, STREAMS, stream_of},
    bucket::{BUCKETS, ZERO_BUCKET},
};

use super::maps::BlockMaps;
use crate::sample::{
    CgroupId,
    disk::{DeviceId, DiskAccount, DiskOwner, Stream},
};

/// A retired key keeps its place for so many readings: programs that found it are done, and its
/// records are read.
const READINGS: u32 = 2;
/// Accounts of those that are gone are told for so long.
const TOLD: Duration = Duration::from_mins(2);

const COUNTERS: usize = offset_of!(block::Stream, bytes) / size_of::<u64>();
const TOTAL: usize = 2;
const WORDS: usize = size_of::<block::Stream>() / size_of::<u64>();

/// What an account held at the last reading.
#[derive(Clone, Debug)]
struct Last {
    /// Queue, device and total time.
    counts: [[u32; BUCKETS]; 3],
    bytes: u64,
    queue_ns: u64,
    device_ns: u64,
    undivided_ns: u64,
    errors: u32,
    untimed: u32,
    unissued: u32,
    seen_issued: u32,
    unseen: u32,
}

impl Default for Last {
    fn default() -> Last {
        Last {
            counts: [[0; BUCKETS]; 3],
            bytes: 0,
            queue_ns: 0,
            device_ns: 0,
            undivided_ns: 0,
            errors: 0,
            untimed: 0,
            unissued: 0,
            seen_issued: 0,
            unseen: 0,
        }
    }
}

/// A place in the table of streams that is in use.
#[derive(Debug)]
struct Tracked {
    key: u64,
    stream: Stream,
    last: Box<Last>,
    /// Counts down once the key is retired.
    retiring: Option<u32>,
    /// Nobody there at the last scan.
    was_gone: bool,
    /// It did something since.
    moved: bool,
}

/// What is known of a stream since attach.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    pub(super) account: DiskAccount,
    /// Requests whose issue a program of ours saw.
    pub(super) seen_issued: u64,
    /// Requests of which neither creation nor issue is known.
    pub(super) unseen: u64,
    /// Places in the table that are this stream's.
    places: u32,
    gone_at: Option<Duration>,
}

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    places: Vec<Option<Tracked>>,
    others: BTreeMap<usize, (Stream, Box<Last>)>,
    pub(super) totals: BTreeMap<Stream, Total>,
    /// Requests of streams that found no place.
    pub(super) without_place: u64,
}

impl Streams {
    pub(super) fn new() -> Streams {
        Streams {
            places: (0..STREAMS).map(|_| None).collect(),
            others: BTreeMap::new(),
            totals: BTreeMap::new(),
            without_place: 0,
        }
    }

    /// The stream in a place, if it was there at the last reading.
    pub(super) fn in_place(&self, place: u32) -> Option<Stream> {
        let tracked = self.places.get(place as usize)?.as_ref()?;
        Some(tracked.stream)
    }

    /// Notes new keys.
    pub(super) fn find_new(&mut self, maps: &BlockMaps) {
        for place in 0..STREAMS {
            let key = maps.key(place);
            let slot = &mut self.places[place as usize];
            if slot
                .as_ref()
                .is_some_and(|tracked| tracked.key == key || tracked.retiring.is_some())
            {
                continue;
            }
            let Some((cgroup, device, operation)) = stream_of(key) else {
                continue;
            };
            let Some(device) = maps.device(device) else {
                continue;
            };
            let owner = match cgroup {
                0 => DiskOwner::Device,
                id => DiskOwner::Cgroup(CgroupId(id)),
            };
            let stream = Stream {
                owner,
                device,
                operation,
            };
            self.totals.entry(stream).or_default().take_place();
            *slot = Some(Tracked {
                key,
                stream,
                last: Box::default(),
                retiring: None,
                was_gone: false,
                moved: false,
            });
        }
        for (device, id) in maps.devices() {
            for operation in Operation::ALL {
                let number = BlockMaps::other_number(device, operation);
                let stream = Stream {
                    owner: DiskOwner::Other,
                    device: id,
                    operation,
                };
                self.others
                    .entry(number)
                    .or_insert_with(|| (stream, Box::default()));
            }
        }
    }

    /// Adds what the accounts grew by.
    pub(super) fn read(&mut self, maps: &BlockMaps) {
        for (place, slot) in (0..).zip(&mut self.places) {
            if let Some(tracked) = slot {
                let accounts = maps.accounts_of(place);
                if let Some(grown) = advance(maps, accounts, &mut tracked.last) {
                    tracked.moved = true;
                    self.totals.entry(tracked.stream).or_default().add(&grown);
                }
            }
        }
        for (number, (stream, last)) in &mut self.others {
            let device = (number / OPERATIONS) as u32;
            let account = [maps.other(device, stream.operation)];
            if let Some(grown) = advance(maps, account.into_iter(), last) {
                self.without_place += grown.requests();
                self.totals.entry(*stream).or_default().add(&grown);
            }
        }
    }

    /// Takes retired places a step further.
    pub(super) fn turn(&mut self, maps: &BlockMaps, now: Duration) {
        for (place, slot) in (0..).zip(&mut self.places) {
            let Some(Tracked {
                stream,
                retiring: Some(left),
                ..
            }) = slot
            else {
                continue;
            };
            if *left > 0 {
                *left -= 1;
                continue;
            }
            for account in maps.accounts_of(place) {
                maps.empty(account);
            }
            maps.set_key(place, 0);
            if let Some(total) = self.totals.get_mut(stream) {
                total.leave(now);
            }
            *slot = None;
        }
    }

    /// Retires the places of those that neither this nor the last scan found, and that did nothing
    /// in between. Returns devices whose places nobody uses.
    pub(super) fn scanned(
        &mut self,
        maps: &BlockMaps,
        exists: &dyn Fn(&Stream) -> bool,
        device_exists: &dyn Fn(DeviceId) -> bool,
    ) {
        for (place, slot) in (0..).zip(&mut self.places) {
            let Some(tracked) = slot.as_mut().filter(|tracked| tracked.retiring.is_none()) else {
                continue;
            };
            let was_gone = tracked.was_gone && !tracked.moved;
            tracked.was_gone = !exists(&tracked.stream);
            tracked.moved = false;
            if was_gone && tracked.was_gone {
                maps.set_key(place, RETIRED);
                tracked.retiring = Some(READINGS);
            }
        }
        self.free_devices(maps, device_exists);
    }

    fn free_devices(&mut self, maps: &BlockMaps, device_exists: &dyn Fn(DeviceId) -> bool) {
        let tracked = self.places.iter().flatten();
        let used: BTreeSet<DeviceId> = tracked.map(|tracked| tracked.stream.device).collect();
        for place in 0..DEVICES {
            let Some(device) = maps.device(place) else {
                continue;
            };
            if !device_exists(device) && !used.contains(&device) {
                maps.free_device(place);
                for operation in Operation::ALL {
                    maps.empty(maps.other(place, operation));
                    self.others
                        .remove(&BlockMaps::other_number(place, operation));
                }
            }
        }
    }

    /// Forgets those that are gone for long, and returns them: what they did is nobody's then.
    pub(super) fn forget(&mut self, now: Duration) -> Vec<Stream> {
        let is_old = |total: &Total| {
            total
                .gone_at
                .is_some_and(|at| now.saturating_sub(at) > TOLD)
        };
        let old = self.totals.iter().filter(|(_, total)| is_old(total));
        let old: Vec<Stream> = old.map(|(stream, _)| *stream).collect();
        for stream in &old {
            if let Some(total) = self.totals.remove(stream) {
                self.totals.entry(nobody(stream)).or_default().join(&total);
            }
        }
        old
    }
}

impl Total {
    /// Adds what another holds.
    fn join(&mut self, other: &Total) {
        self.account.add(&other.account);
        self.seen_issued += other.seen_issued;
        self.unseen += other.unseen;
    }

    fn take_place(&mut self) {
        self.places += 1;
        self.gone_at = None;
    }

    fn leave(&mut self, now: Duration) {
        self.places = self.places.saturating_sub(1);
        if self.places == 0 {
            self.gone_at = Some(now);
        }
    }
}

/// The stream of all that have no name, on the same device.
pub(super) fn nobody(stream: &Stream) -> Stream {
    Stream {
        owner: DiskOwner::Other,
        ..*stream
    }
}

/// What accounts grew by together. Counters first: what a histogram has beyond them counts at the
/// next reading.
fn advance(
    maps: &BlockMaps,
    accounts: impl Iterator<Item = u32> + Clone,
    last: &mut Last,
) -> Option<Last> {
    let mut now = Last::default();
    for account in accounts.clone() {
        now.add_counters(maps, account);
    }
    if now.has_counters_of(last) {
        return None;
    }
    for account in accounts {
        now.add_counts(maps, account);
    }
    let grown = now.since(last);
    *last = now;
    Some(grown)
}

impl Last {
    fn add_counters(&mut self, maps: &BlockMaps, account: u32) {
        let word = |at: usize| maps.word(account, (COUNTERS + at) * size_of::<u64>());
        self.bytes += word(0);
        self.queue_ns += word(1);
        self.device_ns += word(2);
        self.undivided_ns += word(3);
        let halves: [u64; 3] = std::array::from_fn(|at| word(4 + at));
        // The low half comes first.
        let add = |sum: &mut u32, half: u64| *sum = sum.wrapping_add(half as u32);
        add(&mut self.errors, halves[0]);
        add(&mut self.untimed, halves[0] >> 32);
        add(&mut self.unissued, halves[1]);
        add(&mut self.seen_issued, halves[1] >> 32);
        add(&mut self.unseen, halves[2]);
    }

    fn add_counts(&mut self, maps: &BlockMaps, account: u32) {
        let words: [u64; WORDS] = maps.words(account);
        for (counts, words) in self.counts.iter_mut().zip(words.chunks_exact(BUCKETS / 2)) {
            for (pair, word) in counts.chunks_exact_mut(2).zip(words) {
                pair[0] = pair[0].wrapping_add(*word as u32);
                pair[1] = pair[1].wrapping_add((word >> 32) as u32);
            }
        }
    }

    fn has_counters_of(&self, other: &Last) -> bool {
        let counters = |of: &Last| {
            let sums = [of.bytes, of.queue_ns, of.device_ns, of.undivided_ns];
            (sums, [of.errors, of.untimed, of.unissued, of.unseen])
        };
        counters(self) == counters(other)
    }

    /// Requests in these counts.
    fn requests(&self) -> u64 {
        let timed: u64 = self.counts[TOTAL]
            .iter()
            .map(|count| u64::from(*count))
            .sum();
        timed + u64::from(self.untimed)
    }

    fn since(&self, last: &Last) -> Last {
        let half = |now: u32, last: u32| now.wrapping_sub(last);
        Last {
            counts: std::array::from_fn(|kind| {
                std::array::from_fn(|at| self.counts[kind][at].wrapping_sub(last.counts[kind][at]))
            }),
            bytes: self.bytes.saturating_sub(last.bytes),
            queue_ns: self.queue_ns.saturating_sub(last.queue_ns),
            device_ns: self.device_ns.saturating_sub(last.device_ns),
            undivided_ns: self.undivided_ns.saturating_sub(last.undivided_ns),
            errors: half(self.errors, last.errors),
            untimed: half(self.untimed, last.untimed),
            unissued: half(self.unissued, last.unissued),
            seen_issued: half(self.seen_issued, last.seen_issued),
            unseen: half(self.unseen, last.unseen),
        }
    }
}

impl Total {
    fn add(&mut self, grown: &Last) {
        let account = &mut self.account;
        account.requests += grown.requests();
        account.bytes += grown.bytes;
        account.queue_ns += grown.queue_ns;
        account.device_ns += grown.device_ns;
        account.undivided_ns += grown.undivided_ns;
        account.errors += u64::from(grown.errors);
        account.untimed += u64::from(grown.untimed);
        account.unissued += u64::from(grown.unissued);
        self.seen_issued += u64::from(grown.seen_issued);
        self.unseen += u64::from(grown.unseen);
        let [queue, device, total] = &grown.counts;
        for (sums, counts) in [
            (&mut account.queue, queue),
            (&mut account.device, device),
            (&mut account.total, total),
        ] {
            for (sum, count) in sums.change().iter_mut().zip(counts) {
                *sum += u64::from(*count);
            }
        }
        // The program leaves the shortest out: they are the rest.
        let lacking = account.untimed + account.unissued;
        let queued = account.requests.saturating_sub(lacking);
        let longer: u64 = account.queue[ZERO_BUCKET + 1..].iter().sum();
        let shortest = queued
            .saturating_sub(longer)
            .max(account.queue[ZERO_BUCKET]);
        account.queue.change()[ZERO_BUCKET] = shortest;
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
