//! Counters of the whole host, as the kernel itself keeps them.

use std::path::Path;

use super::read::{self, Error};
use crate::sample::HostCounters;

/// Nanoseconds of one tick in `/proc`. `USER_HZ` is 100 in the interface of x86-64 and arm64,
/// whatever `CONFIG_HZ` is (include/uapi/asm-generic/param.h).
pub const TICK_NS: u64 = 1_000_000_000 / 100;

/// Places in the `cpu` line of `/proc/stat` (proc_stat(5)).
const IRQ: usize = 5;
const SOFTIRQ: usize = 6;
const STEAL: usize = 7;

/// Place of the run-queue delay in a `cpu` line of `/proc/schedstat` (scheduler/sched-stats.rst).
const RUN_DELAY: usize = 7;
/// The versions in which it has that place.
const SCHEDSTAT_VERSIONS: std::ops::RangeInclusive<u32> = 14..=17;

/// Reads `/proc/stat`. Steal of 0 may also mean that the hypervisor tells
/// none: see [`super::facts::HostFacts::steal_supported`].
pub fn read(proc: &Path) -> Result<HostCounters, Error> {
    let path = proc.join("stat");
    let stat = read::text(&path)?;
    let ticks = all_cpus(&stat).ok_or(Error::Malformed {
        path,
        expected: "line \"cpu\"",
    })?;
    let ns = |place: usize| Some(ticks.get(place)?.saturating_mul(TICK_NS));
    Ok(HostCounters {
        steal_ns: ns(STEAL),
        irq_ns: ns(IRQ)
            .zip(ns(SOFTIRQ))
            .map(|(irq, softirq)| irq.saturating_add(softirq)),
    })
}

/// The kernel's sum of run-queue delay over all CPUs; `None` where it is built without
/// `CONFIG_SCHEDSTATS`.
pub fn kernel_run_delay_ns(proc: &Path) -> Result<Option<u64>, Error> {
    let path = proc.join("schedstat");
    let Some(text) = read::optional_text(&path)? else {
        return Ok(None);
    };
    let version = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("version ")?.parse().ok());
    if !version.is_some_and(|version| SCHEDSTAT_VERSIONS.contains(&version)) {
        return Err(Error::Malformed {
            path,
            expected: "known version (14 to 17)",
        });
    }
    let cpus = text.lines().filter(|line| line.starts_with("cpu"));
    let delay = |line: &str| {
        line.split_ascii_whitespace()
            .nth(1 + RUN_DELAY)?
            .parse::<u64>()
            .ok()
    };
    let sum = cpus.map(delay).sum::<Option<u64>>();
    sum.ok_or(Error::Malformed {
        path,
        expected: "run-queue delay of each CPU",
    })
    .map(Some)
}

fn all_cpus(stat: &str) -> Option<Vec<u64>> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    line.split_ascii_whitespace()
        .map(|field| field.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(proc.path().join(name), text).unwrap();
        }
        proc
    }

    #[test]
    fn ticks_become_nanoseconds() {
        let stat = "cpu  66185 0 14130 330469 4056 2 349 3631 0 0\ncpu0 1 1 1 1 1 1 1 1\nintr 5\n";
        let counters = read(proc(&[("stat", stat)]).path()).unwrap();
        assert_eq!(counters.steal_ns, Some(36_310_000_000));
        assert_eq!(counters.irq_ns, Some(3_510_000_000));
    }

    #[test]
    fn what_is_absent_is_unknown() {
        let counters = read(proc(&[("stat", "cpu  1 2 3 4 5\n")]).path()).unwrap();
        assert_eq!(counters, HostCounters::default());
        let broken = read(proc(&[("stat", "cpus 1\n")]).path()).unwrap_err();
        assert!(matches!(broken, Error::Malformed { .. }), "{broken}");
    }

    #[test]
    fn run_queue_delay() {
        let text = "version 15\ntimestamp 1\ncpu0 0 0 1 2 3 4 500 600 7\ndomain0 3 0 0\n\
            cpu1 0 0 0 0 0 0 1 40 9\n";
        let delay = |text: &str| kernel_run_delay_ns(proc(&[("schedstat", text)]).path());
        assert_eq!(delay(text).unwrap(), Some(640));
        assert!(delay(&text.replace("15", "99")).is_err());
        assert!(delay("version 15\ncpu0 1 2\n").is_err());
        assert_eq!(kernel_run_delay_ns(proc(&[]).path()).unwrap(), None);
    }

    #[test]
    fn this_machine() {
        let counters = read(Path::new("/proc")).unwrap();
        assert!(counters.steal_ns.is_some() && counters.irq_ns.is_some());
        kernel_run_delay_ns(Path::new("/proc")).unwrap();
    }
}
