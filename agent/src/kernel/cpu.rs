//! What one CPU says of itself: counters, and the slice that has not ended.

use std::{
    mem::offset_of,
    sync::atomic::{Ordering, fence},
};

use agent_ebpf::{
    layout::{Cpu, DROPS, REASONS},
    owner::Owner,
};

use super::{
    accounts::WORDS,
    clock::{Pair, open_for},
    maps::Maps,
    system::monotonic_ns,
};

/// Words of a [`Cpu`] before the part that userspace writes.
const HEADER: usize = offset_of!(Cpu, free) / size_of::<u64>();
const _: () = assert!(offset_of!(Cpu, free).is_multiple_of(size_of::<u64>()));

/// Attempts at reading between two changes. A run of a program takes less than one; more are
/// needed only where the hypervisor stopped the CPU in the middle of it.
const ATTEMPTS: u32 = 64;

/// The counters of one CPU at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header([u64; HEADER]);

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        $(pub(crate) fn $name(&self) -> u64 {
            self.word(offset_of!(Cpu, $name))
        })*
    };
}

impl Header {
    pub(crate) fn read(maps: &Maps, cpu: u32) -> Header {
        Header(maps.cpus.words(cpu))
    }

    fn word(&self, offset: usize) -> u64 {
        self.0[offset / size_of::<u64>()]
    }

    counters!(
        seen,
        accounted,
        last_switch,
        cost_ns,
        cost_runs,
        estimated_ns,
        pairs_full_ns,
        slots_exhausted,
        baselines_lost,
        moved_lost,
        tracks_lost,
        unplaced_ns,
        missed,
        migrations,
        phantoms,
    );

    pub(crate) fn open_owner(&self) -> Owner {
        // The programs and this process have the same byte order: the low half comes first.
        Owner(self.word(offset_of!(Cpu, open_owner)) as u32)
    }

    pub(crate) fn clocks(&self) -> Pair {
        Pair {
            rq_clock: self.word(offset_of!(Cpu, sync_rq_clock)),
            monotonic: self.word(offset_of!(Cpu, sync_monotonic)),
        }
    }

    pub(crate) fn drops(&self) -> [u64; DROPS] {
        std::array::from_fn(|at| self.word(offset_of!(Cpu, drops) + at * size_of::<u64>()))
    }

    pub(crate) fn reasons_ns(&self) -> [u64; REASONS] {
        std::array::from_fn(|at| self.word(offset_of!(Cpu, reasons_ns) + at * size_of::<u64>()))
    }

    /// Whether no switch was in work: each is counted at its start and at its end.
    fn is_settled(&self) -> bool {
        self.seen() == self.accounted() + self.drops().iter().sum::<u64>()
    }
}

/// A CPU between two changes of its account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) header: Header,
    /// Who has the CPU now …
    pub(crate) owner: Owner,
    /// … for so long that is not accounted yet, nanoseconds …
    pub(crate) open_ns: u64,
    /// … and what the CPU accounted for it before.
    pub(crate) cell: [u64; WORDS],
}

/// Reads a CPU between two changes of its account. When that does not succeed, what is read may
/// lack the part of the slice that was just accounted.
pub(crate) fn snapshot(maps: &Maps, cpu: u32) -> Snapshot {
    let mut last = attempt(maps, cpu);
    for _ in 1..ATTEMPTS {
        let (snapshot, is_whole) = last;
        if is_whole {
            return snapshot;
        }
        std::hint::spin_loop();
        last = attempt(maps, cpu);
    }
    let (mut snapshot, _) = last;
    snapshot.open_ns = 0;
    snapshot
}

/// The account changes at a switch, which is counted, and when a queued task is moved away, which
/// moves the start of the open slice and then what the cell holds. So all three are read twice.
fn attempt(maps: &Maps, cpu: u32) -> (Snapshot, bool) {
    let header = Header::read(maps, cpu);
    fence(Ordering::Acquire);
    let owner = header.open_owner();
    let cell = cell_of(maps, cpu, owner);
    let now = monotonic_ns();
    fence(Ordering::Acquire);
    let again = Header::read(maps, cpu);
    let is_same = again.seen() == header.seen() && again.last_switch() == header.last_switch();
    let snapshot = Snapshot {
        header,
        owner,
        open_ns: open_for(header.clocks(), header.last_switch(), now),
        cell,
    };
    let is_whole = is_same && header.is_settled() && cell_of(maps, cpu, owner) == cell;
    (snapshot, is_whole)
}

fn cell_of(maps: &Maps, cpu: u32, owner: Owner) -> [u64; WORDS] {
    if owner.slot() < maps.shape.slots {
        maps.cells.words(maps.cell_index(cpu, owner.slot()))
    } else {
        [0; WORDS]
    }
}
