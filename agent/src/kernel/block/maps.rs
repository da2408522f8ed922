//! The maps of block I/O, each in this process' memory.

use std::mem::offset_of;

use agent_ebpf::{
    block::{
        BlockControl, BlockCpu, DEVICE_SETS, DEVICE_WAYS, DEVICES, Keys, OPERATIONS, Operation,
        Record, STREAM_SETS, STREAM_WAYS, STREAMS, Stream, account_of, accounts, device_of,
        other_account,
    },
    layout::{Settings, map},
};
use aya::Ebpf;

use crate::{
    kernel::{
        maps::{MapsError, open},
        memory::Mapped,
    },
    sample::disk::DeviceId,
};

/// How many values the maps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) cpus: u32,
    pub(crate) shards: u32,
    pub(crate) records: u32,
}

/// See [`agent_ebpf::layout::map`].
#[derive(Debug)]
pub struct BlockMaps {
    pub(super) shape: Shape,
    devices: Mapped<Keys>,
    keys: Mapped<Keys>,
    accounts: Mapped<Stream>,
    pub(super) cpus: Mapped<BlockCpu>,
    pub(super) records: Mapped<Record>,
    control: Mapped<BlockControl>,
}

const KEY: usize = size_of::<u64>();
const CPU_WORDS: usize = size_of::<BlockCpu>() / size_of::<u64>();
/// Readings that take longer than a run of the program does.
const TRIES: u32 = 64;

impl BlockMaps {
    /// Maps them all; they stay mapped when the object is gone.
    pub(crate) fn open(object: &Ebpf, settings: &Settings) -> Result<BlockMaps, MapsError> {
        let shape = Shape {
            cpus: settings.cpus,
            shards: settings.stream_shards,
            records: settings.records,
        };
        Ok(BlockMaps {
            shape,
            devices: open(object, map::DEVICES, DEVICE_SETS)?,
            keys: open(object, map::STREAM_KEYS, STREAM_SETS)?,
            accounts: open(object, map::STREAMS, accounts(shape.shards))?,
            cpus: open(object, map::BLOCK_CPUS, shape.cpus + 1)?,
            records: open(object, map::RECORDS, shape.cpus * shape.records)?,
            control: open(object, map::BLOCK_CONTROL, 1)?,
        })
    }

    /// Memory of the same shape that no kernel program writes.
    #[cfg(test)]
    pub(crate) fn private(shape: Shape) -> BlockMaps {
        BlockMaps {
            shape,
            devices: Mapped::private(DEVICE_SETS),
            keys: Mapped::private(STREAM_SETS),
            accounts: Mapped::private(accounts(shape.shards)),
            cpus: Mapped::private(shape.cpus + 1),
            records: Mapped::private(shape.cpus * shape.records),
            control: Mapped::private(1),
        }
    }

    /// As the program claims a device's first place in its set.
    #[cfg(test)]
    pub(super) fn put_device(&self, set: u32, key: u64) {
        self.devices.set_word(set, 0, key);
    }

    /// As the program accounts.
    #[cfg(test)]
    pub(super) fn put(&self, account: u32, offset: usize, word: u64) {
        self.accounts.set_word(account, offset, word);
    }

    /// The state of a CPU, between two runs of the program there if it can be had: what a run has
    /// seen, it has not accounted yet.
    pub(super) fn cpu(&self, cpu: u32) -> BlockCpu {
        let read = || -> BlockCpu { bytemuck::cast(self.cpus.words::<CPU_WORDS>(cpu)) };
        let mut last = read();
        for _ in 0..TRIES {
            let now = read();
            if now.busy == 0 && now.seen == last.seen {
                return now;
            }
            last = now;
        }
        last
    }

    /// The key of a stream; 0 where there is none.
    pub(super) fn key(&self, stream: u32) -> u64 {
        let (set, way) = (stream / STREAM_WAYS as u32, stream as usize % STREAM_WAYS);
        self.keys.word(set, way * KEY)
    }

    pub(super) fn set_key(&self, stream: u32, key: u64) {
        let (set, way) = (stream / STREAM_WAYS as u32, stream as usize % STREAM_WAYS);
        self.keys.set_word(set, way * KEY, key);
    }

    /// The device in a place.
    pub(super) fn device(&self, place: u32) -> Option<DeviceId> {
        let way = place as usize % DEVICE_WAYS;
        let key = self.devices.word(place / DEVICE_WAYS as u32, way * KEY);
        device_of(key).map(|(major, minor)| DeviceId { major, minor })
    }

    /// No stream refers to the place any more.
    pub(super) fn free_device(&self, place: u32) {
        let way = place as usize % DEVICE_WAYS;
        self.devices
            .set_word(place / DEVICE_WAYS as u32, way * KEY, 0);
    }

    /// Devices by their places.
    pub(super) fn devices(&self) -> impl Iterator<Item = (u32, DeviceId)> {
        (0..DEVICES).filter_map(|place| Some((place, self.device(place)?)))
    }

    /// Indexes of the accounts of a stream.
    pub(super) fn accounts_of(&self, stream: u32) -> impl Iterator<Item = u32> + Clone + use<> {
        debug_assert!(stream < STREAMS);
        (0..=self.shape.shards).map(move |shard| account_of(shard, stream))
    }

    /// The index of the account of a device's streams that found no place.
    pub(super) fn other(&self, device: u32, operation: Operation) -> u32 {
        other_account(self.shape.shards, device, operation as u32)
    }

    /// Index among those: for tables beside it.
    pub(super) fn other_number(device: u32, operation: Operation) -> usize {
        device as usize * OPERATIONS + operation as usize
    }

    pub(super) fn words<const N: usize>(&self, account: u32) -> [u64; N] {
        self.accounts.words(account)
    }

    pub(super) fn word(&self, account: u32, offset: usize) -> u64 {
        self.accounts.word(account, offset)
    }

    pub(super) fn empty(&self, account: u32) {
        self.accounts.zero(account);
    }

    /// Every 2^k-th piece of time is to be observed in detail.
    pub(super) fn set_sampled(&self, sampled: u32) {
        self.control
            .set_half(0, offset_of!(BlockControl, sampled), sampled);
    }

    /// A program notes when requests are issued.
    pub(super) fn set_issues(&self) {
        self.control
            .set_half(0, offset_of!(BlockControl, issues), 1);
    }
}
