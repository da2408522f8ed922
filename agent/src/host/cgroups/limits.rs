//! The interface files of one cgroup (cgroup-v2.rst; cgroup-v1/cgroups.rst, sched-bwc.rst).
//!
//! A file that is absent, because its controller is not enabled there or the cgroup went away,
//! gives `None`, and so does one that cannot be read or understood: one odd cgroup must not stop
//! the rest.

use std::path::Path;

use crate::{
    host::{cpus, hierarchy::Version, read},
    sample::{Bandwidth, Quota},
};

/// Weight of a cgroup with `cpu.idle` set (`WEIGHT_IDLEPRIO` in kernel/sched/sched.h).
const IDLE_WEIGHT: u64 = 3;

/// What people or an orchestrator set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) weight: Option<u64>,
    pub(super) quota: Option<Quota>,
    pub(super) cpuset: Option<Vec<u32>>,
}

impl Settings {
    pub(super) fn is_limited(&self) -> bool {
        matches!(self.quota, Some(Quota::Cpus(_)))
    }
}

/// Weight and quota. The cpuset may sit in another folder.
pub(super) fn settings(version: Version, folder: &Path) -> Settings {
    let (weight, quota) = match version {
        Version::V1 => (read::value(&folder.join("cpu.shares")), quota_v1(folder)),
        Version::V2 => (weight_v2(folder), quota_v2(folder)),
    };
    Settings {
        weight,
        quota,
        cpuset: None,
    }
}

/// What the quota did. On version 2 reading it makes the kernel add up the statistics of all CPUs,
/// so it is for cgroups with a quota.
pub(super) fn bandwidth(folder: &Path) -> Option<Bandwidth> {
    parse_bandwidth(&read::text(&folder.join("cpu.stat")).ok()?)
}

pub(super) fn cpuset_v1(folder: &Path) -> Option<Vec<u32>> {
    cpus::parse(&read::text(&folder.join("cpuset.effective_cpus")).ok()?)
}

pub(super) fn cpuset_v2(folder: &Path) -> Option<Vec<u32>> {
    cpus::parse(&read::text(&folder.join("cpuset.cpus.effective")).ok()?)
}

fn weight_v2(folder: &Path) -> Option<u64> {
    let weight: u64 = read::value(&folder.join("cpu.weight"))?;
    // An idle cgroup shows weight 0, or 1 where the kernel clamps it.
    if weight <= 1 && read::value(&folder.join("cpu.idle")) == Some(1_u8) {
        return Some(IDLE_WEIGHT);
    }
    Some(from_cgroup_weight(weight))
}

/// As `sched_weight_from_cgroup`: 100 is 1024, rounded to the closest.
fn from_cgroup_weight(weight: u64) -> u64 {
    weight.saturating_mul(1024).saturating_add(50) / 100
}

fn quota_v2(folder: &Path) -> Option<Quota> {
    let text = read::line(&folder.join("cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    if quota == "max" {
        return Some(Quota::Unlimited);
    }
    cpus_of(quota.parse().ok()?, period.parse().ok()?)
}

fn quota_v1(folder: &Path) -> Option<Quota> {
    let quota: i64 = read::value(&folder.join("cpu.cfs_quota_us"))?;
    match u64::try_from(quota) {
        Err(_) => Some(Quota::Unlimited),
        Ok(quota) => cpus_of(quota, read::value(&folder.join("cpu.cfs_period_us"))?),
    }
}

fn cpus_of(quota_us: u64, period_us: u64) -> Option<Quota> {
    (period_us > 0).then(|| Quota::Cpus(quota_us as f64 / period_us as f64))
}

/// Version 2 counts throttled time in microseconds, version 1 in nanoseconds.
fn parse_bandwidth(stat: &str) -> Option<Bandwidth> {
    let field = |name| {
        stat.lines().find_map(|line| {
            let (key, value) = line.split_once(' ')?;
            (key == name).then(|| value.trim().parse::<u64>().ok())?
        })
    };
    let throttled_ns = match field("throttled_usec") {
        Some(us) => us.saturating_mul(1000),
        None => field("throttled_time")?,
    };
    Some(Bandwidth {
        periods: field("nr_periods")?,
        throttled_periods: field("nr_throttled")?,
        throttled_ns,
    })
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
