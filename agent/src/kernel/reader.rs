//! One reading of the maps: accounts, blame, CPUs and health; and the upkeep of the slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use agent_ebpf::{
    layout::Cell,
    owner::{Owner, SLOT_IDLE},
};

use super::{
    accounts::{Accounts, WORDS},
    cpu::Header,
    histograms::Histograms,
    maps::Maps,
    pairs::{Fate, Pairs},
    slots::{Slots, Step, Whose, reserved},
    step_down::{BUDGET, StepDown, Work},
    sums::{CpuReading, Sums},
    system::monotonic,
};
use crate::sample::{Account, Blame, CgroupId, CpuTime, Health, Party};

/// What one reading of the maps tells.
#[derive(Debug)]
pub struct Reading {
    /// By CPU number; `None` is off-line.
    pub cpus: Vec<Option<CpuTime>>,
    /// Accounts of all parties.
    pub accounts: BTreeMap<Party, Account>,
    /// Waited by the first while the second ran, nanoseconds.
    pub blame: Blame,
    /// Without what the maps do not hold: `recursion_misses`, `kernel_run_delay_ns`.
    pub health: Health,
    /// Cgroups whose account changed since the last of these, or is open, with how long they ran
    /// and waited, nanoseconds.
    pub active: BTreeMap<CgroupId, u64>,
}

/// Reads the maps again and again, and keeps the slots in order.
#[derive(Debug)]
pub struct Reader {
    maps: Maps,
    slots: Slots,
    sums: Sums,
    histograms: Histograms,
    pairs: Pairs,
    accounts: Accounts,
    step_down: StepDown,
    /// Since the last reading that was told.
    active: BTreeMap<CgroupId, u64>,
}

/// What a look at the maps finds that is of that instant alone.
struct Look {
    cpus: Vec<CpuReading>,
    /// Open slices by party, nanoseconds.
    open: BTreeMap<Party, u64>,
    at: Duration,
}

impl Reader {
    /// A reader of maps that no program writes yet. These cgroups get their slots at once, and
    /// these CPUs get slots for those that turn up later.
    pub fn new(maps: Maps, cgroups: impl IntoIterator<Item = CgroupId>, online: &[u32]) -> Reader {
        let mut slots = Slots::new(maps.shape.slots);
        maps.fill(&mut slots, cgroups);
        maps.top_up(&mut slots, online);
        Reader {
            sums: Sums::new(&maps),
            histograms: Histograms::new(&maps),
            pairs: Pairs::new(&maps),
            accounts: Accounts::default(),
            step_down: StepDown::new(BUDGET),
            active: BTreeMap::new(),
            slots,
            maps,
        }
    }

    /// Reads everything.
    pub fn read(&mut self, online: &[u32]) -> Reading {
        let Look { cpus, open, at } = self.look(online);
        let (accounts, blame) = self.accounts.report(&open, at);
        Reading {
            accounts,
            blame,
            health: self.health(&cpus),
            active: std::mem::take(&mut self.active),
            cpus: cpu_times(&cpus, online),
        }
    }

    /// Keeps the slots and the sums in order between readings.
    pub fn keep_up(&mut self, online: &[u32]) {
        self.look(online);
    }

    fn look(&mut self, online: &[u32]) -> Look {
        let at = monotonic();
        self.find_taken();
        let used: Vec<u32> = self.slots.in_use().collect();
        let cpus = self
            .sums
            .read(&self.maps, &used, |cpu| online.binary_search(&cpu).is_ok());
        let (open, open_slots) = self.open_slices(&cpus);
        let moved = self.add_growth(&used, &open_slots);
        self.add_blame();
        self.note_active(&moved);
        self.turn_slots(&moved, at);
        self.maps.top_up(&mut self.slots, online);
        self.step(&cpus, at);
        Look { cpus, open, at }
    }

    /// The tree of cgroups was scanned.
    pub fn scanned(&mut self, exists: impl Fn(CgroupId) -> bool) {
        self.slots.scanned(&exists);
        self.accounts.scanned(&exists);
    }

    /// The cgroups that have a slot.
    pub fn cgroups(&self) -> impl Iterator<Item = CgroupId> {
        self.slots.holders()
    }

    /// Slots that CPUs gave to cgroups since the last reading.
    fn find_taken(&mut self) {
        for slot in 0..self.maps.shape.slots {
            if self.slots.is_offered(slot)
                && let Some(id) = self.maps.slot_id(slot)
            {
                self.slots.taken(slot, id);
            }
        }
    }

    /// Open slices by party, and the slots that they will be accounted in.
    fn open_slices(&self, cpus: &[CpuReading]) -> (BTreeMap<Party, u64>, BTreeSet<u32>) {
        let (mut parties, mut slots) = (BTreeMap::new(), BTreeSet::new());
        for reading in cpus {
            let snapshot = &reading.snapshot;
            slots.insert(snapshot.owner.slot());
            if let Whose::Present(party) = self.slots.whose(snapshot.owner) {
                *parties.entry(party).or_default() += snapshot.open_ns;
            }
        }
        (parties, slots)
    }

    /// Adds what the slots grew by; returns those that did or are open.
    fn add_growth(&mut self, used: &[u32], open: &BTreeSet<u32>) -> BTreeSet<u32> {
        let mut moved = BTreeSet::new();
        let mut parties = Vec::with_capacity(used.len());
        for &slot in used {
            let Some(party) = self.party_in(slot) else {
                continue;
            };
            let grown = self.sums.grown(slot);
            if grown != [0; WORDS] {
                self.accounts.add(party, &grown);
            }
            if grown != [0; WORDS] || open.contains(&slot) {
                moved.insert(slot);
            }
            self.histograms.note(slot, &grown);
            parties.push((slot, party));
        }
        self.histograms
            .read(&self.maps, &parties, &mut self.accounts);
        moved
    }

    fn party_in(&self, slot: u32) -> Option<Party> {
        if slot == SLOT_IDLE {
            return None;
        }
        reserved(Owner::new(slot, 0)).or_else(|| self.slots.holder(slot).map(Party::Cgroup))
    }

    fn add_blame(&mut self) {
        let Reader {
            maps,
            slots,
            pairs,
            accounts,
            ..
        } = self;
        let mut grown = Vec::new();
        let is_stale = |owner| matches!(slots.whose(owner), Whose::Past(_) | Whose::Forgotten);
        pairs.read(maps, is_stale, |victim, culprit, ns| {
            let party = |owner| match slots.whose(owner) {
                Whose::Present(party) => Some(party),
                Whose::Past(id) if accounts.has(Party::Cgroup(id)) => Some(Party::Cgroup(id)),
                Whose::Past(_) | Whose::Forgotten | Whose::Idle => Some(Party::Other),
                Whose::Unseen => None,
            };
            match (party(victim), party(culprit)) {
                (Some(victim), Some(culprit)) => {
                    grown.push(((victim, culprit), ns));
                    Fate::Counted
                }
                _ => Fate::Later,
            }
        });
        accounts.blame(grown);
    }

    fn note_active(&mut self, moved: &BTreeSet<u32>) {
        for slot in moved {
            if let Some(id) = self.slots.holder(*slot) {
                let grown: Cell = bytemuck::cast(self.sums.grown(*slot));
                let ns = grown.run_ns + grown.wait_ns.iter().sum::<u64>();
                *self.active.entry(id).or_default() += ns;
            }
        }
    }

    /// Takes slots that are to be used again a step further.
    fn turn_slots(&mut self, moved: &BTreeSet<u32>, now: Duration) {
        for step in self.slots.step(|slot| moved.contains(&slot)) {
            match step {
                Step::Clear { id, owner } => self.maps.clear_entry(id, owner),
                Step::Empty { id, slot } => self.give_back(id, slot, now),
            }
        }
    }

    fn give_back(&mut self, id: CgroupId, slot: u32, now: Duration) {
        self.sums.retire(&self.maps, slot);
        self.histograms.retire(slot);
        self.maps.empty_slot(slot);
        self.slots.emptied(slot);
        self.pairs.expect_stale();
        if !self.slots.holds(id) {
            self.accounts.leave(Party::Cgroup(id), now);
        }
    }

    fn step(&mut self, cpus: &[CpuReading], now: Duration) {
        let work = |cpu: &CpuReading| {
            let header = &cpu.snapshot.header;
            Work {
                seen: header.seen(),
                cost_ns: header.cost_ns(),
                cost_runs: header.cost_runs(),
            }
        };
        let before = self.step_down.detail();
        let detail = self.step_down.decide(now, cpus.iter().map(work).collect());
        if detail != before {
            self.maps.set_detail(detail);
        }
    }

    fn health(&self, cpus: &[CpuReading]) -> Health {
        let stray = self.maps.stray_events();
        let mut health = Health {
            seen: stray,
            detail: self.step_down.detail(),
            names_lost: self.maps.names_lost(),
            ..Health::default()
        };
        health.dropped[agent_ebpf::layout::Drop::UnknownCpu as usize] = stray;
        for cpu in cpus {
            add_header(&mut health, &cpu.snapshot.header);
        }
        health
    }
}

fn add_header(health: &mut Health, header: &Header) {
    health.seen += header.seen();
    health.accounted += header.accounted();
    add(&mut health.dropped, &header.drops());
    add(&mut health.unattributed_ns, &header.reasons_ns());
    health.estimated_ns += header.estimated_ns();
    health.pairs_full_ns += header.pairs_full_ns();
    health.slots_exhausted += header.slots_exhausted();
    health.baselines_lost += header.baselines_lost();
    health.moved_lost += header.moved_lost();
    health.tracks_lost += header.tracks_lost();
    health.unplaced_ns += header.unplaced_ns();
    health.missed += header.missed();
    health.phantoms += header.phantoms();
    health.migrations += header.migrations();
    health.cost_ns += header.cost_ns();
    health.cost_runs += header.cost_runs();
}

fn add<const N: usize>(sums: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn cpu_times(cpus: &[CpuReading], online: &[u32]) -> Vec<Option<CpuTime>> {
    (0u32..)
        .zip(cpus)
        .map(|(cpu, reading)| online.binary_search(&cpu).is_ok().then_some(reading.time))
        .collect()
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
