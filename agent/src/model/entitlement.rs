//! What a cgroup's weight, quota and CPU set entitle it to.
//!
//! Its fair share is the capacity times, for each level of its path, its weight over the weights
//! of the siblings that were active. Tasks that live in a cgroup with children compete with them
//! as one sibling of default weight: the kernel lets each such task compete on its own. Kernel
//! threads are left out, since they mostly run on behalf of others. A CPU set that cannot be read
//! caps nothing; a weight or quota that cannot be read makes the share unknown.

use std::collections::BTreeMap;

use crate::{
    model::{host::HostUse, parties::Parties},
    sample::{Bandwidth, Cgroup, CgroupId, Party, Quota, Sample, ThrottleSource},
};

/// Weight of tasks that compete with child cgroups (`NICE_0_LOAD` in the kernel's units).
const TASKS_WEIGHT: u64 = 1024;

/// A sibling is active from so much of one CPU on, run or waited for: less does not compete.
pub(crate) const ACTIVE_CPUS: f64 = 0.01;

/// Paths are followed so far up; the kernel's own limit of depth is lower in practice.
const DEEPEST: usize = 64;

/// Entitlements in one interval.
pub(super) struct Entitlements<'a> {
    before: &'a BTreeMap<CgroupId, Cgroup>,
    after: &'a BTreeMap<CgroupId, Cgroup>,
    /// Run and contention wait in nanoseconds: of the cgroup's own tasks …
    own: BTreeMap<CgroupId, u64>,
    /// … and descendants included.
    subtree: BTreeMap<CgroupId, u64>,
    /// Sum of the weights of active children; `None` where one of them is not known.
    active_weights: BTreeMap<CgroupId, Option<u64>>,
    active_from_ns: f64,
    capacity_s: Option<f64>,
    seconds: f64,
    online: Vec<u32>,
    quotas: bool,
}

impl<'a> Entitlements<'a> {
    pub(super) fn new(
        before: &'a Sample,
        after: &'a Sample,
        parties: &Parties,
        host: &HostUse,
    ) -> Entitlements<'a> {
        let seconds = host.length.as_secs_f64();
        let mut entitlements = Entitlements {
            before: &before.cgroups,
            after: &after.cgroups,
            own: BTreeMap::new(),
            subtree: BTreeMap::new(),
            active_weights: BTreeMap::new(),
            active_from_ns: ACTIVE_CPUS * seconds * 1e9,
            capacity_s: host.capacity_s(),
            seconds,
            online: online(host),
            quotas: after.abilities.throttle != Some(ThrottleSource::NoQuotas),
        };
        entitlements.add_demand(parties);
        entitlements.active_weights = entitlements.weigh_active();
        entitlements
    }

    /// What a cgroup and its descendants are entitled to, CPU seconds.
    pub(super) fn subtree_s(&self, id: CgroupId) -> Option<f64> {
        self.capped(id, self.share(id)?)
    }

    /// What the tasks are entitled to that live in the cgroup itself, CPU seconds.
    pub(super) fn tasks_s(&self, id: CgroupId) -> Option<f64> {
        let level = self.weights_under(id, None)?;
        self.capped(id, self.share(id)? * TASKS_WEIGHT as f64 / level)
    }

    /// Of a fair share and a request in CPUs the larger, CPU seconds.
    pub(super) fn contract_s(&self, entitled_s: f64, request: Option<f64>) -> f64 {
        request.map_or(entitled_s, |cpus| entitled_s.max(cpus * self.seconds))
    }

    /// The tightest quota on the path, in CPUs, as far as quotas are known.
    pub(super) fn quota_cpus(&self, id: CgroupId) -> Option<f64> {
        self.path(id)
            .filter_map(|(_, cgroup)| match cgroup.quota? {
                Quota::Cpus(cpus) => Some(cpus),
                Quota::Unlimited => None,
            })
            .reduce(f64::min)
    }

    /// CPUs that tasks of the cgroup may use: the nearest CPU set on the path.
    pub(super) fn cpuset(&self, id: CgroupId) -> Option<Vec<u32>> {
        self.path(id)
            .find_map(|(_, cgroup)| cgroup.cpuset.as_ref())
            .cloned()
    }

    /// What the cgroup's own quota did, for a new cgroup since it was made.
    pub(super) fn bandwidth(&self, id: CgroupId) -> Option<Bandwidth> {
        let after = self.after.get(&id)?.bandwidth?;
        let before = match self.before.get(&id) {
            Some(cgroup) => cgroup.bandwidth?,
            None => Bandwidth::default(),
        };
        Some(Bandwidth {
            periods: after.periods.checked_sub(before.periods)?,
            throttled_periods: after
                .throttled_periods
                .checked_sub(before.throttled_periods)?,
            throttled_ns: after.throttled_ns.checked_sub(before.throttled_ns)?,
        })
    }

    /// As it was last known.
    fn cgroup(&self, id: CgroupId) -> Option<&'a Cgroup> {
        self.after.get(&id).or_else(|| self.before.get(&id))
    }

    fn add_demand(&mut self, parties: &Parties) {
        for (party, usage) in parties.known() {
            let Party::Cgroup(id) = party else { continue };
            let demand = usage.run_ns.saturating_add(usage.wait.contention());
            let mut next = self.find(id);
            for _ in 0..DEEPEST {
                let Some((above, cgroup)) = next else { break };
                let sum = self.subtree.entry(above).or_default();
                *sum = sum.saturating_add(demand);
                next = cgroup.parent.and_then(|parent| self.find(parent));
            }
            self.own.insert(id, demand);
        }
    }

    fn weigh_active(&self) -> BTreeMap<CgroupId, Option<u64>> {
        let mut sums = BTreeMap::new();
        for child in self.subtree.keys() {
            let Some(cgroup) = self.cgroup(*child) else {
                continue;
            };
            if let Some(parent) = cgroup.parent
                && self.is_active(&self.subtree, *child)
            {
                let sum = sums.entry(parent).or_insert(Some(0_u64));
                *sum = sum
                    .zip(cgroup.weight)
                    .map(|(sum, weight)| sum.saturating_add(weight));
            }
        }
        sums
    }

    /// The cgroup and its ancestors, root last.
    fn path(&self, id: CgroupId) -> impl Iterator<Item = (CgroupId, &'a Cgroup)> {
        std::iter::successors(self.find(id), |(_, cgroup)| self.find(cgroup.parent?)).take(DEEPEST)
    }

    fn find(&self, id: CgroupId) -> Option<(CgroupId, &'a Cgroup)> {
        Some((id, self.cgroup(id)?))
    }

    /// The part of the capacity that is the cgroup's by weight, 0 to 1.
    fn share(&self, id: CgroupId) -> Option<f64> {
        let mut share = 1.0;
        let mut at_root = false;
        for (id, cgroup) in self.path(id) {
            let Some(parent) = cgroup.parent else {
                at_root = true;
                break;
            };
            share *= cgroup.weight? as f64 / self.weights_under(parent, Some(id))?;
        }
        at_root.then_some(share)
    }

    /// Sum of the weights that compete under a cgroup while `one` of its children, or for `None`
    /// its own tasks, want a CPU.
    fn weights_under(&self, parent: CgroupId, one: Option<CgroupId>) -> Option<f64> {
        let active = self.active_weights.get(&parent).copied();
        let mut sum = active.unwrap_or(Some(0))? as f64;
        if let Some(one) = one
            && !self.is_active(&self.subtree, one)
        {
            sum += self.cgroup(one)?.weight? as f64;
        }
        if one.is_none() || self.is_active(&self.own, parent) {
            sum += TASKS_WEIGHT as f64;
        }
        (sum > 0.0).then_some(sum)
    }

    fn is_active(&self, demand: &BTreeMap<CgroupId, u64>, id: CgroupId) -> bool {
        demand
            .get(&id)
            .is_some_and(|ns| *ns as f64 >= self.active_from_ns)
    }

    fn capped(&self, id: CgroupId, share: f64) -> Option<f64> {
        let mut entitled = self.capacity_s? * share;
        for (_, cgroup) in self.path(id) {
            if let Some(cpus) = self.cap(cgroup)? {
                entitled = entitled.min(cpus * self.seconds);
            }
        }
        Some(entitled)
    }

    /// CPUs that a cgroup's own quota and CPU set leave; the outer `None` is unknown.
    #[expect(clippy::option_option, reason = "unknown and unlimited differ")]
    fn cap(&self, cgroup: &Cgroup) -> Option<Option<f64>> {
        let set = cgroup
            .cpuset
            .as_ref()
            .map(|set| set.iter().filter(|cpu| self.online.contains(cpu)).count() as f64);
        let quota = match cgroup.quota {
            Some(Quota::Cpus(cpus)) => Some(cpus),
            Some(Quota::Unlimited) => None,
            // The root has no quota, nor has a kernel without bandwidth control.
            None if cgroup.parent.is_none() || !self.quotas => None,
            None => return None,
        };
        Some(quota.into_iter().chain(set).reduce(f64::min))
    }
}

fn online(host: &HostUse) -> Vec<u32> {
    let numbered = (0u32..).zip(&host.cpus);
    numbered
        .filter_map(|(number, cpu)| cpu.as_ref().map(|_| number))
        .collect()
}
