//! What both sides share of block I/O: accounts of streams, and records of single requests.
//!
//! A stream is what one cgroup did on one device with one operation. Programs on request
//! completion run in every context, and one may interrupt another on its CPU: that one has
//! accounts of its own. What several write is changed by atomic additions, and a place in a table
//! is claimed by one: see [`claim`].

use bytemuck::{Pod, Zeroable};

use crate::layout::{Histogram, hash};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Operation {
    /// Data from the device.
    Read = 0,
    /// Data to the device, zone appends included.
    Write = 1,
    /// The device's cache to its medium, without data.
    Flush = 2,
    /// Discards, secure erases and zeroes: no data moves, and they may take long.
    Discard = 3,
}

/// How many [`Operation`]s there are.
pub const OPERATIONS: usize = 4;

impl Operation {
    /// All of them in the order of their numbers.
    pub const ALL: [Operation; OPERATIONS] = [
        Operation::Read,
        Operation::Write,
        Operation::Flush,
        Operation::Discard,
    ];

    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Flush => "flush",
            Operation::Discard => "discard",
        }
    }
}

/// Sets of the table of streams; the position of a key is the number of its stream.
pub const STREAM_SETS: u32 = 64;
/// Keys in a set: one cache line.
pub const STREAM_WAYS: usize = 8;
/// Streams with an account of their own.
pub const STREAMS: u32 = STREAM_SETS * STREAM_WAYS as u32;
/// Copies of the accounts at most, so that CPUs do not wait for each other's cache lines.
pub const MOST_STREAM_SHARDS: u32 = 8;

/// Devices with requests of their own.
pub const DEVICE_SETS: u32 = 16;
/// Keys in a set: one cache line.
pub const DEVICE_WAYS: usize = 8;
/// Places for devices.
pub const DEVICES: u32 = DEVICE_SETS * DEVICE_WAYS as u32;

/// All accounts: those of the streams, in shards and one more for runs that interrupted another;
/// then, for all streams that found no place, one for each device and operation.
pub const fn accounts(shards: u32) -> u32 {
    (shards + 1) * STREAMS + DEVICES * OPERATIONS as u32
}

/// The account of a stream on one shard.
#[inline(always)]
pub const fn account_of(shard: u32, stream: u32) -> u32 {
    shard * STREAMS + stream
}

/// The account of the streams of a device that found no place.
#[inline(always)]
pub const fn other_account(shards: u32, device: u32, operation: u32) -> u32 {
    (shards + 1) * STREAMS + (device & (DEVICES - 1)) * OPERATIONS as u32 + operation
}

/// Marks a key: the sum of up to 4,095 keys is no key, and 0 is none.
const KEY: u64 = 1;
const KEY_BITS: u64 = 0xfff;
/// Userspace keeps the place until nobody can be writing to it.
pub const RETIRED: u64 = 2;
const CGROUP_BITS: u64 = (1 << 40) - 1;

/// A line of keys.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Keys {
    /// Keys, 0 where free.
    pub keys: [u64; STREAM_WAYS],
}

/// The key of a stream: `{cgroup: 40 | device: 8 | operation: 4 | mark: 12}`. Cgroup 0 is the
/// device itself, whose flushes nobody owns.
#[inline(always)]
pub fn stream_key(cgroup: u64, device: u32, operation: u32) -> u64 {
    ((cgroup & CGROUP_BITS) << 24)
        | ((device as u64 & 0xff) << 16)
        | ((operation as u64 & 0xf) << 12)
        | KEY
}

/// Cgroup id, place of the device and operation of a stream; `None` for what is no key.
pub fn stream_of(key: u64) -> Option<(u64, u32, Operation)> {
    if key & KEY_BITS != KEY {
        return None;
    }
    let operation = Operation::ALL.get((key >> 12) as usize & 0xf)?;
    Some((key >> 24, (key >> 16) as u32 & 0xff, *operation))
}

/// The two sets where a stream may be.
#[inline(always)]
pub fn stream_sets(key: u64) -> [u32; 2] {
    let hash = hash(key >> 12) as u32;
    [hash & (STREAM_SETS - 1), (hash >> 16) & (STREAM_SETS - 1)]
}

/// The key of a device.
#[inline(always)]
pub fn device_key(major: u32, minor: u32) -> u64 {
    ((major as u64 & 0xfff) << 32) | ((minor as u64 & 0xf_ffff) << 12) | KEY
}

/// Major and minor number of a device; `None` for what is no key.
pub fn device_of(key: u64) -> Option<(u32, u32)> {
    (key & KEY_BITS == KEY).then_some(((key >> 32) as u32 & 0xfff, (key >> 12) as u32 & 0xf_ffff))
}

/// The set where a device may be.
#[inline(always)]
pub fn device_set(key: u64) -> u32 {
    hash(key >> 12) as u32 & (DEVICE_SETS - 1)
}

/// What a key finds in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It sits there.
    Taken(usize),
    /// It does not, and this place is free.
    Free(usize),
    /// Neither.
    Full,
}

impl Keys {
    /// Looks for a key.
    #[inline(always)]
    pub fn find(&self, key: u64) -> Place {
        let mut place = Place::Full;
        for (way, other) in self.keys.iter().enumerate() {
            if *other == key {
                return Place::Taken(way);
            }
            if *other == 0 && place == Place::Full {
                place = Place::Free(way);
            }
        }
        place
    }
}

/// Claims a free place by additions alone; `add` adds to the place, `read` reads it. The
/// instruction set of 5.10 has no compare-and-swap. Whoever reads its own key back has the place;
/// several at once read sums, which are no keys, and all take their addition back.
#[inline(always)]
pub fn claim(key: u64, mut add: impl FnMut(u64), read: impl Fn() -> u64) -> bool {
    add(key);
    let is_mine = read() == key;
    if !is_mine {
        add(key.wrapping_neg());
    }
    is_mine
}

/// What one stream did since attach, on the CPUs of one shard. Cumulative; counts of histograms
/// wrap at 2^32. The requests are those in the histogram of total time and those that are in none.
/// The histograms come first: their places are then whole cache lines.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Stream {
    /// Created to issued; bucket 0 is empty, and the rest.
    pub queue: Histogram,
    /// Issued to completed.
    pub device: Histogram,
    /// Created to completed.
    pub total: Histogram,
    /// Completed bytes.
    pub bytes: u64,
    /// Sum of queue time, nanoseconds.
    pub queue_ns: u64,
    /// Sum of device time.
    pub device_ns: u64,
    /// Sum of the total time of requests whose issue is not known: in neither of the above.
    pub undivided_ns: u64,
    /// Requests that failed.
    pub errors: u32,
    /// Requests whose creation is not known: in no total.
    pub untimed: u32,
    /// Requests whose creation is known and whose issue is not: in neither queue nor device time.
    pub unissued: u32,
    /// Requests whose issue a program of ours saw, and not the kernel.
    pub seen_issued: u32,
    /// Requests of which neither is known; among `untimed`.
    pub unseen: u32,
    /// Reserved.
    pub _pad: [u32; 3],
}

/// One completed request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Zeroable, Pod)]
pub struct Record {
    /// Created, monotonic clock, nanoseconds.
    pub start: u64,
    /// Issued; 0 where that is not known.
    pub issued: u64,
    /// Completed.
    pub done: u64,
    /// Bytes, at most 2^32 - 1.
    pub bytes: u32,
    /// Its stream; with [`OTHER`] the place of its device, and its operation from bit 16 on.
    pub stream: u32,
}

/// Marks a record whose stream found no place.
pub const OTHER: u32 = 1 << 31;

/// What a record without a stream of its own tells instead.
#[inline(always)]
pub const fn other_stream(device: u32, operation: u32) -> u32 {
    OTHER | (operation << 16) | device
}

/// Time is cut into pieces of 2^23 ns, 8.4 ms: of these every 2^k-th is observed in detail.
pub const PIECE_BITS: u32 = 23;

/// Whether part of a request lies in a piece that is observed in detail.
#[inline(always)]
pub fn in_observed_piece(start: u64, done: u64, sampled: u32) -> bool {
    let last = (done >> PIECE_BITS) >> sampled << sampled;
    last >= start >> PIECE_BITS
}

/// The state of one CPU; one more is that of all runs that interrupted another.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct BlockCpu {
    /// 1 while the program runs.
    pub busy: u64,
    /// Completions that the program saw.
    pub seen: u64,
    /// Of these, accounted: the requests of all streams.
    pub accounted: u64,
    /// Of these, not the end of a request: parts of it, or of the sequence that a flush becomes.
    pub partial: u64,
    /// Of these, commands of drivers and operations on zones, which are no I/O of anybody.
    pub not_io: u64,
    /// Of these, of devices without a place.
    pub no_device: u64,
    /// Records written: the place of the next one, modulo the length of the ring.
    pub head: u64,
    /// Records not written, for another one was being written.
    pub unrecorded: u64,
}

/// What userspace tells the program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct BlockControl {
    /// Every 2^k-th piece of time is observed in detail.
    pub sampled: u32,
    /// 1: a program notes when requests are issued.
    pub issues: u32,
}

/// Where this kernel keeps what the programs read of requests: byte offsets, from its BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable, Pod)]
pub struct BlockOffsets {
    /// Index of the request among the arguments of `block_rq_issue`: 1 before 5.11.
    pub arg_issued: u32,
    /// `request.q`.
    pub request_queue: u32,
    /// `request.cmd_flags`.
    pub request_cmd_flags: u32,
    /// `request.rq_flags`.
    pub request_flags: u32,
    /// `request.__data_len`.
    pub request_bytes: u32,
    /// `request.bio`.
    pub request_bio: u32,
    /// `request.start_time_ns`.
    pub request_start: u32,
    /// `request.io_start_time_ns`, or absent.
    pub request_issued: u32,
    /// `request.nr_phys_segments`.
    pub request_segments: u32,
    /// `request.rq_disk`, until 5.16, or absent.
    pub request_disk: u32,
    /// `request_queue.disk`, or absent.
    pub queue_disk: u32,
    /// `gendisk.major`.
    pub disk_major: u32,
    /// `gendisk.first_minor`.
    pub disk_minor: u32,
    /// `bio.bi_blkg`, or absent: all I/O is nobody's.
    pub bio_group: u32,
    /// `blkcg_gq.blkcg`, with `blkcg.css.cgroup`.
    pub group_blkcg: u32,
    /// `blkcg.css.cgroup`.
    pub blkcg_cgroup: u32,
    /// `RQF_FLUSH_SEQ`: part of the sequence that a flush becomes.
    pub flag_flush_sequence: u32,
    /// `RQF_IO_STAT` where it tells that the creation was noted (6.12 and later); 0 where a
    /// creation of 0 tells that it was not.
    pub flag_io_stat: u32,
    /// `REQ_OP_ZONE_APPEND`.
    pub op_zone_append: u32,
    /// Reserved.
    pub _pad: u32,
}

/// `REQ_OP_*` of include/linux/blk_types.h that have the same numbers in all versions.
pub mod op {
    /// Bits of `cmd_flags` that hold it.
    pub const MASK: u32 = 0xff;
    /// `REQ_OP_READ`.
    pub const READ: u32 = 0;
    /// `REQ_OP_WRITE`.
    pub const WRITE: u32 = 1;
    /// `REQ_OP_FLUSH`.
    pub const FLUSH: u32 = 2;
    /// `REQ_OP_DISCARD`.
    pub const DISCARD: u32 = 3;
    /// `REQ_OP_SECURE_ERASE`.
    pub const SECURE_ERASE: u32 = 5;
    /// `REQ_OP_WRITE_ZEROES`.
    pub const WRITE_ZEROES: u32 = 9;
}

/// Places for requests between issue and completion, where the kernel does not note the issue.
pub const ISSUES: u32 = 16_384;

/// When a request was issued. A later one in the same place overwrites it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Issue {
    /// Address of the request.
    pub request: u64,
    /// [`Issue::seal`] of the time.
    pub sealed: u64,
}

impl Issue {
    /// Two CPUs may write one half each: the time then belongs to the other request, and what is
    /// made of it is no time at all.
    #[inline(always)]
    pub fn seal(request: u64, time: u64) -> u64 {
        time ^ crate::layout::mix(request)
    }

    /// When the request was issued, if it was between the two times.
    #[inline(always)]
    pub fn time(&self, request: u64, from: u64, to: u64) -> Option<u64> {
        let time = Issue::seal(request, self.sealed);
        (self.request == request && time >= from && time <= to).then_some(time)
    }
}

/// The place of a request. Requests are as far apart as they are large.
#[inline(always)]
pub fn issue_of(request: u64) -> u32 {
    hash(request >> 6) as u32 & (ISSUES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    #[test]
    fn values_have_the_sizes_that_the_memory_plan_counts_on() {
        assert_eq!(size_of::<Stream>(), 1_408);
        assert_eq!(size_of::<Record>(), 32);
        assert_eq!((size_of::<Keys>(), size_of::<BlockCpu>()), (64, 64));
    }

    #[test]
    fn racers_for_a_place_take_their_keys_back() {
        let (one, other) = (stream_key(5, 1, 0), stream_key(7, 2, 1));
        let place = Cell::new(0u64);
        let add = |value: u64| place.set(place.get().wrapping_add(value));
        // The other adds its own before this one reads.
        let got = claim(
            one,
            |value| {
                add(value);
                if value == one {
                    add(other);
                }
            },
            || place.get(),
        );
        assert!(!got);
        assert_eq!(place.get(), other);
        add(other.wrapping_neg());
        assert!(claim(one, add, || place.get()));
        assert_eq!(place.get(), one);
    }

    #[test]
    fn a_request_belongs_to_observed_pieces_that_it_touches() {
        let piece = |number: u64| number << PIECE_BITS;
        assert!(in_observed_piece(piece(5), piece(5) + 1, 0));
        assert!(!in_observed_piece(piece(5), piece(7), 2));
        assert!(in_observed_piece(piece(5), piece(8), 2));
        assert!(in_observed_piece(piece(8) + 9, piece(9), 2));
    }

    proptest! {
        #[test]
        fn keys_tell_their_streams(cgroup in 0u64..1 << 40, device in 0u32..DEVICES, op in 0u32..4) {
            let key = stream_key(cgroup, device, op);
            let expected = (cgroup, device, Operation::ALL[op as usize]);
            prop_assert_eq!(stream_of(key), Some(expected));
            prop_assert!(stream_sets(key).iter().all(|set| *set < STREAM_SETS));
        }

        #[test]
        fn keys_tell_their_devices(major in 0u32..4096, minor in 0u32..1 << 20) {
            let key = device_key(major, minor);
            prop_assert_eq!(device_of(key), Some((major, minor)));
            prop_assert!(device_set(key) < DEVICE_SETS);
        }

        #[test]
        fn sums_of_keys_are_no_keys(keys in proptest::collection::vec((0u64..1 << 40, 0u32..64, 0u32..4), 2..9)) {
            let sum = keys.iter().fold(0u64, |sum, (cgroup, device, op)| {
                sum.wrapping_add(stream_key(*cgroup, *device, *op))
            });
            prop_assert_eq!(stream_of(sum), None);
        }

        #[test]
        fn a_torn_issue_is_none(one in 1u64 << 40..1 << 47, other in 1u64 << 40..1 << 47, now in 1u64 << 30..1 << 50) {
            let issue = Issue { request: one, sealed: Issue::seal(one, now) };
            prop_assert_eq!(issue.time(one, now - 5, now + 5), Some(now));
            prop_assert_eq!(issue.time(one, now + 1, now + 5), None);
            prop_assume!(one != other);
            let torn = Issue { request: other, sealed: Issue::seal(one, now) };
            prop_assert_eq!(torn.time(other, now - 1_000_000, now + 1_000_000), None);
        }
    }
}
