//! One instant: cumulative counters, host facts, health. It says what was read, not what it means.
//!
//! All counters are cumulative since the programs were attached or the kernel booted, in
//! nanoseconds unless named. What could not be read is `None`.

pub mod disk;
pub mod pressure;
mod sums;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use agent_ebpf::{
    bucket::BUCKETS,
    budget::Detail,
    cause::{CAUSES, Cause},
    layout::{DROPS, REASONS},
    owner::KernelFamily,
};
use serde::{Deserialize, Serialize};

pub use sums::Sums;

/// The id of a cgroup: the inode of its folder in the hierarchy that owns the `cpu` controller.
/// Unique per boot within that hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CgroupId(pub u64);

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who uses a CPU or waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The tasks of one cgroup, its descendants apart.
    Cgroup(CgroupId),
    /// Kernel threads of the root cgroup.
    Kernel(KernelFamily),
    /// Cgroups that found no place of their own in the maps.
    Other,
}

/// Cumulative counts by bucket of run-queue delay: see [`agent_ebpf::bucket`].
///
/// Shared until they change: most parties are idle from one sample to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(Arc<[u64; BUCKETS]>);

static NO_COUNTS: LazyLock<Counts> = LazyLock::new(|| Counts(Arc::new([0; BUCKETS])));

impl Default for Counts {
    fn default() -> Counts {
        NO_COUNTS.clone()
    }
}

impl Deref for Counts {
    type Target = [u64; BUCKETS];

    fn deref(&self) -> &[u64; BUCKETS] {
        &self.0
    }
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, more: &Counts) {
        if more.is_shared_with(&NO_COUNTS) {
            return;
        }
        if self.is_shared_with(&NO_COUNTS) {
            *self = more.clone();
            return;
        }
        for (sum, more) in self.change().iter_mut().zip(more.iter()) {
            *sum = sum.saturating_add(*more);
        }
    }

    /// The counts, to be changed.
    pub fn change(&mut self) -> &mut [u64; BUCKETS] {
        Arc::make_mut(&mut self.0)
    }

    /// Whether nothing changed between the two; `false` does not say that something did.
    pub fn is_shared_with(&self, other: &Counts) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What the kernel programs accounted for one party, over all CPUs, open slices included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Time on a CPU, without steal and interrupts.
    pub run_ns: u64,
    /// Stolen while on a CPU; meaningful only when [`Abilities::steal`] says so.
    pub steal_ns: u64,
    /// Interrupts while on a CPU; meaningful only when [`Abilities::irq`] says so.
    pub irq_ns: u64,
    /// Waits by cause; their sum is the wait.
    pub wait_ns: [u64; CAUSES],
    /// Completed waits.
    pub waits: u64,
    /// Switches away because the task blocked.
    pub switches_voluntary: u64,
    /// Switches away because the task was preempted.
    pub switches_involuntary: u64,
    /// Moves to another CPU while queued.
    pub migrations: u64,
    /// Reported by the kernel as waits, and never were.
    pub phantom_ns: u64,
    /// Run-queue delay: contention only, throttled time left out.
    pub delay: Counts,
    /// Throttled parts of waits.
    pub throttled: Counts,
}

impl Account {
    /// Adds what another account holds.
    pub fn add(&mut self, more: &Account) {
        let sum = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        sum(&mut self.run_ns, more.run_ns);
        sum(&mut self.steal_ns, more.steal_ns);
        sum(&mut self.irq_ns, more.irq_ns);
        for (to, more) in self.wait_ns.iter_mut().zip(more.wait_ns) {
            sum(to, more);
        }
        sum(&mut self.waits, more.waits);
        sum(&mut self.switches_voluntary, more.switches_voluntary);
        sum(&mut self.switches_involuntary, more.switches_involuntary);
        sum(&mut self.migrations, more.migrations);
        sum(&mut self.phantom_ns, more.phantom_ns);
        self.delay.add(&more.delay);
        self.throttled.add(&more.throttled);
    }

    /// The wait for one cause.
    pub fn wait(&self, cause: Cause) -> u64 {
        self.wait_ns[cause as usize]
    }
}

/// Nanoseconds by victim and culprit.
pub type Blame = Sums<(Party, Party)>;

/// What one CPU did; open slices included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Cgroups and kernel threads ran.
    pub run_ns: u64,
    /// The idle task ran.
    pub idle_ns: u64,
    /// Stolen, while idle included; meaningful only when [`Abilities::steal`] says so.
    pub steal_ns: u64,
    /// Interrupts; meaningful only when [`Abilities::irq`] says so.
    pub irq_ns: u64,
}

/// Where steal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StealSource {
    /// `rq.prev_steal_time_rq`: exact at each switch.
    Exact,
    /// `rq.prev_steal_time`: advances with the timer tick.
    Tick,
    /// Not a virtual machine: nothing can be stolen.
    BareMetal,
}

/// How throttled time is told from contention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThrottleSource {
    /// `cfs_rq.throttled_clock_self_time` (6.6 and later).
    SelfTime,
    /// Programs on the kernel's throttle functions.
    Hooks,
    /// This kernel has no CPU quotas.
    NoQuotas,
}

/// What this host lets the programs observe; the same over the life of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// `None`: steal is unknown, and sits with whoever had the CPU.
    pub steal: Option<StealSource>,
    /// Whether the kernel accounts interrupt time; if not, it sits with whoever had the CPU.
    pub irq: bool,
    /// `None`: throttled time is unknown, and such waits have no cause.
    pub throttle: Option<ThrottleSource>,
}

/// A queued task that has not run yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitInProgress {
    /// Its party.
    pub party: Party,
    /// Thread id.
    pub tid: u32,
    /// Waited so far.
    pub waited: Duration,
}

/// The programs' own account of their work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `sched_switch` events.
    pub seen: u64,
    /// Of these, accounted.
    pub accounted: u64,
    /// Of these, dropped, by [`agent_ebpf::layout::Drop`]. `seen = accounted + sum of dropped`.
    pub dropped: [u64; DROPS],
    /// Time of waits without a cause, by [`agent_ebpf::layout::Reason`].
    pub unattributed_ns: [u64; REASONS],
    /// Parts of waits taken in proportion from summaries of the history.
    pub estimated_ns: u64,
    /// Blame without room for its pair: the cause is known, the culprit is not.
    pub pairs_full_ns: u64,
    /// Switches to cgroups that found no slot.
    pub slots_exhausted: u64,
    /// Baselines of tasks that were lost.
    pub baselines_lost: u64,
    /// Moved parts of waits that are missing from histograms.
    pub moved_lost: u64,
    /// Throttle intervals of run queues that were forgotten, for there were too many.
    pub tracks_lost: u64,
    /// Cgroups made faster than their names could be told to this process.
    pub names_lost: u64,
    /// Steal and interrupts that found no slice: their clock was set forward.
    pub unplaced_ns: u64,
    /// Tasks that came in a switch for which the kernel skipped the program.
    pub missed: u64,
    /// Phantom waits.
    pub phantoms: u64,
    /// `sched_migrate_task` events of queued tasks.
    pub migrations: u64,
    /// Time spent in the timed runs of the switch program.
    pub cost_ns: u64,
    /// Timed runs.
    pub cost_runs: u64,
    /// How much is accounted at present.
    pub detail: Detail,
    /// Events that the kernel skipped because the program was running on that CPU; `None` where
    /// the kernel does not count them.
    pub recursion_misses: Option<u64>,
    /// The kernel's own sum of run-queue delay over all CPUs (`/proc/schedstat`), where it keeps
    /// one.
    pub kernel_run_delay_ns: Option<u64>,
}

/// The CPU quota of one cgroup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quota {
    /// None set.
    Unlimited,
    /// At most so many CPUs' time.
    Cpus(f64),
}

/// The limits and counters of one cgroup in the hierarchy that owns `cpu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cgroup {
    /// Path from the hierarchy's root, starting with `/`; the root itself is `/`. Any bytes. Samples
    /// share it.
    pub path: Arc<OsStr>,
    /// The parent; `None` for the root.
    pub parent: Option<CgroupId>,
    /// Weight in the kernel's units: 1024 is the default of both cgroup versions.
    pub weight: Option<u64>,
    /// Quota set on this very cgroup.
    pub quota: Option<Quota>,
    /// CPUs that its tasks may use.
    pub cpuset: Option<Vec<u32>>,
    /// Enforcement periods that passed, ran into the quota, and throttled time over all CPUs.
    pub bandwidth: Option<Bandwidth>,
}

/// `cpu.stat` of a cgroup with a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// `nr_periods`.
    pub periods: u64,
    /// `nr_throttled`.
    pub throttled_periods: u64,
    /// `throttled_usec`, or `throttled_time`, in nanoseconds.
    pub throttled_ns: u64,
}

/// `/proc/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Stolen, over all CPUs, as the kernel counts it in ticks.
    pub steal_ns: Option<u64>,
    /// Interrupts and soft interrupts, over all CPUs.
    pub irq_ns: Option<u64>,
}

/// What was read at one instant.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Monotonic clock, since boot.
    pub monotonic: Duration,
    /// Wall clock.
    pub wall: SystemTime,
    /// What the host lets the programs observe.
    pub abilities: Abilities,
    /// By CPU number; `None` is off-line.
    pub cpus: Vec<Option<CpuTime>>,
    /// Accounts of all parties that ever ran or waited since attach.
    pub accounts: BTreeMap<Party, Account>,
    /// `(victim, culprit)`: waited by the one while the other ran. Victims are cgroups, kernel
    /// families or [`Party::Other`]; culprits are never the victim itself.
    pub blame: Blame,
    /// Cgroups that exist or did lately.
    pub cgroups: BTreeMap<CgroupId, Cgroup>,
    /// Waits in progress, longest first; `None` where they cannot be listed.
    pub waiting: Option<Vec<WaitInProgress>>,
    /// Counters of the host.
    pub host: HostCounters,
    /// The programs' own account.
    pub health: Health,
    /// Block I/O; `None` where its program does not run.
    pub disk: Option<disk::Disk>,
}
