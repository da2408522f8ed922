//! Which processes used the CPU: the difference of two looks at `/proc`.
//!
//! Only for naming what runs in a culprit, so the resolution is the kernel's tick (10 ms) and
//! what exited in between is not seen. Processes of other PID namespaces are invisible.

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    counters::TICK_NS,
    read::{self, Error},
    text::display_bytes,
};

/// Places in `/proc/<pid>/stat` behind the name (proc_pid_stat(5), fields 9, 14, 15 and 22).
const FLAGS: usize = 6;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;

/// In the flags of a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;

/// The CPU use of one process so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    /// Ticks from boot to its start; with the pid it names one process.
    start_ticks: u64,
    cpu_ns: u64,
    comm: Box<[u8]>,
    is_kernel_thread: bool,
}

/// The processes at one instant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ticks since boot before the first process was read.
    taken_ticks: u64,
    processes: BTreeMap<u32, Process>,
}

/// What one process used in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Process id in the namespace of that `/proc`.
    pub pid: u32,
    /// Name, safe to print; a tenant chose it.
    pub comm: String,
    /// CPU time of all its threads, in nanoseconds.
    pub cpu_ns: u64,
    /// Whether it is a kernel thread.
    pub is_kernel_thread: bool,
}

impl Snapshot {
    /// The processes that a `cgroup.procs` file lists; those that exit meanwhile are left out.
    pub fn read(proc: &Path, procs_file: &Path) -> Result<Snapshot, Error> {
        let list = read::text(procs_file)?;
        // A process of another PID namespace is listed as 0.
        let pids = list
            .lines()
            .filter_map(|line| line.parse().ok())
            .filter(|pid| *pid != 0);
        Ok(Snapshot::of(proc, pids))
    }

    /// All processes.
    pub fn all(proc: &Path) -> Result<Snapshot, Error> {
        let entries = fs::read_dir(proc).map_err(|source| Error::Broken {
            path: proc.to_owned(),
            source,
        })?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(Snapshot::of(proc, pids))
    }

    /// How many processes were read.
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether none was read.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    fn of(proc: &Path, pids: impl Iterator<Item = u32>) -> Snapshot {
        let taken_ticks = uptime_ticks(proc);
        let processes = pids
            .filter_map(|pid| Some((pid, process(proc, pid)?)))
            .collect();
        Snapshot {
            taken_ticks,
            processes,
        }
    }

    /// What this process used since `before`: all of it, if it started since. `None` if it was
    /// there and not looked at.
    fn used_since(&self, before: &Snapshot, pid: u32) -> Option<u64> {
        let now = self.processes.get(&pid)?;
        match before.processes.get(&pid) {
            Some(then) if then.start_ticks == now.start_ticks => {
                now.cpu_ns.checked_sub(then.cpu_ns)
            }
            _ if now.start_ticks >= before.taken_ticks => Some(now.cpu_ns),
            _ => None,
        }
    }
}

/// The `most` processes of `after` that used most CPU since `before`, most first; those that used
/// none are left out. `before` may hold more processes than `after`, such as the whole host's.
pub fn top(before: &Snapshot, after: &Snapshot, most: usize) -> Vec<Usage> {
    let mut used: Vec<(u64, u32, &Process)> = after
        .processes
        .iter()
        .filter_map(|(pid, process)| Some((after.used_since(before, *pid)?, *pid, process)))
        .filter(|(cpu_ns, _, _)| *cpu_ns > 0)
        .collect();
    used.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    used.truncate(most);
    used.into_iter()
        .map(|(cpu_ns, pid, process)| Usage {
            pid,
            comm: display_bytes(&process.comm),
            cpu_ns,
            is_kernel_thread: process.is_kernel_thread,
        })
        .collect()
}

/// The clock of start times; 0 where it cannot be read, so that every process seems new since.
fn uptime_ticks(proc: &Path) -> u64 {
    let line = read::line(&proc.join("uptime")).unwrap_or_default();
    let seconds = line
        .split(' ')
        .next()
        .and_then(|seconds| seconds.parse::<f64>().ok());
    seconds.map_or(0, |seconds| (seconds * 1e9 / TICK_NS as f64) as u64)
}

fn process(proc: &Path, pid: u32) -> Option<Process> {
    parse(&read::bytes(&proc.join(format!("{pid}/stat"))).ok()?)
}

/// `pid (comm) state …`; the name may hold any bytes, parentheses and newlines included.
fn parse(stat: &[u8]) -> Option<Process> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat
        .iter()
        .rposition(|&byte| byte == b')')
        .filter(|close| *close > open)?;
    let rest = str::from_utf8(&stat[close + 1..]).ok()?;
    let fields: Vec<&str> = rest
        .split_ascii_whitespace()
        .take(START_TICKS + 1)
        .collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Process {
        start_ticks: number(START_TICKS)?,
        cpu_ns: number(USER_TICKS)?
            .saturating_add(number(SYSTEM_TICKS)?)
            .saturating_mul(TICK_NS),
        comm: stat[open + 1..close].into(),
        is_kernel_thread: number(FLAGS)? & PF_KTHREAD != 0,
    })
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
