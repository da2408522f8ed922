//! What is known of each task: how much of its `sched_info.run_delay` was accounted already, and
//! whose time it takes.
//!
//! The last segment of a wait alone misses what a task waited on the CPUs it was moved away from.
//! With the counter's value at the last accounting the whole wait is exact, at one cache line per
//! switch. The owner beside it spares the way from the task to its cgroup's id and from there to
//! the slot: five more lines, cold where many tasks take turns.

use bytemuck::{Pod, Zeroable};

use crate::{
    layout::{PAGE_BYTES, hash, mix},
    owner::{OWNER_BITS, OWNER_MASK, Owner},
};

/// Sets of the table.
pub const SETS: u32 = 65_536;
/// Tasks in a set.
pub const WAYS: usize = 4;

/// The next switch-in reports a wait that never was.
pub const SUSPECT: u64 = 1 << 63;
/// Parts of the wait on other CPUs are in [`Moved`].
pub const MOVED: u64 = 1 << 62;
/// The counter's value.
pub const SEEN: u64 = MOVED - 1;

/// One cache line of tasks. A number is used again only after the task's last switch, when its
/// entry is removed.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Set {
    /// `{tag: 8 | group: 32 | owner: 24}`: whose entry it is ([`tag`]), the [`group_mark`] of the
    /// task when its [`Owner`] was found, or 0 when none is kept. 0 is empty. One word, so that it
    /// is never torn.
    keys: [u64; WAYS],
    /// Value and flags, mixed with the number: an entry torn by two CPUs gives a value that cannot
    /// be.
    sealed: [u64; WAYS],
}

/// Sets in a page of memory.
const PAGE: u32 = PAGE_BYTES / size_of::<Set>() as u32;

/// The set of a task. Numbers that follow each other are in neighbouring cache lines, so that two
/// that run on different CPUs do not share one, and as many as a page holds are in one page: pages
/// are what costs most where many tasks take turns.
#[inline(always)]
pub fn set_of(pid: u32) -> u32 {
    let page = pid / (PAGE * WAYS as u32);
    (page * PAGE + pid % PAGE) & (SETS - 1)
}

/// What tells the tasks of a set apart: never 0, and the kernel's numbers have 22 bits
/// (`PID_MAX_LIMIT`).
#[inline(always)]
fn tag(pid: u32) -> u64 {
    let ways = WAYS as u32;
    let (way, round) = (pid / PAGE % ways, pid / (SETS * ways));
    ((round * ways + way + 1) & 0xff) as u64
}

const TAG_SHIFT: u32 = 56;
const GROUP_SHIFT: u32 = OWNER_BITS;

/// The identity of a task's set of cgroups (`css_set`), by its address: they are larger than a
/// cache line. Never 0.
#[inline(always)]
pub fn group_mark(address: u64) -> u32 {
    (address >> 6) as u32 | 1
}

/// Whether a kept owner is to be looked up anew, by how often the task has run: another set of
/// cgroups may have come to the same address while the task slept, moved twice.
#[inline(always)]
pub fn is_due(run_count: u64) -> bool {
    run_count.is_multiple_of(64)
}

#[inline(always)]
fn seal(pid: u32) -> u64 {
    let tag = ((pid as u64) << 32) | 1;
    // Numbers differ in the high half; the value has both.
    mix(tag ^ (tag >> 29)) & SEEN
}

/// What [`Set::replace`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Value and flags until now.
    pub old: Option<u64>,
    /// Whether another task lost its entry.
    pub evicts: bool,
}

impl Set {
    /// Value and flags of a task, unless the value is above `limit`, the counter's present value.
    #[inline(always)]
    pub fn find(&self, pid: u32, limit: u64) -> Option<u64> {
        for (key, sealed) in self.keys.iter().zip(&self.sealed) {
            if key >> TAG_SHIFT == tag(pid) {
                let value = sealed ^ seal(pid);
                return (value & SEEN <= limit).then_some(value);
            }
        }
        None
    }

    /// Sets value and flags of a task, and gives the old ones as [`Set::find`] does.
    #[inline(always)]
    pub fn replace(&mut self, pid: u32, value: u64, limit: u64) -> Replaced {
        let sealed = value ^ seal(pid);
        let mut place = (value >> 4) as usize % WAYS;
        let mut evicts = true;
        for way in 0..WAYS {
            if self.keys[way] >> TAG_SHIFT == tag(pid) {
                let old = self.sealed[way] ^ seal(pid);
                self.sealed[way] = sealed;
                return Replaced {
                    old: (old & SEEN <= limit).then_some(old),
                    evicts: false,
                };
            }
            if self.keys[way] == 0 && evicts {
                place = way;
                evicts = false;
            }
        }
        self.put(crate::opaque(place), pid, sealed);
        Replaced { old: None, evicts }
    }

    /// Whether a task has an entry.
    #[inline(always)]
    pub fn has(&self, pid: u32) -> bool {
        let mut found = false;
        for key in &self.keys {
            found |= key >> TAG_SHIFT == tag(pid);
        }
        found
    }

    /// Sets the value of a task that has none, if there is room.
    #[inline(always)]
    pub fn seed(&mut self, pid: u32, value: u64) {
        let mut empty = WAYS;
        for (way, key) in self.keys.iter().enumerate() {
            if key >> TAG_SHIFT == tag(pid) {
                return;
            }
            if *key == 0 {
                empty = way;
            }
        }
        self.put(crate::opaque(empty), pid, value ^ seal(pid));
    }

    #[inline(always)]
    fn put(&mut self, place: usize, pid: u32, sealed: u64) {
        if place < WAYS {
            self.sealed[place] = sealed;
            self.keys[place] = tag(pid) << TAG_SHIFT;
        }
    }

    /// Forgets a task.
    #[inline(always)]
    pub fn remove(&mut self, pid: u32) {
        for key in &mut self.keys {
            if *key >> TAG_SHIFT == tag(pid) {
                *key = 0;
            }
        }
    }

    /// The owner of a task that is still in this set of cgroups.
    #[inline(always)]
    pub fn owner(&self, pid: u32, group: u32) -> Option<Owner> {
        let wanted = (tag(pid) << 32) | group as u64;
        for key in &self.keys {
            if key >> GROUP_SHIFT == wanted {
                return Some(Owner((key & OWNER_MASK) as u32));
            }
        }
        None
    }

    /// Keeps the owner of a task that has an entry.
    #[inline(always)]
    pub fn keep_owner(&mut self, pid: u32, group: u32, owner: Owner) {
        let kept = (tag(pid) << TAG_SHIFT)
            | ((group as u64) << GROUP_SHIFT)
            | (owner.0 as u64 & OWNER_MASK);
        for key in &mut self.keys {
            if *key >> TAG_SHIFT == tag(pid) {
                *key = kept;
            }
        }
    }
}

/// Entries of the table of moved tasks.
pub const MOVED_ENTRIES: u32 = 8_192;

/// What a queued task waited on the CPUs it was moved away from, since it last ran.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Moved {
    /// Number of the task; 0 is empty.
    pub pid: u32,
    /// Reserved.
    pub _pad: u32,
    /// Contention, nanoseconds.
    pub contention_ns: u64,
    /// Throttled, nanoseconds.
    pub throttled_ns: u64,
}

/// The entry of a task.
#[inline(always)]
pub fn moved_of(pid: u32) -> u32 {
    (hash(pid as u64) as u32) & (MOVED_ENTRIES - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use proptest::prelude::*;

    /// Task `n` of those that share a set.
    fn pid(n: u32) -> u32 {
        let ways = WAYS as u32;
        5 + n % ways * PAGE + n / ways * SETS * ways
    }

    #[derive(Clone, Debug)]
    enum Action {
        Seed(u32, u64),
        Store(u32, u64),
        Remove(u32),
        Find(u32),
    }

    fn action() -> impl Strategy<Value = Action> {
        let pid = (0u32..6).prop_map(pid);
        prop_oneof![
            (pid.clone(), 0u64..1 << 50).prop_map(|(pid, value)| Action::Seed(pid, value)),
            (pid.clone(), 0u64..1 << 50).prop_map(|(pid, value)| Action::Store(pid, value)),
            pid.clone().prop_map(Action::Remove),
            pid.prop_map(Action::Find),
        ]
    }

    proptest! {
        #[test]
        fn a_baseline_is_right_or_missing(actions in prop::collection::vec(action(), 0..200)) {
            let mut set = Set::default();
            let mut truth = HashMap::new();
            for action in actions {
                match action {
                    Action::Seed(pid, value) => {
                        let known = set.find(pid, SEEN);
                        set.seed(pid, value);
                        match (known, set.find(pid, SEEN)) {
                            (None, Some(now)) => {
                                prop_assert_eq!(now, value);
                                truth.insert(pid, value);
                            }
                            (known, now) => prop_assert_eq!(now, known),
                        }
                    }
                    Action::Store(pid, value) => {
                        prop_assert_eq!(
                            set.replace(pid, value | MOVED, SEEN).old.is_some_and(|old| Some(&old) != truth.get(&pid)),
                            false
                        );
                        truth.insert(pid, value | MOVED);
                    }
                    Action::Remove(pid) => {
                        set.remove(pid);
                        truth.remove(&pid);
                    }
                    Action::Find(pid) => {
                        prop_assert_eq!(set.has(pid), set.find(pid, SEEN).is_some());
                        if let Some(found) = set.find(pid, SEEN) {
                            prop_assert_eq!(Some(&found), truth.get(&pid));
                        }
                    }
                }
            }
        }

        #[test]
        fn as_many_tasks_as_ways_keep_theirs(values in prop::collection::vec(0u64..1 << 50, WAYS)) {
            let mut set = Set::default();
            for round in 0..2 {
                for (pid, value) in (0..).map(pid).zip(&values) {
                    prop_assert!(!set.replace(pid, value + round, SEEN).evicts);
                }
            }
            for (pid, value) in (0..).map(pid).zip(&values) {
                prop_assert_eq!(set.find(pid, SEEN), Some(value + 1));
            }
        }
    }

    #[test]
    fn every_number_has_a_place_of_its_own() {
        const NUMBERS: u32 = 1 << 22;
        let places: HashSet<_> = (0..NUMBERS).map(|pid| (set_of(pid), tag(pid))).collect();
        assert_eq!(places.len(), NUMBERS as usize);
        assert!(places.iter().all(|(_, tag)| (1..=0xff).contains(tag)));
    }

    #[test]
    fn neighbours_share_a_page_and_no_line() {
        let first = 77 * PAGE * WAYS as u32;
        let sets: Vec<_> = (first..first + PAGE * WAYS as u32).map(set_of).collect();
        assert!(sets.windows(2).all(|two| two[0] != two[1]));
        assert!(sets.iter().all(|set| set / PAGE == set_of(first) / PAGE));
    }

    #[test]
    fn an_owner_is_kept_while_the_task_stays_where_it_was() {
        let (mut set, owner) = (Set::default(), Owner::new(77, 3));
        let (here, there) = (
            group_mark(0xffff_8881_0000_1200),
            group_mark(0xffff_8881_0000_1400),
        );
        let (task, other) = (pid(0), pid(1));
        set.keep_owner(task, here, owner);
        assert_eq!(set.owner(task, here), None);
        set.replace(task, 1_000, SEEN);
        set.keep_owner(task, here, owner);
        set.replace(task, 2_000, SEEN);
        set.replace(other, 1_000, SEEN);
        assert_eq!(set.owner(task, here), Some(owner));
        assert_eq!(set.owner(task, there), None);
        assert_eq!(set.owner(other, here), None);
        set.remove(task);
        set.replace(task, 10, SEEN);
        assert_eq!(set.owner(task, here), None);
    }

    #[test]
    fn who_takes_an_entry_over_does_not_take_its_owner() {
        let (mut set, group) = (Set::default(), group_mark(0x1200));
        let ways = WAYS as u32;
        for n in 0..ways {
            set.replace(pid(n), 0, SEEN);
            set.keep_owner(pid(n), group, Owner::new(40 + n, 0));
        }
        let late = pid(ways);
        assert!(set.replace(late, 16, SEEN).evicts);
        assert_eq!(set.owner(late, group), None);
    }

    #[test]
    fn a_torn_entry_is_not_believed() {
        let (one, two) = (pid(0), pid(1));
        let mut set = Set::default();
        set.replace(one, 1_000, SEEN);
        // Another CPU wrote the number, and not yet the value.
        set.keys[0] = tag(two) << TAG_SHIFT;
        assert_ne!(set.find(two, SEEN), Some(1_000));
    }
}
