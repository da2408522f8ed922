//! The values of the maps, and the tables of a host's constants, the same on both sides.
//!
//! Every map is a memory-mapped array: userspace reads it without a system call, and after its
//! privileges are gone. Every structure has one writing CPU; what several CPUs write is a single
//! word whose loss is harmless or an atomic addition.

use bytemuck::{Pod, Zeroable};

use crate::{
    bucket::BUCKETS,
    budget::Tokens,
    cause::{CAUSES, Cause},
    history::History,
    owner::{OWNER_BITS, OWNER_MASK, Owner},
    throttle::{Interval, Split, Windows},
    walk::Walk,
};

/// Names of the maps.
pub mod map {
    /// `[cpu * SLOTS + slot]` of [`super::Cell`].
    pub const CELLS: &str = "CELLS";
    /// [`crate::delays::index`] of [`crate::delays::Line`]: run-queue delay.
    pub const DELAYS: &str = "DELAYS";
    /// `[slot]` of [`super::Histogram`]: throttled time.
    pub const THROTTLED: &str = "THROTTLED";
    /// `[cpu * Settings::pair_sets + set]` of [`super::PairSet`].
    pub const PAIRS: &str = "PAIRS";
    /// `[cpu]` of [`super::Cpu`].
    pub const CPUS: &str = "CPUS";
    /// `[set]` of [`crate::baseline::Set`].
    pub const TASKS: &str = "TASKS";
    /// `[entry]` of [`crate::baseline::Moved`].
    pub const MOVED: &str = "MOVED";
    /// `[cpu * TRACKS + track]` of [`crate::throttle::Track`].
    pub const TRACKS: &str = "TRACKS";
    /// `[bucket]` of [`super::CgroupBucket`].
    pub const CGROUPS: &str = "CGROUPS";
    /// `[slot]` of ids of the cgroups that hold them, in the hierarchy that owns `cpu`; 0 is free.
    pub const HOLDERS: &str = "HOLDERS";
    /// One [`super::Control`].
    pub const CONTROL: &str = "CONTROL";
    /// Ring buffer of [`super::CgroupMade`] and paths.
    pub const CGROUPS_MADE: &str = "CGROUPS_MADE";
    /// `[set]` of [`crate::block::Keys`]: devices.
    pub const DEVICES: &str = "DEVICES";
    /// `[set]` of [`crate::block::Keys`]: streams.
    pub const STREAM_KEYS: &str = "STREAM_KEYS";
    /// `[shard * STREAM_ACCOUNTS + stream]` of [`crate::block::Stream`].
    pub const STREAMS: &str = "STREAMS";
    /// `[cpu]` of [`crate::block::BlockCpu`].
    pub const BLOCK_CPUS: &str = "BLOCK_CPUS";
    /// `[cpu * records + place]` of [`crate::block::Record`].
    pub const RECORDS: &str = "RECORDS";
    /// `[place]` of [`crate::block::Issue`].
    pub const ISSUES: &str = "ISSUES";
    /// One [`crate::block::BlockControl`].
    pub const BLOCK_CONTROL: &str = "BLOCK_CONTROL";
}

/// What one CPU accounted for one owner since attach. Cumulative, nanoseconds unless named. What
/// most switches change lies in the first cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Cell {
    /// Time on the CPU, without steal and interrupts.
    pub run_ns: u64,
    /// Completed waits.
    pub waits: u64,
    /// Switches away because the task blocked.
    pub switches_voluntary: u64,
    /// Switches away because the task was preempted or its slice ended.
    pub switches_involuntary: u64,
    /// Waits by [`Cause`]; their sum is the wait.
    pub wait_ns: [u64; CAUSES],
    /// Stolen by the hypervisor while this owner had the CPU.
    pub steal_ns: u64,
    /// Interrupt time while this owner had the CPU, where the kernel accounts it.
    pub irq_ns: u64,
    /// Moves to another CPU while queued.
    pub migrations: u64,
    /// Waits that the kernel reports and that never were (accounting of delayed dequeue).
    pub phantom_ns: u64,
}

impl Cell {
    /// Adds a part of a wait.
    #[inline(always)]
    pub fn add_wait(&mut self, cause: Cause, ns: u64) {
        self.wait_ns[cause as usize] += ns;
    }
}

/// Counts by [`crate::bucket::of_ns`]; they wrap at 2^32.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Histogram {
    /// Counts.
    pub counts: [u32; BUCKETS],
}

/// Pairs in a set.
pub const PAIR_WAYS: usize = 4;

/// Time that `victim` waited while `culprit` ran. Never moves and is never evicted by the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Pair {
    /// Victim in the high, culprit in the low half; 0 is empty.
    pub key: u64,
    /// Nanoseconds.
    pub ns: u64,
}

/// One cache line of pairs.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct PairSet {
    /// Pairs; an empty one ends the search.
    pub pairs: [Pair; PAIR_WAYS],
}

impl PairSet {
    /// Adds time to a pair; `false` when the set is full of others.
    #[inline(always)]
    pub fn add(&mut self, key: u64, ns: u64) -> bool {
        for pair in &mut self.pairs {
            if pair.key == key {
                pair.ns += ns;
                return true;
            }
            if pair.key == 0 {
                pair.ns = ns;
                pair.key = key;
                return true;
            }
        }
        false
    }
}

/// The key of a pair.
#[inline(always)]
pub fn pair_key(victim: u32, culprit: u32) -> u64 {
    ((victim as u64) << 32) | culprit as u64
}

/// The set of a pair among `sets`, a power of two.
#[inline(always)]
pub fn pair_set(key: u64, sets: u32) -> u32 {
    (hash(key) as u32) & (sets - 1)
}

/// Multiplicative hash (Knuth); the high half is well mixed.
#[inline(always)]
pub fn hash(value: u64) -> u64 {
    mix(value) >> 32
}

/// All bits of [`hash`]: no two values have the same.
#[inline(always)]
pub(crate) fn mix(value: u64) -> u64 {
    value.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Why an event was seen and not accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// The first switch of a CPU: what ran before is not known.
    FirstSwitch = 0,
    /// The run queue's clock went back.
    ClockBackwards = 1,
    /// The maps have no room for the CPU: it was added after the start.
    UnknownCpu = 2,
}

/// How many reasons of [`Drop`] there are.
pub const DROPS: usize = 3;

impl Drop {
    /// All reasons in the order of their numbers.
    pub const ALL: [Drop; DROPS] = [Drop::FirstSwitch, Drop::ClockBackwards, Drop::UnknownCpu];

    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Drop::FirstSwitch => "first_switch",
            Drop::ClockBackwards => "clock_backwards",
            Drop::UnknownCpu => "unknown_cpu",
        }
    }
}

/// Why a part of a wait has no cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// It lies before the first switch that was seen on the CPU.
    BeforeStart = 0,
    /// The history does not reach back so far, or has a gap.
    History = 1,
    /// The work allowed for one event or for the moment was used up.
    Budget = 2,
    /// The cheapest accounting was on: no causes at all.
    SteppedDown = 3,
    /// It was spent on another CPU and not seen there, or the kernel skipped the programs for both
    /// its end and the next switch.
    Migrated = 4,
    /// A quota is set, and this kernel does not tell when it held the task back.
    ThrottleUnknown = 5,
}

/// How many reasons of [`Reason`] there are.
pub const REASONS: usize = 6;

impl Reason {
    /// All reasons in the order of their numbers.
    pub const ALL: [Reason; REASONS] = [
        Reason::BeforeStart,
        Reason::History,
        Reason::Budget,
        Reason::SteppedDown,
        Reason::Migrated,
        Reason::ThrottleUnknown,
    ];

    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Reason::BeforeStart => "before_start",
            Reason::History => "history",
            Reason::Budget => "budget",
            Reason::SteppedDown => "stepped_down",
            Reason::Migrated => "migrated",
            Reason::ThrottleUnknown => "throttle_unknown",
        }
    }
}

/// Bytes of the smallest page of memory that a kernel has.
pub(crate) const PAGE_BYTES: u32 = 4096;

/// Slots: one for each cgroup that runs, and a few reserved.
pub const SLOTS: u32 = 1024;

/// Free slots handed to one CPU at most.
pub const FREE_SLOTS: u32 = 512;

/// Slots that a CPU may give to cgroups it meets first: userspace fills at `tail`, the CPU takes
/// at `head`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct FreeSlots {
    /// Slots taken, written by the CPU.
    pub head: u32,
    /// Slots given, written by userspace.
    pub tail: u32,
    /// [`crate::owner::Owner`]s with the generation to use.
    pub owners: [u32; FREE_SLOTS as usize],
}

/// The state of one CPU, written under its run queue's lock: by the CPU itself when it switches,
/// and by whichever CPU moves a queued task away from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Cpu {
    /// `sched_switch` events; also the sequence number for readers of the open slice.
    pub seen: u64,
    /// Events that were accounted.
    pub accounted: u64,
    /// Run-queue clock up to which the open slice is accounted: the last switch, or the last time
    /// that a queued task was moved away. 0 before the first switch.
    pub last_switch: u64,
    /// Owner of the open slice.
    pub open_owner: u32,
    /// Reserved.
    pub _pad: u32,
    /// Steal clock at the last switch.
    pub steal_clock: u64,
    /// Steal that did not fit into the slices so far, up to [`CARRY`].
    pub steal_carry: u64,
    /// Where a pointer becomes a number: the verifier refuses arithmetic on pointers.
    pub address: u64,
    /// Run-queue clock of the instant of `sync_monotonic`.
    pub sync_rq_clock: u64,
    /// Interrupt clock at the last switch.
    pub irq_clock: u64,
    /// Interrupts that did not fit, likewise.
    pub irq_carry: u64,
    /// Tokens for the walk.
    pub tokens: Tokens,
    /// Monotonic clock when a run was timed last.
    pub sync_monotonic: u64,
    /// Time spent in timed runs of the program.
    pub cost_ns: u64,
    /// Timed runs of the program.
    pub cost_runs: u64,
    /// Events not accounted, by [`Drop`].
    pub drops: [u64; DROPS],
    /// Waits without a cause, by [`Reason`].
    pub reasons_ns: [u64; REASONS],
    /// Parts of waits taken in proportion from a summary of several slices.
    pub estimated_ns: u64,
    /// Blame that found no room in the pairs.
    pub pairs_full_ns: u64,
    /// Switches to cgroups that found no slot.
    pub slots_exhausted: u64,
    /// Baselines of tasks that were lost: at most the moved parts of one wait each.
    pub baselines_lost: u64,
    /// Moved parts of waits that are missing from the histogram.
    pub moved_lost: u64,
    /// Throttle tracks given to another run queue.
    pub tracks_lost: u64,
    /// Steal and interrupts that found no slice: the clock was set forward.
    pub unplaced_ns: u64,
    /// `sched_migrate_task` events that were accounted.
    pub migrations: u64,
    /// Steps of walks.
    pub walk_steps: u64,
    /// Phantom waits, by number.
    pub phantoms: u64,
    /// Quotas that hold a run queue of this CPU back now, as far as hooks tell.
    pub throttles_open: u64,
    /// When the last of them let go, in the run queue's clock.
    pub throttle_end: u64,
    /// Tasks that came in a switch that was not seen.
    pub missed: u64,
    /// Slots for new cgroups.
    pub free: FreeSlots,
    /// The generation of each slot: an owner of another one has it no more. The same for all CPUs;
    /// written by userspace.
    pub generations: [u8; SLOTS as usize],
    /// Room for the parts of the wait in work.
    pub windows: Windows,
    /// The segment of a wait in work.
    pub segment: Segment,
    /// The late arrival in work.
    pub late: Late,
    /// The split in work.
    pub split: Split,
    /// The walk in work.
    pub walk: Walk,
    /// Fills a cache line.
    pub _line: [u64; 5],
    /// What ran on this CPU.
    pub history: History,
}

impl Cpu {
    /// Whether an owner found earlier still has its slot.
    #[inline(always)]
    pub fn is_current(&self, owner: Owner) -> bool {
        self.generations[(owner.slot() % SLOTS) as usize] == owner.generation()
    }
}

/// A part of a wait, on one run queue, that is to be accounted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Segment {
    /// In the run queue's clock.
    pub interval: Interval,
    /// [`crate::throttle::mark`] of the task's `cfs_rq`; 0 when quotas do not bind the task.
    pub cfs_rq: u64,
    /// Its `throttled_clock_self_time`, where the kernel has one.
    pub throttled_self_time: u64,
    /// Since when it is held back, or 1 where hooks know; 0 when it is not.
    pub throttled_since: u64,
    /// Whose wait it is.
    pub owner: u32,
    /// Reserved.
    pub _pad: u32,
    /// The slice before which the walk starts.
    pub cursor: u64,
    /// Result: waited without throttling, nanoseconds.
    pub contention_ns: u64,
    /// Result: throttled, nanoseconds.
    pub throttled_ns: u64,
}

/// A task that came in a switch that was not seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Late {
    /// When it came, in the run queue's clock.
    pub arrived: u64,
    /// Its run-queue delay until then.
    pub run_delay: u64,
    /// Its number.
    pub pid: u32,
    /// Whose time it is.
    pub owner: u32,
    /// 1: it never ran before.
    pub is_new: u32,
    /// 1: a quota may have held it back, as the segment in work says.
    pub is_held: u32,
}

/// The most steal or interrupt time that is carried over: a clock that moves with the tick is late
/// by less.
pub const CARRY: u64 = 1_000_000_000;

/// Buckets of the cgroup table.
pub const CGROUP_BUCKETS: u32 = 2048;
/// Entries of a bucket.
pub const CGROUP_WAYS: usize = 8;

/// Entries `{id: 40 | generation: 8 | slot: 16}`; 0 is empty. One word each, so that an entry is never torn.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct CgroupBucket {
    /// Entries.
    pub entries: [u64; CGROUP_WAYS],
}

/// The bucket of a cgroup id.
#[inline(always)]
pub fn cgroup_bucket(id: u64) -> u32 {
    (hash(id) as u32) & (CGROUP_BUCKETS - 1)
}

/// The bits of a cgroup id in an entry: the kernel counts up in 32 bits, and in the upper half how
/// often that wrapped (fs/kernfs/dir.c, `__kernfs_new_node`).
const ID_BITS: u64 = (1 << 40) - 1;

/// The entry of a cgroup id with its owner.
#[inline(always)]
pub fn cgroup_entry(id: u64, owner: u32) -> u64 {
    ((id & ID_BITS) << OWNER_BITS) | (owner as u64 & OWNER_MASK)
}

/// The owner in an entry, if it is that of a cgroup id.
#[inline(always)]
pub fn cgroup_entry_owner(entry: u64, id: u64) -> Option<u32> {
    (entry >> OWNER_BITS == id & ID_BITS).then_some((entry & OWNER_MASK) as u32)
}

/// How much the programs account.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Control {
    /// One of [`crate::budget::Detail`].
    pub detail: u32,
    /// Reserved.
    pub _pad: u32,
    /// Events of CPUs that the maps have no room for.
    pub stray_events: u64,
    /// Cgroups made while the ring buffer was full.
    pub names_lost: u64,
}

/// Room for a path in an event, the final 0 included: that of a container fits.
pub const SHORT_PATH: usize = 240;
/// Likewise, for longer ones. What does not fit is cut off.
pub const LONG_PATH: usize = 1008;

/// A cgroup was made. Its path follows, from the hierarchy's root.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct CgroupMade {
    /// Cgroup id.
    pub id: u64,
    /// Bytes of the path, without the final 0.
    pub length: u32,
    /// Reserved.
    pub _pad: u32,
}

/// A task that is queued and does not run, as the task iterator prints it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Waiting {
    /// Cgroup id.
    pub id: u64,
    /// Waited so far on this CPU, nanoseconds.
    pub ns: u64,
    /// Thread id, in the initial namespace.
    pub tid: u32,
    /// 1 + the [`crate::owner::KernelFamily`] of a kernel thread of the root cgroup, else 0.
    pub family: u32,
}

/// An offset or index that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Where this kernel keeps what the programs read: byte offsets, from its BTF. Userspace writes them
/// into the instructions: [`crate::constants`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable, Pod)]
pub struct Offsets {
    /// Index of `prev` among the arguments of `sched_switch`.
    pub arg_prev: u32,
    /// Index of `next`.
    pub arg_next: u32,
    /// Index of `prev_state`, or absent.
    pub arg_prev_state: u32,
    /// `task_struct.se.cfs_rq`.
    pub task_cfs_rq: u32,
    /// `cfs_rq.rq`.
    pub cfs_rq_rq: u32,
    /// `rq.cpu`.
    pub rq_cpu: u32,
    /// `rq.clock`.
    pub rq_clock: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.sched_info.last_arrival`.
    pub task_last_arrival: u32,
    /// `task_struct.__state` (4 bytes), or absent.
    pub task_state_int: u32,
    /// `task_struct.cgroups`.
    pub task_cgroups: u32,
    /// `task_struct.sched_info.last_queued`.
    pub task_last_queued: u32,
    /// `task_struct.sched_info.run_delay`.
    pub task_run_delay: u32,
    /// `task_struct.sched_info.pcount`.
    pub task_pcount: u32,
    /// `rq.prev_steal_time_rq` or `rq.prev_steal_time`, or absent.
    pub rq_steal: u32,
    /// `rq.prev_irq_time`, or absent.
    pub rq_irq: u32,
    /// `task_struct.prio`.
    pub task_prio: u32,
    /// `cfs_rq.throttled_clock_self_time`, or absent.
    pub cfs_rq_throttled_self: u32,
    /// `task_struct.flags`.
    pub task_flags: u32,
    /// `task_struct.on_rq`.
    pub task_on_rq: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
    /// `task_struct.state` (8 bytes), or absent.
    pub task_state_long: u32,
    /// `task_struct.se.sched_delayed` (1 byte), or absent.
    pub task_sched_delayed: u32,
    /// `task_struct.se.parent`.
    pub task_se_parent: u32,
    /// `sched_entity.cfs_rq`.
    pub se_cfs_rq: u32,
    /// `sched_entity.parent`.
    pub se_parent: u32,
    /// `cfs_rq.runtime_enabled`, or absent.
    pub cfs_rq_runtime_enabled: u32,
    /// `cfs_rq.throttled_clock_self`, or absent.
    pub cfs_rq_throttled_since: u32,
    /// `cfs_rq.throttle_count`, or absent.
    pub cfs_rq_throttle_count: u32,
    /// `css_set.dfl_cgrp` on cgroup v2, or absent.
    pub css_set_dfl_cgrp: u32,
    /// `css_set.subsys[cpu_cgrp_id]` on cgroup v1, or absent.
    pub css_set_cpu: u32,
    /// `cgroup_subsys_state.cgroup`.
    pub css_cgroup: u32,
    /// `cgroup.kn`.
    pub cgroup_kn: u32,
    /// `cgroup.root`.
    pub cgroup_root: u32,
    /// `cgroup_root.hierarchy_id`.
    pub cgroup_root_hierarchy: u32,
    /// `kernfs_node.id`.
    pub kn_id: u32,
    /// `task_group.cfs_rq`, or absent.
    pub tg_cfs_rq: u32,
}

/// What userspace decided before it loaded the programs; written likewise.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Zeroable, Pod)]
pub struct Settings {
    /// CPUs with room in the maps: the highest present CPU number + 1.
    pub cpus: u32,
    /// Histogram shards, a power of two; `cpus` or more means that no two CPUs share one.
    pub shards: u32,
    /// One of [`ThrottleMethod`].
    pub throttle: u32,
    /// Number of the hierarchy that owns `cpu`.
    pub hierarchy: u32,
    /// Id of the root cgroup.
    pub root_cgroup: u64,
    /// Shards of the accounts of block I/O, a power of two.
    pub stream_shards: u32,
    /// Records of requests for each CPU, a power of two.
    pub records: u32,
    /// Sets of pairs for each CPU, a power of two.
    pub pair_sets: u32,
    /// Reserved.
    pub _pad: u32,
}

/// How the programs learn of quota throttling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ThrottleMethod {
    /// The kernel has no CPU bandwidth control.
    Absent = 0,
    /// `cfs_rq.throttled_clock_self_time` at switch-in (6.6 and later).
    SelfTime = 1,
    /// Programs on `tg_throttle_down` and `tg_unthrottle_up`.
    Hooks = 2,
    /// No way on this host.
    Unknown = 3,
}

/// `TASK_DEAD` of include/linux/sched.h.
pub const TASK_DEAD: u32 = 0x80;
/// `PF_KTHREAD`.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// `TASK_ON_RQ_QUEUED`.
pub const ON_RQ_QUEUED: u32 = 1;
/// `TASK_ON_RQ_MIGRATING`.
pub const ON_RQ_MIGRATING: u32 = 2;
/// `MAX_RT_PRIO`: tasks from here on are subject to CPU bandwidth control.
pub const FAIR_PRIO: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_sizes_that_the_memory_plan_counts_on() {
        assert_eq!(size_of::<Cell>(), 128);
        assert_eq!(size_of::<Histogram>(), 448);
        assert_eq!(size_of::<PairSet>(), 64);
        assert_eq!(size_of::<crate::baseline::Set>(), 64);
        assert_eq!(size_of::<crate::throttle::Track>(), 512);
        assert_eq!(size_of::<CgroupBucket>(), 64);
        assert!(size_of::<Cpu>() <= 86 * 1024, "{}", size_of::<Cpu>());
        let history = core::mem::offset_of!(Cpu, history);
        assert_eq!(
            (
                history % 64,
                size_of::<Cpu>() % 64,
                size_of::<History>() % 64
            ),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_full_set_refuses_a_fifth_pair() {
        let mut set = PairSet::default();
        for culprit in 1..=4 {
            assert!(set.add(pair_key(9, culprit), 10));
        }
        assert!(!set.add(pair_key(9, 5), 10));
        assert!(set.add(pair_key(9, 2), 5));
        assert_eq!(set.pairs[1].ns, 15);
    }
}
