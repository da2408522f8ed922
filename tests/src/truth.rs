//! What the kernel itself says: run time and run-queue delay of each thread, steal, CPU use.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use crate::cgroup::Cgroup;
use crate::sys;

/// The three fields of `/proc/<tid>/schedstat`, or sums of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sched {
    /// Time on a CPU, in nanoseconds.
    pub run: u64,
    /// Time on run queues, in nanoseconds.
    pub wait: u64,
    /// Number of times it got a CPU.
    pub slices: u64,
}

impl Sched {
    /// Run time in seconds.
    pub fn run_s(self) -> f64 {
        self.run as f64 / 1e9
    }

    /// Run-queue delay in seconds.
    pub fn wait_s(self) -> f64 {
        self.wait as f64 / 1e9
    }

    fn of(tid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{tid}/schedstat")).ok()?;
        let mut fields = text.split_whitespace().map(|field| field.parse().ok());
        Some(Self {
            run: fields.next()??,
            wait: fields.next()??,
            slices: fields.next()??,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            run: self.run - before.run,
            wait: self.wait - before.wait,
            slices: self.slices - before.slices,
        }
    }
}

impl Add for Sched {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            run: self.run + other.run,
            wait: self.wait + other.wait,
            slices: self.slices + other.slices,
        }
    }
}

impl AddAssign for Sched {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The threads of a cgroup (or another set) at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<u32, Sched>);

impl Snapshot {
    /// All threads of a cgroup, read once each of them sleeps and nothing moves any more.
    pub fn at_rest(cgroup: &Cgroup) -> Self {
        loop {
            let tids = cgroup.threads().expect("a test's own cgroup can be read");
            let first = Self::of(&tids);
            // A thread is marked asleep a moment before it leaves its CPU, and only then is its time booked.
            if tids.iter().all(|&tid| asleep(tid)) && first == Self::of(&tids) {
                return first;
            }
            // Not a busy wait: on a pinned CPU it would be part of the load.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// All threads of a cgroup as they are now.
    pub fn now(cgroup: &Cgroup) -> Self {
        Self::of(&cgroup.threads().expect("a test's own cgroup can be read"))
    }

    /// All kernel threads.
    pub fn kernel_threads() -> Self {
        let entries = fs::read_dir("/proc")
            .expect("/proc is mounted")
            .filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self::of(
            &pids
                .filter(|&pid| is_kernel_thread(pid))
                .collect::<Vec<u32>>(),
        )
    }

    /// Number of threads.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no thread at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was added since an earlier snapshot; threads that are new count from zero.
    pub fn since(&self, before: &Self) -> Sched {
        let growth =
            |(tid, now): (&u32, &Sched)| now.since(before.0.get(tid).copied().unwrap_or_default());
        self.0.iter().map(growth).fold(Sched::default(), Add::add)
    }

    fn of(tids: &[u32]) -> Self {
        Self(
            tids.iter()
                .filter_map(|&tid| Some((tid, Sched::of(tid)?)))
                .collect(),
        )
    }
}

/// The fields of `/proc/<tid>/stat` after the name, which may hold anything.
fn stat_fields(tid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn asleep(tid: u32) -> bool {
    stat_fields(tid).is_none_or(|fields| fields[0] == "S")
}

fn is_kernel_thread(pid: u32) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    stat_fields(pid)
        .and_then(|fields| fields[6].parse::<u64>().ok())
        .is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// Involuntary switches of all threads in a cgroup.
pub fn involuntary_switches(cgroup: &Cgroup) -> u64 {
    let count = |tid: u32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        status.lines().find_map(|line| {
            line.strip_prefix("nonvoluntary_ctxt_switches:")?
                .trim()
                .parse()
                .ok()
        })
    };
    cgroup
        .threads()
        .expect("a test's own cgroup can be read")
        .into_iter()
        .filter_map(count)
        .sum()
}

/// One row of `/proc/stat`, as times.
#[derive(Clone, Copy, Debug)]
pub struct CpuTimes {
    /// Time in user and kernel mode, interrupts included.
    pub busy: Duration,
    /// Idle time, waiting for I/O included.
    pub idle: Duration,
    /// Time stolen by the hypervisor.
    pub steal: Duration,
}

impl CpuTimes {
    /// The row of all CPUs together (`None`) or of one.
    pub fn read(cpu: Option<usize>) -> Self {
        let name = cpu.map_or_else(|| "cpu".to_owned(), |cpu| format!("cpu{cpu}"));
        let text = fs::read_to_string("/proc/stat").expect("/proc is mounted");
        let row = text
            .lines()
            .find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        let row = row.unwrap_or_else(|| panic!("no row {name} in /proc/stat"));
        let ticks: Vec<u64> = row
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let sum = |fields: &[usize]| {
            let ticks: u64 = fields.iter().map(|&field| ticks[field]).sum();
            Duration::from_nanos(ticks * 1_000_000_000 / sys::ticks_per_second())
        };
        Self {
            busy: sum(&[0, 1, 2, 5, 6]),
            idle: sum(&[3, 4]),
            steal: sum(&[7]),
        }
    }

    /// What was added since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let minus = Duration::saturating_sub;
        Self {
            busy: minus(self.busy, before.busy),
            idle: minus(self.idle, before.idle),
            steal: minus(self.steal, before.steal),
        }
    }
}
