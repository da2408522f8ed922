//! What is known of each task: how much of its `sched_info.run_delay` was accounted already, and
//! whose time it takes.
//!
//! The last segment of a wait alone misses what a task waited on the CPUs it was moved away from.
//! With the counter's value at the last accounting the whole wait is exact, at one cache line per
//! switch. The owner beside it spares the way from the task to its cgroup's id and from there to
//! the slot: five more lines, cold where many tasks take turns.

use bytemuck::{Pod, Zeroable};

use crate::{
    layout::{hash, mix},
    owner::Owner,
};

/// Sets of the table.
pub const SETS: u32 = 65_536;
/// Tasks in a set.
pub const WAYS: usize = 3;

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
    /// Number of the task; 0 is empty.
    pids: [u32; WAYS],
    /// [`group_mark`] of the task when its owner was found; 0 when no owner is kept.
    groups: [u32; WAYS],
    /// The [`Owner`].
    owners: [u32; WAYS],
    /// Reserved.
    _pad: u32,
    /// Value and flags, mixed with the number: an entry torn by two CPUs gives a value that cannot
    /// be.
    sealed: [u64; WAYS],
}

/// The set of a task. Numbers that follow each other are in neighbouring cache lines: the threads of
/// a service touch few pages, and two that run on different CPUs do not share a line.
#[inline(always)]
pub fn set_of(pid: u32) -> u32 {
    pid & (SETS - 1)
}

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
        for (entry, sealed) in self.pids.iter().zip(&self.sealed) {
            if *entry == pid {
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
        let mut place = match (value >> 4) & 3 {
            way @ 0..2 => way as usize,
            _ => 2,
        };
        let mut evicts = true;
        for way in 0..WAYS {
            if self.pids[way] == pid {
                let old = self.sealed[way] ^ seal(pid);
                self.sealed[way] = sealed;
                return Replaced {
                    old: (old & SEEN <= limit).then_some(old),
                    evicts: false,
                };
            }
            if self.pids[way] == 0 && evicts {
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
        for entry in &self.pids {
            found |= *entry == pid;
        }
        found
    }

    /// Sets the value of a task that has none, if there is room.
    #[inline(always)]
    pub fn seed(&mut self, pid: u32, value: u64) {
        let mut empty = WAYS;
        for (way, entry) in self.pids.iter().enumerate() {
            if *entry == pid {
                return;
            }
            if *entry == 0 {
                empty = way;
            }
        }
        self.put(crate::opaque(empty), pid, value ^ seal(pid));
    }

    #[inline(always)]
    fn put(&mut self, place: usize, pid: u32, sealed: u64) {
        // Fixed places: the verifier bounds no index by a size that is no power of two.
        for way in 0..WAYS {
            if way == place {
                self.groups[way] = 0;
                self.sealed[way] = sealed;
                self.pids[way] = pid;
            }
        }
    }

    /// Forgets a task.
    #[inline(always)]
    pub fn remove(&mut self, pid: u32) {
        for (entry, group) in self.pids.iter_mut().zip(&mut self.groups) {
            if *entry == pid {
                *entry = 0;
                *group = 0;
            }
        }
    }

    /// The owner of a task that is still in this set of cgroups.
    #[inline(always)]
    pub fn owner(&self, pid: u32, group: u32) -> Option<Owner> {
        for way in 0..WAYS {
            if self.pids[way] == pid {
                return (self.groups[way] == group).then_some(Owner(self.owners[way]));
            }
        }
        None
    }

    /// Keeps the owner of a task that has an entry.
    #[inline(always)]
    pub fn keep_owner(&mut self, pid: u32, group: u32, owner: Owner) {
        for way in 0..WAYS {
            if self.pids[way] == pid {
                self.owners[way] = owner.0;
                self.groups[way] = group;
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
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Action {
        Seed(u32, u64),
        Store(u32, u64),
        Remove(u32),
        Find(u32),
    }

    fn action() -> impl Strategy<Value = Action> {
        let pid = 1u32..7;
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
                for (pid, value) in (1..).zip(&values) {
                    prop_assert!(!set.replace(pid, value + round, SEEN).evicts);
                }
            }
            for (pid, value) in (1..).zip(&values) {
                prop_assert_eq!(set.find(pid, SEEN), Some(value + 1));
            }
        }
    }

    #[test]
    fn an_owner_is_kept_while_the_task_stays_where_it_was() {
        let (mut set, owner) = (Set::default(), Owner::new(77, 3));
        let (here, there) = (
            group_mark(0xffff_8881_0000_1200),
            group_mark(0xffff_8881_0000_1400),
        );
        set.keep_owner(5, here, owner);
        assert_eq!(set.owner(5, here), None);
        set.replace(5, 1_000, SEEN);
        set.keep_owner(5, here, owner);
        set.replace(5, 2_000, SEEN);
        assert_eq!(set.owner(5, here), Some(owner));
        assert_eq!(set.owner(5, there), None);
        set.remove(5);
        set.replace(5, 10, SEEN);
        assert_eq!(set.owner(5, here), None);
    }

    #[test]
    fn who_takes_an_entry_over_does_not_take_its_owner() {
        let (mut set, group) = (Set::default(), group_mark(0x1200));
        for pid in 1..=WAYS as u32 {
            set.replace(pid, 0, SEEN);
            set.keep_owner(pid, group, Owner::new(40 + pid, 0));
        }
        assert!(set.replace(9, 16, SEEN).evicts);
        assert_eq!(set.owner(9, group), None);
    }

    #[test]
    fn a_torn_entry_is_not_believed() {
        let (one, two) = (1, 2);
        let mut set = Set::default();
        set.replace(one, 1_000, SEEN);
        // Another CPU wrote the number, and not yet the value.
        set.pids[0] = two;
        assert_ne!(set.find(two, SEEN), Some(1_000));
    }
}
