//! The maps of block I/O. Programs on requests run in every context, and one may interrupt
//! another: all is added to atomically, and places are claimed.

use core::ptr::{read_volatile, write_volatile};

use agent_ebpf::{
    block::{
        BlockControl, BlockCpu, DEVICE_SETS, ISSUES as ISSUE_PLACES, Issue, Keys, Record,
        STREAM_SETS, STREAM_WAYS, Stream, account_of, claim, device_set, issue_of, other_account,
        stream_sets,
    },
    bucket::{self, ZERO_BUCKET},
    layout::Histogram,
};
use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};

use crate::{
    kernel::frozen,
    maps::{Value, atomic_add, mapped_array, value},
};

mapped_array!(DEVICES, Keys, DEVICE_SETS);
mapped_array!(STREAM_KEYS, Keys, STREAM_SETS);
mapped_array!(STREAMS, Stream, 1);
mapped_array!(BLOCK_CPUS, BlockCpu, 1);
mapped_array!(RECORDS, Record, 1);
mapped_array!(ISSUES, Issue, ISSUE_PLACES);
mapped_array!(BLOCK_CONTROL, BlockControl, 1);

#[inline(always)]
pub(crate) fn cpu(number: u32) -> Option<Value<BlockCpu>> {
    value(&BLOCK_CPUS, number)
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
    let mut free = None;
    for way in 0..STREAM_WAYS {
        let other = read(&keys.keys[way]);
        if other == key {
            return Some(first + way as u32);
        }
        if other == 0 && free.is_none() {
            free = Some(way);
        }
    }
    let way = core::hint::black_box(free?) & (STREAM_WAYS - 1);
    let slot = &raw mut keys.keys[way];
    // SAFETY: a word of the map's value.
    let add = |addend| unsafe { atomic_add(&mut *slot, addend) };
    // SAFETY: as above.
    claim(key, add, || unsafe { read_volatile(slot) }).then_some(first + way as u32)
}

/// The account of a stream for one CPU's shard.
#[inline(always)]
pub(crate) fn account(cpu: u32, stream: u32) -> Option<Value<Stream>> {
    let shard = cpu & (frozen!(SETTINGS.stream_shards) - 1);
    value(&STREAMS, account_of(shard, stream))
}

/// The account of all streams of a device that found no place.
#[inline(always)]
pub(crate) fn account_of_others(device: u32, operation: u32) -> Option<Value<Stream>> {
    let shards = frozen!(SETTINGS.stream_shards);
    value(&STREAMS, other_account(shards, device, operation))
}

/// Counts a duration. What is in the zero bucket is the rest of all requests.
#[inline(always)]
pub(crate) fn count(histogram: &mut Histogram, ns: u64) {
    let bucket = core::hint::black_box(bucket_of(ns) as usize);
    if bucket != ZERO_BUCKET && bucket < histogram.counts.len() {
        atomic_add(&mut histogram.counts[bucket], 1);
    }
}

/// [`bucket::of_ns`], which the verifier goes through once and not for each of three durations.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn bucket_of(ns: u64) -> u64 {
    bucket::of_ns(ns) as u64
}

/// Hands a record to userspace. Where the program interrupted itself, it would tear the record
/// that is being written.
#[inline(always)]
pub(crate) fn record(number: u32, mut cpu: Value<BlockCpu>, record: Record) {
    if read(&cpu.busy) != 0 {
        atomic_add(&mut cpu.nested, 1);
        return;
    }
    write(&mut cpu.busy, 1);
    let length = frozen!(SETTINGS.records);
    let head = read(&cpu.head);
    if let Some(mut place) = value(&RECORDS, number * length + (head as u32 & (length - 1))) {
        *place = record;
        write(&mut cpu.head, head + 1);
    }
    write(&mut cpu.busy, 0);
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
