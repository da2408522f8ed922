//! What this process writes: who sits in which slot, the CPUs' free lists, how much to account.
//!
//! Each word has one writer at a time. The programs write an entry of the cgroup table only where
//! it is empty, and this process only clears; of a free list it writes the tail, the CPU the head.

use std::{
    mem::offset_of,
    sync::atomic::{Ordering, fence},
};

use agent_ebpf::{
    budget::Detail,
    layout::{CGROUP_WAYS, Control, Cpu, FREE_SLOTS, cgroup_bucket, cgroup_entry},
    owner::Owner,
};

use super::{maps::Maps, slots::Slots};
use crate::sample::CgroupId;

impl Maps {
    /// Gives slots to cgroups before the programs run, where half of all slots is enough for them:
    /// then no CPU runs out of free ones at first. Where there are more cgroups, most of them may
    /// be idle for good, and each gets its slot when it runs.
    pub(crate) fn fill(&self, slots: &mut Slots, ids: impl IntoIterator<Item = CgroupId>) {
        let room = slots.free() as usize / 2;
        let ids: Vec<CgroupId> = ids.into_iter().take(room + 1).collect();
        if ids.len() > room {
            return;
        }
        for id in ids {
            if slots.holds(id) {
                continue;
            }
            if let Some(offset) = self.empty_entry(id)
                && let Some(owner) = slots.assign(id)
            {
                self.holders.set_word(owner.slot(), 0, id.0);
                let entry = cgroup_entry(id.0, owner.0);
                self.cgroups.set_word(cgroup_bucket(id.0), offset, entry);
            }
        }
    }

    /// The offset of an empty entry in a cgroup's bucket.
    fn empty_entry(&self, id: CgroupId) -> Option<usize> {
        let entries: [u64; CGROUP_WAYS] = self.cgroups.words(cgroup_bucket(id.0));
        let way = entries.iter().position(|entry| *entry == 0)?;
        Some(way * size_of::<u64>())
    }

    /// The cgroup that a CPU gave the slot to.
    pub(crate) fn slot_id(&self, slot: u32) -> Option<CgroupId> {
        match self.holders.word(slot, 0) {
            0 => None,
            id => Some(CgroupId(id)),
        }
    }

    /// No CPU finds this owner for this cgroup any more.
    pub(crate) fn clear_entry(&self, id: CgroupId, owner: Owner) {
        // Tasks that are known to be the owner's are looked up again.
        self.set_current(owner.next());
        let bucket = cgroup_bucket(id.0);
        let entries: [u64; CGROUP_WAYS] = self.cgroups.words(bucket);
        for (way, entry) in entries.into_iter().enumerate() {
            if entry == cgroup_entry(id.0, owner.0) {
                self.cgroups.set_word(bucket, way * size_of::<u64>(), 0);
            }
        }
    }

    /// The programs read bytes, and only this process writes here.
    fn set_current(&self, owner: Owner) {
        let offset = offset_of!(Cpu, generations) + owner.slot() as usize;
        let at = offset % size_of::<u64>();
        for cpu in 0..self.shape.cpus {
            let mut bytes = self.cpus.word(cpu, offset).to_le_bytes();
            bytes[at] = owner.generation();
            self.cpus.set_word(cpu, offset, u64::from_le_bytes(bytes));
        }
    }

    /// Empties a slot that nobody writes to.
    pub(crate) fn empty_slot(&self, slot: u32) {
        self.holders.set_word(slot, 0, 0);
        for cpu in 0..self.shape.cpus {
            self.cells.zero(self.cell_index(cpu, slot));
        }
        self.throttled.zero(slot);
    }

    /// Fills the free lists of these CPUs, so that half of all free slots remain for those that
    /// need more.
    pub(crate) fn top_up(&self, slots: &mut Slots, cpus: &[u32]) {
        let known = |cpu: &&u32| **cpu < self.shape.cpus;
        let cpus: Vec<u32> = cpus.iter().filter(known).copied().collect();
        let offered: u32 = cpus.iter().map(|cpu| self.available(*cpu)).sum();
        let share = (slots.free() + offered) / (2 * cpus.len().max(1) as u32);
        let target = share.clamp(1, FREE_SLOTS);
        for cpu in cpus {
            for _ in self.available(cpu)..target {
                let Some(owner) = slots.offer() else {
                    return;
                };
                self.give(cpu, owner);
            }
        }
    }

    /// Slots that a CPU has left.
    fn available(&self, cpu: u32) -> u32 {
        let head = self.cpus.half(cpu, offset_of!(Cpu, free.head));
        let tail = self.cpus.half(cpu, offset_of!(Cpu, free.tail));
        tail.wrapping_sub(head)
    }

    fn give(&self, cpu: u32, owner: Owner) {
        let tail = self.cpus.half(cpu, offset_of!(Cpu, free.tail));
        let place = (tail % FREE_SLOTS) as usize * size_of::<u32>();
        self.cpus
            .set_half(cpu, offset_of!(Cpu, free.owners) + place, owner.0);
        // The CPU must not see the new tail before the slot.
        fence(Ordering::Release);
        self.cpus
            .set_half(cpu, offset_of!(Cpu, free.tail), tail.wrapping_add(1));
    }

    /// Tells the programs how much to account.
    pub(crate) fn set_detail(&self, detail: Detail) {
        self.control
            .set_half(0, offset_of!(Control, detail), detail as u32);
    }

    /// Events of CPUs that the maps have no room for.
    pub(crate) fn stray_events(&self) -> u64 {
        self.control.word(0, offset_of!(Control, stray_events))
    }

    /// Cgroups whose names found no room.
    pub(crate) fn names_lost(&self) -> u64 {
        self.control.word(0, offset_of!(Control, names_lost))
    }
}
