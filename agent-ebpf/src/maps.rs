//! The maps: memory-mapped arrays, sized by userspace before loading.

use core::ops::{Deref, DerefMut};

use agent_ebpf::{
    baseline, bucket, delays,
    layout::{
        CGROUP_BUCKETS, Cell, CgroupBucket, Control, Cpu, Histogram, PairSet, SLOTS, cgroup_bucket,
        cgroup_entry, cgroup_entry_owner, pair_key, pair_set,
    },
    opaque,
    owner::Owner,
    throttle::{self, Track},
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, RingBuf},
};

use crate::kernel::host;

macro_rules! mapped_array {
    ($name:ident, $value:ty, $entries:expr) => {
        #[map]
        static $name: Array<$value> = Array::with_max_entries($entries, BPF_F_MMAPABLE);
    };
}

pub(crate) use mapped_array;

mapped_array!(CELLS, Cell, 1);
mapped_array!(DELAYS, delays::Line, 1);
mapped_array!(THROTTLED, Histogram, 1);
mapped_array!(PAIRS, PairSet, 1);
mapped_array!(CPUS, Cpu, 1);
mapped_array!(TASKS, baseline::Set, baseline::SETS);
mapped_array!(MOVED, baseline::Moved, baseline::MOVED_ENTRIES);
mapped_array!(TRACKS, Track, 1);
mapped_array!(CGROUPS, CgroupBucket, CGROUP_BUCKETS);
mapped_array!(HOLDERS, u64, 1);
mapped_array!(CONTROL, Control, 1);

#[map]
pub(crate) static CGROUPS_MADE: RingBuf = RingBuf::with_byte_size(512 * 1024, 0);

/// A value of a map. The verifier knows its size; nobody else writes it, or a lost write is
/// harmless: see the map's documentation.
///
/// A pointer and no reference: global functions get at the same value by its index, and a
/// reference held over the call would promise the compiler that they do not.
pub(crate) struct Value<T: 'static>(*mut T);

impl<T> Clone for Value<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Value<T> {}

impl<T> Deref for Value<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a value of the map, which lives as long as the program.
        unsafe { &*self.0 }
    }
}

impl<T> DerefMut for Value<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; borrows end before the next call of a global function.
        unsafe { &mut *self.0 }
    }
}

#[inline(always)]
pub(crate) fn value<T>(map: &'static Array<T>, index: u32) -> Option<Value<T>> {
    map.get_ptr_mut(index).map(Value)
}

#[inline(always)]
pub(crate) fn cpu(index: u32) -> Option<Value<Cpu>> {
    value(&CPUS, index)
}

#[inline(always)]
pub(crate) fn cell(cpu: u32, owner: Owner) -> Option<Value<Cell>> {
    value(&CELLS, cpu * SLOTS + owner.slot())
}

#[inline(always)]
pub(crate) fn baselines(pid: u32) -> Option<Value<baseline::Set>> {
    value(&TASKS, baseline::set_of(pid))
}

#[inline(always)]
pub(crate) fn moved(pid: u32) -> Option<Value<baseline::Moved>> {
    value(&MOVED, baseline::moved_of(pid))
}

/// How much to account.
#[inline(always)]
pub(crate) fn detail() -> u32 {
    value(&CONTROL, 0).map_or(0, |control| control.detail)
}

/// An event of a CPU that the maps have no room for.
#[inline(always)]
pub(crate) fn count_stray() {
    if let Some(mut control) = value(&CONTROL, 0) {
        atomic_add(&mut control.stray_events, 1);
    }
}

/// A cgroup whose name found no room.
#[inline(always)]
pub(crate) fn count_lost_name() {
    if let Some(mut control) = value(&CONTROL, 0) {
        atomic_add(&mut control.names_lost, 1);
    }
}

/// [`bucket::of_ns`], apart: the verifier goes through it once.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn bucket_of(ns: u64) -> u64 {
    bucket::of_ns(ns) as u64
}

/// Counts a wait by its run-queue delay.
#[inline(always)]
pub(crate) fn count_delay(cpu: u32, owner: Owner, bucket: u32) {
    let shards = host!(SETTINGS.shards);
    let place = delays::Place::of(owner.slot());
    let index = delays::index(cpu & (shards - 1), bucket, place.line, SLOTS);
    let Some(mut line) = value(&DELAYS, index) else {
        return;
    };
    if shards >= host!(SETTINGS.cpus) {
        line.counts[place.count] += 1;
    } else {
        atomic_add(&mut line.counts[place.count], 1);
    }
}

/// Counts a wait in the histogram of throttled time.
#[inline(always)]
pub(crate) fn count_throttled(owner: Owner, bucket: usize) {
    let Some(mut histogram) = value(&THROTTLED, owner.slot()) else {
        return;
    };
    let bucket = opaque(bucket);
    if bucket < histogram.counts.len() {
        atomic_add(&mut histogram.counts[bucket], 1);
    }
}

/// Adds to what `victim` waited while `culprit` ran; `false` when there is no room for the pair.
#[inline(always)]
pub(crate) fn add_blame(cpu: u32, victim: Owner, culprit: u32, ns: u64) -> bool {
    let key = pair_key(victim.0, culprit);
    let sets = host!(SETTINGS.pair_sets);
    value(&PAIRS, cpu * sets + pair_set(key, sets)).is_some_and(|mut set| set.add(key, ns))
}

/// The slot of a cgroup; a new cgroup gets one of the CPU's free slots.
#[inline(always)]
pub(crate) fn owner_of_cgroup(mut state: Value<Cpu>, id: u64) -> Owner {
    let Some(mut bucket) = value(&CGROUPS, cgroup_bucket(id)) else {
        return Owner::OTHER;
    };
    let mut empty = None;
    for entry in &mut bucket.entries {
        if let Some(owner) = cgroup_entry_owner(*entry, id) {
            return Owner(owner);
        }
        if *entry == 0 && empty.is_none() {
            empty = Some(entry);
        }
    }
    let taken = match empty {
        Some(entry) => take_slot(state, id, entry),
        None => None,
    };
    taken.unwrap_or_else(|| {
        state.slots_exhausted += 1;
        Owner::OTHER
    })
}

#[inline(always)]
fn take_slot(mut state: Value<Cpu>, id: u64, entry: &mut u64) -> Option<Owner> {
    let free = &mut state.free;
    if free.head == free.tail {
        return None;
    }
    let owners = free.owners.len();
    let owner = Owner(free.owners[opaque(free.head as usize) & (owners - 1)]);
    let mut holder = value(&HOLDERS, owner.slot())?;
    free.head = free.head.wrapping_add(1);
    *holder = id;
    *entry = cgroup_entry(id, owner.0);
    Some(owner)
}

/// Where the track of a `cfs_rq` on `cpu` is, if it has one.
#[inline(always)]
pub(crate) fn find_track(cpu: u32, cfs_rq: u64) -> Option<u32> {
    for probe in 0..throttle::PROBES {
        let place = track_place(cpu, cfs_rq, probe);
        if track(place).is_some_and(|track| track.tag == cfs_rq) {
            return Some(place);
        }
    }
    None
}

/// Makes a new track: in an empty place, or in another's.
#[inline(always)]
pub(crate) fn new_track(cpu: u32, cfs_rq: u64, mut state: Value<Cpu>, self_time: u64) -> u32 {
    let mut place = track_place(cpu, cfs_rq, state.tracks_lost as u32 % throttle::PROBES);
    let mut lost = 1;
    for probe in 0..throttle::PROBES {
        let candidate = track_place(cpu, cfs_rq, probe);
        if track(candidate).is_some_and(|track| track.tag == 0) {
            place = candidate;
            lost = 0;
            break;
        }
    }
    state.tracks_lost += lost;
    if let Some(mut track) = track(place) {
        if track.open != 0 {
            state.throttles_open = state.throttles_open.saturating_sub(1);
        }
        track.reset(cfs_rq, self_time);
    }
    place
}

#[inline(always)]
fn track_place(cpu: u32, cfs_rq: u64, probe: u32) -> u32 {
    cpu * throttle::TRACKS + ((throttle::track_of(cfs_rq) + probe) & (throttle::TRACKS - 1))
}

#[inline(always)]
pub(crate) fn track(place: u32) -> Option<Value<Track>> {
    value(&TRACKS, place)
}

/// An addition that other CPUs may do at the same time. Its result is not used: the instruction
/// set of 5.10 has no atomic operation with one.
#[inline(always)]
pub(crate) fn atomic_add<T: Copy>(value: &mut T, addend: T) {
    // SAFETY: aligned, and valid for as long as the reference.
    unsafe {
        core::intrinsics::atomic_xadd::<T, T, { core::intrinsics::AtomicOrdering::Relaxed }>(
            value, addend,
        );
    }
}
