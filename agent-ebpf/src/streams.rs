//! The maps of block I/O. Programs on requests run in every context, and one may interrupt
//! another: that one has accounts of its own, and places are claimed.

use core::ptr::{read_volatile, write_volatile};

use agent_ebpf::{
    block::{
        BlockControl, BlockCpu, DEVICE_SETS, ISSUES as ISSUE_PLACES, Issue, Keys, Record,
        STREAM_SETS, STREAM_WAYS, Stream, account_of, claim, device_set, issue_of, other_account,
        stream_sets,
    },
    layout::Histogram,
    opaque,
};
use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};

use crate::{
    kernel::host,
    maps::{Value, atomic_add, mapped_array, value},
};

mapped_array!(DEVICES, Keys, DEVICE_SETS);
mapped_array!(STREAM_KEYS, Keys, STREAM_SETS);
mapped_array!(STREAMS, Stream, 1);
mapped_array!(BLOCK_CPUS, BlockCpu, 1);
mapped_array!(RECORDS, Record, 1);
mapped_array!(ISSUES, Issue, ISSUE_PLACES);
mapped_array!(BLOCK_CONTROL, BlockControl, 1);

/// A run of the program: what it writes.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) cpu: Value<BlockCpu>,
    number: u32,
    /// Whether it interrupted another on its CPU.
    is_nested: bool,
}

impl Run {
    /// A run on this CPU; `None` where the maps have no room for the CPU.
    #[inline(always)]
    pub(crate) fn begin(number: u32) -> Option<Run> {
        let mut cpu = value(&BLOCK_CPUS, number)?;
        let is_nested = read(&cpu.busy) != 0;
        if is_nested {
            cpu = value(&BLOCK_CPUS, host!(SETTINGS.cpus))?;
        } else {
            write(&mut cpu.busy, 1);
        }
        Some(Run {
            cpu,
            number,
            is_nested,
        })
    }

    #[inline(always)]
    pub(crate) fn end(mut self) {
        if !self.is_nested {
            write(&mut self.cpu.busy, 0);
        }
    }

    /// Adds to a word of `cpu`.
    #[inline(always)]
    pub(crate) fn count(self, word: &mut u64) {
        add(word, 1, self.is_nested);
    }

    /// The account of a stream.
    #[inline(always)]
    pub(crate) fn account(self, stream: u32) -> Option<Account> {
        let shards = host!(SETTINGS.stream_shards);
        let shard = if self.is_nested {
            shards
        } else {
            self.number & (shards - 1)
        };
        Some(Account {
            stream: value(&STREAMS, account_of(shard, stream))?,
            is_shared: self.is_nested || shards < host!(SETTINGS.cpus),
        })
    }

    /// The account of all streams of a device that found no place.
    #[inline(always)]
    pub(crate) fn account_of_others(self, device: u32, operation: u32) -> Option<Account> {
        let shards = host!(SETTINGS.stream_shards);
        Some(Account {
            stream: value(&STREAMS, other_account(shards, device, operation))?,
            is_shared: true,
        })
    }

    /// Hands a record to userspace.
    #[inline(always)]
    pub(crate) fn record(mut self, record: Record) {
        if self.is_nested {
            self.count(&mut self.cpu.clone().unrecorded);
            return;
        }
        let length = host!(SETTINGS.records);
        let head = read(&self.cpu.head);
        let place = self.number * length + (head as u32 & (length - 1));
        if let Some(mut place) = value(&RECORDS, place) {
            *place = record;
            write(&mut self.cpu.head, head + 1);
        }
    }
}

/// The account of a stream, and whether several write it.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) stream: Value<Stream>,
    is_shared: bool,
}

impl Account {
    /// Adds to a sum of the stream.
    #[inline(always)]
    pub(crate) fn add<T: Copy + core::ops::AddAssign>(self, sum: &mut T, addend: T) {
        add(sum, addend, self.is_shared);
    }

    /// Counts a duration in a histogram of the stream.
    #[inline(always)]
    pub(crate) fn count(self, histogram: &mut Histogram, bucket: u64) {
        let bucket = opaque(bucket as usize);
        if bucket < histogram.counts.len() {
            add(&mut histogram.counts[bucket], 1, self.is_shared);
        }
    }
}

#[inline(always)]
fn add<T: Copy + core::ops::AddAssign>(sum: &mut T, addend: T, is_shared: bool) {
    if is_shared {
        atomic_add(sum, addend);
    } else {
        *sum += addend;
    }
}

#[inline(always)]
pub(crate) fn control() -> Option<Value<BlockControl>> {
    value(&BLOCK_CONTROL, 0)
}

/// The place of a device, which it gets when it is met first.
#[inline(always)]
pub(crate) fn device(key: u64) -> Option<u32> {
    found(device_place(key))
}

/// The number of a stream, which it gets when it is met first; `None` where there is no room.
#[inline(always)]
pub(crate) fn stream(key: u64) -> Option<u32> {
    found(stream_place(key))
}

const NO_PLACE: u32 = u32::MAX;

#[inline(always)]
fn found(place: u32) -> Option<u32> {
    (place != NO_PLACE).then_some(place)
}

/// A global function: the verifier goes through it once, and not on from each place in turn.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn device_place(key: u64) -> u32 {
    let set = device_set(key);
    match value(&DEVICES, set) {
        Some(keys) => place_in(keys, set, key).unwrap_or(NO_PLACE),
        None => NO_PLACE,
    }
}

/// As [`device_place`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn stream_place(key: u64) -> u32 {
    for set in stream_sets(key) {
        if let Some(keys) = value(&STREAM_KEYS, set)
            && let Some(place) = place_in(keys, set, key)
        {
            return place;
        }
    }
    NO_PLACE
}

#[inline(always)]
fn place_in(mut keys: Value<Keys>, set: u32, key: u64) -> Option<u32> {
    let first = set * STREAM_WAYS as u32;
    // Hidden from the optimiser, which would make a way of its own for each place, and the verifier
    // would go all of them.
    let mut free = opaque(STREAM_WAYS);
    for way in 0..STREAM_WAYS {
        let other = read(&keys.keys[way]);
        if other == key {
            return Some(first + way as u32);
        }
        if other == 0 && free == STREAM_WAYS {
            free = opaque(way);
        }
    }
    if free == STREAM_WAYS {
        return None;
    }
    let way = free & (STREAM_WAYS - 1);
    let slot = &raw mut keys.keys[way];
    // SAFETY: a word of the map's value.
    let add = |addend| unsafe { atomic_add(&mut *slot, addend) };
    // SAFETY: as above.
    claim(key, add, || unsafe { read_volatile(slot) }).then_some(first + way as u32)
}

/// Notes when a request was issued.
#[inline(always)]
pub(crate) fn note_issue(request: u64, now: u64) {
    if let Some(mut issue) = value(&ISSUES, issue_of(request)) {
        write(&mut issue.request, request);
        write(&mut issue.sealed, Issue::seal(request, now));
    }
}

/// When a request was issued, if that was noted.
#[inline(always)]
pub(crate) fn issue(request: u64, from: u64, to: u64) -> Option<u64> {
    value(&ISSUES, issue_of(request))?.time(request, from, to)
}

/// In the order of the program: an interrupt may come at any time.
#[inline(always)]
fn read(word: &u64) -> u64 {
    // SAFETY: a valid reference.
    unsafe { read_volatile(word) }
}

#[inline(always)]
fn write(word: &mut u64, now: u64) {
    // SAFETY: a valid reference.
    unsafe { write_volatile(word, now) }
}
