//! The baseline of each task: how much of its `sched_info.run_delay` was accounted already.
//!
//! The last segment of a wait alone misses what a task waited on the CPUs it was moved away from.
//! With the counter's value at the last accounting the whole wait is exact, at one cache line per
//! switch.

use bytemuck::{Pod, Zeroable};

use crate::layout::{hash, mix};

/// Sets of the table.
pub const SETS: u32 = 65_536;
/// Baselines in a set.
pub const WAYS: usize = 4;

/// The next switch-in reports a wait that never was.
pub const SUSPECT: u64 = 1 << 63;
/// Parts of the wait on other CPUs are in [`Moved`].
pub const MOVED: u64 = 1 << 62;
/// The counter's value.
pub const SEEN: u64 = MOVED - 1;

/// One cache line of baselines.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Set {
    /// Baselines.
    pub entries: [Entry; WAYS],
}

/// The baseline of one task.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Entry {
    /// [`tag`] of the task; 0 is empty.
    tag: u64,
    /// Value and flags, mixed with the tag: an entry torn by two CPUs gives a value that cannot be.
    sealed: u64,
}

/// The identity of a task: its number, and a mark that tells it from an empty entry. A number is
/// used again only after the task's last switch, when its entry is removed.
#[inline(always)]
pub fn tag(pid: u32) -> u64 {
    ((pid as u64) << 32) | 1
}

/// The set of a task. Numbers that follow each other are in neighbouring cache lines, two in each:
/// the threads of a service touch few pages.
#[inline(always)]
pub fn set_of(pid: u32) -> u32 {
    (pid >> 1) & (SETS - 1)
}

#[inline(always)]
fn seal(tag: u64) -> u64 {
    // Numbers differ in the high half; the value has both.
    mix(tag ^ (tag >> 29)) & SEEN
}

/// What [`Set::replace`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Value and flags until now.
    pub old: Option<u64>,
    /// Whether another task lost its baseline.
    pub evicts: bool,
}

impl Set {
    /// Value and flags of a task, unless the value is above `limit`, the counter's present value.
    #[inline(always)]
    pub fn find(&self, tag: u64, limit: u64) -> Option<u64> {
        for entry in &self.entries {
            if entry.tag == tag {
                let value = entry.sealed ^ seal(tag);
                return (value & SEEN <= limit).then_some(value);
            }
        }
        None
    }

    /// Sets value and flags of a task, and gives the old ones as [`Set::find`] does.
    #[inline(always)]
    pub fn replace(&mut self, tag: u64, value: u64, limit: u64) -> Replaced {
        let sealed = value ^ seal(tag);
        let mut place = crate::opaque(value as usize >> 4) & (WAYS - 1);
        let mut evicts = true;
        for (i, entry) in self.entries.iter_mut().enumerate() {
            if entry.tag == tag {
                let old = entry.sealed ^ seal(tag);
                entry.sealed = sealed;
                return Replaced {
                    old: (old & SEEN <= limit).then_some(old),
                    evicts: false,
                };
            }
            if entry.tag == 0 && evicts {
                place = i;
                evicts = false;
            }
        }
        let entry = &mut self.entries[crate::opaque(place) & (WAYS - 1)];
        entry.sealed = sealed;
        entry.tag = tag;
        Replaced { old: None, evicts }
    }

    /// Sets the value of a task that has none, if there is room.
    #[inline(always)]
    pub fn seed(&mut self, tag: u64, value: u64) {
        let mut empty = WAYS;
        for (i, entry) in self.entries.iter().enumerate() {
            if entry.tag == tag {
                return;
            }
            if entry.tag == 0 {
                empty = i;
            }
        }
        let empty = crate::opaque(empty);
        if empty < WAYS {
            self.entries[empty].sealed = value ^ seal(tag);
            self.entries[empty].tag = tag;
        }
    }

    /// Forgets a task.
    #[inline(always)]
    pub fn remove(&mut self, tag: u64) {
        for entry in &mut self.entries {
            if entry.tag == tag {
                entry.tag = 0;
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
    /// [`tag`] of the task.
    pub tag: u64,
    /// Contention, nanoseconds.
    pub contention_ns: u64,
    /// Throttled, nanoseconds.
    pub throttled_ns: u64,
    /// Reserved.
    pub _pad: u64,
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
                        let known = set.find(tag(pid), SEEN);
                        set.seed(tag(pid), value);
                        match (known, set.find(tag(pid), SEEN)) {
                            (None, Some(now)) => {
                                prop_assert_eq!(now, value);
                                truth.insert(pid, value);
                            }
                            (known, now) => prop_assert_eq!(now, known),
                        }
                    }
                    Action::Store(pid, value) => {
                        prop_assert_eq!(
                            set.replace(tag(pid), value | MOVED, SEEN).old.is_some_and(|old| Some(&old) != truth.get(&pid)),
                            false
                        );
                        truth.insert(pid, value | MOVED);
                    }
                    Action::Remove(pid) => {
                        set.remove(tag(pid));
                        truth.remove(&pid);
                    }
                    Action::Find(pid) => {
                        if let Some(found) = set.find(tag(pid), SEEN) {
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
                    prop_assert!(!set.replace(tag(pid), value + round, SEEN).evicts);
                }
            }
            for (pid, value) in (1..).zip(&values) {
                prop_assert_eq!(set.find(tag(pid), SEEN), Some(value + 1));
            }
        }
    }

    #[test]
    fn a_torn_entry_is_not_believed() {
        let (one, two) = (tag(1), tag(2));
        let mut set = Set::default();
        set.replace(one, 1_000, SEEN);
        // Another CPU wrote the tag, and not yet the value.
        set.entries[0].tag = two;
        assert_ne!(set.find(two, SEEN), Some(1_000));
    }
}
