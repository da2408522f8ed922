//! Who sits in which slot of the maps, and when a slot may be given to another. Pure.
//!
//! A slot goes from the pool to a CPU's free list, from there to the cgroup that the CPU meets
//! first, and back to the pool when the cgroup is gone, or has been idle for longer than others
//! while slots are short: its entry in the table is cleared, after two more readings the slot is
//! emptied and gets the next generation. A cgroup that runs again gets another slot. Two CPUs that
//! meet a cgroup at once may give it two.

use std::collections::{HashMap, VecDeque};

use agent_ebpf::owner::{Owner, SLOT_FIRST_CGROUP, SLOT_IDLE, SLOT_OTHER};

use crate::sample::{CgroupId, Party};

/// Scans in a row that a cgroup is missing from before its slot is taken back.
const SCANS: u8 = 2;
/// Readings in a row in which a cgroup did nothing before its slot may go to another.
const IDLE: u32 = 2;
/// So many slots in a hundred are to be free, for cgroups that turn up.
const FREE_PERCENT: usize = 25;
/// Readings between clearing the table's entry and emptying the slot: a CPU that found the entry
/// a moment before may still be writing.
const READINGS: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the pool.
    Free,
    /// In the free list of a CPU, which may take it at any moment.
    Offered,
    /// Held by a cgroup that so many scans in a row did not find, and that did nothing for so many
    /// readings.
    Held {
        id: CgroupId,
        missing: u8,
        idle: u32,
    },
    /// Held by a cgroup that no CPU finds there any more, for so many readings.
    Leaving { id: CgroupId, readings: u8 },
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    generation: u8,
    /// Who had it in the generation before: histories of CPUs still name it.
    before: Option<CgroupId>,
}

impl Slot {
    /// No CPU is to find its holder there any more.
    fn clear(&mut self, at: u32) -> Option<Step> {
        let State::Held { id, .. } = self.state else {
            return None;
        };
        self.state = State::Leaving { id, readings: 0 };
        let owner = Owner::new(at, self.generation);
        Some(Step::Clear { id, owner })
    }
}

/// What is to be done in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Clear the table's entry that leads from this cgroup to this owner.
    Clear {
        /// The cgroup.
        id: CgroupId,
        /// The owner.
        owner: Owner,
    },
    /// Empty the slot: nobody writes there.
    Empty {
        /// Who had it.
        id: CgroupId,
        /// The slot.
        slot: u32,
    },
}

/// Whom an owner stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The idle task.
    Idle,
    /// A party that is there.
    Present(Party),
    /// A cgroup that gave the slot back.
    Past(CgroupId),
    /// A CPU took the slot just now; the next look tells for whom.
    Unseen,
    /// Too long ago to know.
    Forgotten,
}

/// All slots that cgroups can have.
#[derive(Debug)]
pub(crate) struct Slots {
    all: Vec<Slot>,
    pool: VecDeque<u32>,
    /// Slots of each cgroup, those that are leaving included.
    held: HashMap<CgroupId, u32>,
}

impl Slots {
    /// `count` slots, of which cgroups get all but the reserved.
    pub(crate) fn new(count: u32) -> Slots {
        let free = Slot {
            state: State::Free,
            generation: 0,
            before: None,
        };
        Slots {
            all: vec![free; count as usize],
            pool: (SLOT_FIRST_CGROUP..count).collect(),
            held: HashMap::new(),
        }
    }

    /// Slots in the pool.
    pub(crate) fn free(&self) -> u32 {
        self.pool.len() as u32
    }

    /// Gives a slot to a cgroup at once, before the programs run.
    pub(crate) fn assign(&mut self, id: CgroupId) -> Option<Owner> {
        let owner = self.offer()?;
        self.taken(owner.slot(), id);
        Some(owner)
    }

    /// Takes a slot out of the pool, for the free list of a CPU.
    pub(crate) fn offer(&mut self) -> Option<Owner> {
        let slot = self.pool.pop_front()?;
        let entry = self.all.get_mut(slot as usize)?;
        entry.state = State::Offered;
        Some(Owner::new(slot, entry.generation))
    }

    /// A CPU gave a slot of its free list to this cgroup. What is known already is ignored.
    pub(crate) fn taken(&mut self, slot: u32, id: CgroupId) {
        if let Some(entry) = self.all.get_mut(slot as usize)
            && entry.state == State::Offered
        {
            entry.state = State::Held {
                id,
                missing: 0,
                idle: 0,
            };
            *self.held.entry(id).or_default() += 1;
        }
    }

    /// A scan of the cgroup tree.
    pub(crate) fn scanned(&mut self, exists: impl Fn(CgroupId) -> bool) {
        for slot in &mut self.all {
            if let State::Held { id, missing, .. } = &mut slot.state {
                *missing = if exists(*id) {
                    0
                } else {
                    missing.saturating_add(1)
                };
            }
        }
    }

    /// A reading; `moved` are the slots whose account changed since the last, or is open.
    pub(crate) fn step(&mut self, moved: impl Fn(u32) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut available = 0;
        let mut idle_ones = Vec::new();
        for (at, slot) in (0..).zip(&mut self.all) {
            match &mut slot.state {
                State::Free | State::Offered if at >= SLOT_FIRST_CGROUP => available += 1,
                State::Leaving { .. } => available += 1,
                State::Free | State::Offered | State::Held { .. } => {}
            }
            match &mut slot.state {
                State::Held { missing, idle, .. } if moved(at) => (*missing, *idle) = (0, 0),
                State::Held { missing, .. } if *missing >= SCANS => {
                    available += 1;
                    steps.extend(slot.clear(at));
                }
                State::Held { idle, .. } => {
                    *idle = idle.saturating_add(1);
                    if *idle >= IDLE {
                        idle_ones.push((*idle, at));
                    }
                }
                State::Leaving { readings, .. } if moved(at) => *readings = 0,
                State::Leaving { readings, .. } if *readings < READINGS => *readings += 1,
                State::Leaving { id, .. } => steps.push(Step::Empty { id: *id, slot: at }),
                State::Free | State::Offered => {}
            }
        }
        let lacking = self.wanted_free().saturating_sub(available);
        idle_ones.sort_unstable_by(|one, other| other.cmp(one));
        for (_, at) in idle_ones.into_iter().take(lacking) {
            let slot = self.all.get_mut(at as usize);
            steps.extend(slot.and_then(|slot| slot.clear(at)));
        }
        steps
    }

    fn wanted_free(&self) -> usize {
        let slots = self.all.len().saturating_sub(SLOT_FIRST_CGROUP as usize);
        (slots * FREE_PERCENT).div_ceil(100)
    }

    /// A slot was emptied: back to the pool. Returns the owner that it has from now on.
    pub(crate) fn emptied(&mut self, slot: u32) -> Option<Owner> {
        let entry = self.all.get_mut(slot as usize)?;
        let State::Leaving { id, .. } = entry.state else {
            return None;
        };
        entry.state = State::Free;
        let owner = Owner::new(slot, entry.generation).next();
        entry.generation = owner.generation();
        entry.before = Some(id);
        self.pool.push_back(slot);
        if let Some(count) = self.held.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&id);
            }
        }
        Some(owner)
    }

    /// Whether a cgroup has a slot.
    pub(crate) fn holds(&self, id: CgroupId) -> bool {
        self.held.contains_key(&id)
    }

    /// All cgroups that have a slot.
    pub(crate) fn holders(&self) -> impl Iterator<Item = CgroupId> {
        self.held.keys().copied()
    }

    /// The cgroup in a slot.
    pub(crate) fn holder(&self, slot: u32) -> Option<CgroupId> {
        match self.all.get(slot as usize)?.state {
            State::Held { id, .. } | State::Leaving { id, .. } => Some(id),
            State::Free | State::Offered => None,
        }
    }

    /// Whether a CPU may have taken the slot.
    pub(crate) fn is_offered(&self, slot: u32) -> bool {
        self.all
            .get(slot as usize)
            .is_some_and(|slot| slot.state == State::Offered)
    }

    /// Slots with an account, the reserved included.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = u32> {
        (0..self.all.len() as u32)
            .filter(|slot| *slot < SLOT_FIRST_CGROUP || self.holder(*slot).is_some())
    }

    /// Whom an owner stands for.
    pub(crate) fn whose(&self, owner: Owner) -> Whose {
        if owner.is_idle() {
            return Whose::Idle;
        }
        if let Some(party) = reserved(owner) {
            return Whose::Present(party);
        }
        let Some(slot) = self.all.get(owner.slot() as usize) else {
            return Whose::Forgotten;
        };
        if owner.generation() == slot.generation {
            return match slot.state {
                State::Held { id, .. } | State::Leaving { id, .. } => {
                    Whose::Present(Party::Cgroup(id))
                }
                State::Offered => Whose::Unseen,
                State::Free => Whose::Forgotten,
            };
        }
        match slot.before {
            Some(id) if owner.generation() == slot.generation.wrapping_sub(1) => Whose::Past(id),
            _ => Whose::Forgotten,
        }
    }
}

/// The party of a slot that cgroups cannot have.
pub(crate) fn reserved(owner: Owner) -> Option<Party> {
    match owner.slot() {
        SLOT_IDLE | SLOT_FIRST_CGROUP.. => None,
        SLOT_OTHER => Some(Party::Other),
        _ => Some(owner.kernel_family().map_or(Party::Other, Party::Kernel)),
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
