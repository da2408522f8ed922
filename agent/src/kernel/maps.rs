//! The maps of the loaded object, each in this process' memory.

use std::os::fd::AsFd as _;

use agent_ebpf::{
    delays,
    layout::{
        CGROUP_BUCKETS, Cell, CgroupBucket, Control, Cpu, Histogram, PairSet, SLOTS, Settings, map,
    },
};
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use thiserror::Error;

use super::memory::Mapped;

/// Why a map cannot be read.
#[derive(Debug, Error)]
pub enum MapsError {
    /// The object is not this agent's.
    #[error("the kernel object has no array map {0}: it does not belong to this agent")]
    Missing(&'static str),
    /// Likewise.
    #[error(
        "values of the map {name} have {found} bytes, not {expected}: the kernel object does not \
         belong to this agent"
    )]
    Size {
        /// The map.
        name: &'static str,
        /// Bytes of a value in the object.
        found: u32,
        /// Bytes of a value here.
        expected: usize,
    },
    /// The kernel tells nothing of the map.
    #[error("cannot ask the kernel about the map {name}: {source}")]
    Info {
        /// The map.
        name: &'static str,
        /// Why.
        source: aya::maps::MapError,
    },
    /// The kernel refuses to map it.
    #[error("cannot map the map {name} into memory: {source}")]
    Memory {
        /// The map.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// How many values the maps have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) cpus: u32,
    pub(crate) slots: u32,
    pub(crate) shards: u32,
}

impl Shape {
    fn delay_lines(self) -> u32 {
        delays::size(self.shards, self.slots)
    }
}

#[cfg(test)]
const PRIVATE_PAIR_SETS: u32 = 512;

/// The maps that are read at run time; see [`agent_ebpf::layout::map`].
#[derive(Debug)]
pub struct Maps {
    pub(crate) shape: Shape,
    pub(crate) cells: Mapped<Cell>,
    pub(crate) delays: Mapped<delays::Line>,
    pub(crate) throttled: Mapped<Histogram>,
    pub(crate) pairs: Mapped<PairSet>,
    pub(crate) cpus: Mapped<Cpu>,
    pub(crate) cgroups: Mapped<CgroupBucket>,
    pub(crate) holders: Mapped<u64>,
    pub(crate) control: Mapped<Control>,
}

impl Maps {
    /// Maps them all; they stay mapped when the object is gone.
    pub fn open(object: &Ebpf, settings: &Settings) -> Result<Maps, MapsError> {
        let shape = Shape {
            cpus: settings.cpus,
            slots: SLOTS,
            shards: settings.shards,
        };
        Ok(Maps {
            shape,
            cells: open(object, map::CELLS, shape.cpus * shape.slots)?,
            delays: open(object, map::DELAYS, shape.delay_lines())?,
            throttled: open(object, map::THROTTLED, shape.slots)?,
            pairs: open(object, map::PAIRS, shape.cpus * settings.pair_sets)?,
            cpus: open(object, map::CPUS, shape.cpus)?,
            cgroups: open(object, map::CGROUPS, CGROUP_BUCKETS)?,
            holders: open(object, map::HOLDERS, shape.slots)?,
            control: open(object, map::CONTROL, 1)?,
        })
    }

    /// Memory of the same shape that no kernel program writes.
    #[cfg(test)]
    pub(crate) fn private(shape: Shape) -> Maps {
        Maps {
            shape,
            cells: Mapped::private(shape.cpus * shape.slots),
            delays: Mapped::private(shape.delay_lines()),
            throttled: Mapped::private(shape.slots),
            pairs: Mapped::private(shape.cpus * PRIVATE_PAIR_SETS),
            cpus: Mapped::private(shape.cpus),
            cgroups: Mapped::private(CGROUP_BUCKETS),
            holders: Mapped::private(shape.slots),
            control: Mapped::private(1),
        }
    }

    /// The index of a cell.
    pub(crate) fn cell_index(&self, cpu: u32, slot: u32) -> u32 {
        cpu * self.shape.slots + slot
    }
}

pub(super) fn open<T>(
    object: &Ebpf,
    name: &'static str,
    entries: u32,
) -> Result<Mapped<T>, MapsError> {
    let Some(Map::Array(data)) = object.map(name) else {
        return Err(MapsError::Missing(name));
    };
    check_size::<T>(data, name)?;
    Mapped::open(data.fd().as_fd(), entries).map_err(|source| MapsError::Memory { name, source })
}

fn check_size<T>(data: &MapData, name: &'static str) -> Result<(), MapsError> {
    let info = data
        .info()
        .map_err(|source| MapsError::Info { name, source })?;
    let (found, expected) = (info.value_size(), size_of::<T>());
    if found as usize == expected {
        Ok(())
    } else {
        Err(MapsError::Size {
            name,
            found,
            expected,
        })
    }
}
