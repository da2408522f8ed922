//! All CPUs together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        parties::Parties,
        usage::{Usage, Waits},
    },
    sample::{Abilities, CpuTime, Sample},
};

/// What one CPU did in an interval, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuUse {
    /// Cgroups and kernel threads ran.
    pub run_ns: u64,
    /// The idle task ran.
    pub idle_ns: u64,
    /// Stolen, while idle included.
    pub steal_ns: Option<u64>,
    /// Interrupts.
    pub irq_ns: Option<u64>,
}

/// What the host did in an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUse {
    /// By CPU number; `None` for a CPU that was off-line at either end.
    pub cpus: Vec<Option<CpuUse>>,
    /// Length of the interval.
    pub length: Duration,
    /// All on-line CPUs together; `None` when there is no reading.
    pub used: Option<CpuUse>,
    /// Waits of all parties together.
    pub wait: Waits,
    /// Interrupts and soft interrupts from `/proc/stat`, nanoseconds.
    pub stat_irq_ns: Option<u64>,
    /// Steal from `/proc/stat`, nanoseconds.
    pub stat_steal_ns: Option<u64>,
}

impl HostUse {
    pub(super) fn between(
        before: &Sample,
        after: &Sample,
        length: Duration,
        parties: &Parties,
    ) -> HostUse {
        let cpus = if length.is_zero() {
            Vec::new()
        } else {
            cpus(before, after)
        };
        let mut all = Usage::none(after.abilities);
        parties.known().for_each(|(_, usage)| all.add(usage));
        HostUse {
            used: used(&cpus),
            cpus,
            length,
            wait: all.wait,
            stat_irq_ns: difference(before.host.irq_ns, after.host.irq_ns),
            stat_steal_ns: difference(before.host.steal_ns, after.host.steal_ns),
        }
    }

    /// Adds the interval that follows. A CPU that was off-line at an end of either is left out.
    pub(super) fn append(&mut self, next: &HostUse) {
        let earlier = self.cpus.drain(..).chain(std::iter::repeat(None));
        let both = next.cpus.iter().zip(earlier);
        self.cpus = both
            .map(|(later, earlier)| Some(together(earlier?, (*later)?)))
            .collect();
        self.used = used(&self.cpus);
        self.length = self.length.saturating_add(next.length);
        self.wait.append(&next.wait);
        self.stat_irq_ns = sum(self.stat_irq_ns, next.stat_irq_ns);
        self.stat_steal_ns = sum(self.stat_steal_ns, next.stat_steal_ns);
    }

    /// CPUs that were on-line at both ends.
    pub fn online(&self) -> usize {
        self.cpus.iter().flatten().count()
    }

    /// CPU seconds that the on-line CPUs had to give; `None` when there is no reading.
    pub fn capacity_s(&self) -> Option<f64> {
        let online = self.online();
        (online > 0).then_some(online as f64 * self.length.as_secs_f64())
    }

    /// Time that CPUs were not idle, as a part of all their time, 0 to 1; `None` when there is no
    /// reading.
    pub fn busy_share(&self) -> Option<f64> {
        let idle_s = self.used?.idle_ns as f64 / 1e9;
        Some((1.0 - idle_s / self.capacity_s()?).clamp(0.0, 1.0))
    }

    /// The most that tasks waited, behind others, while some CPU was idle: the smaller of all
    /// contention wait and all idle time. An upper bound: idle time may have come before or after
    /// the waits, or on CPUs that the tasks may not use.
    pub fn contended_while_idle_at_most_ns(&self) -> Option<u64> {
        Some(self.wait.contention().min(self.used?.idle_ns))
    }
}

fn cpus(before: &Sample, after: &Sample) -> Vec<Option<CpuUse>> {
    let first = before.cpus.iter().copied().chain(std::iter::repeat(None));
    after
        .cpus
        .iter()
        .zip(first)
        .map(|(after_cpu, before_cpu)| {
            cpu(before_cpu.as_ref()?, after_cpu.as_ref()?, after.abilities)
        })
        .collect()
}

fn cpu(before: &CpuTime, after: &CpuTime, abilities: Abilities) -> Option<CpuUse> {
    Some(CpuUse {
        run_ns: after.run_ns.checked_sub(before.run_ns)?,
        idle_ns: after.idle_ns.checked_sub(before.idle_ns)?,
        steal_ns: abilities
            .steal
            .and(after.steal_ns.checked_sub(before.steal_ns)),
        irq_ns: after
            .irq_ns
            .checked_sub(before.irq_ns)
            .filter(|_| abilities.irq),
    })
}

fn used(cpus: &[Option<CpuUse>]) -> Option<CpuUse> {
    cpus.iter().flatten().copied().reduce(together)
}

fn together(one: CpuUse, other: CpuUse) -> CpuUse {
    CpuUse {
        run_ns: one.run_ns.saturating_add(other.run_ns),
        idle_ns: one.idle_ns.saturating_add(other.idle_ns),
        steal_ns: sum(one.steal_ns, other.steal_ns),
        irq_ns: sum(one.irq_ns, other.irq_ns),
    }
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}

fn difference(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}
