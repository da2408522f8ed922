//! What one party, or several together, did in an interval.

use agent_ebpf::cause::{CAUSES, Cause};
use serde::{Deserialize, Serialize};

use crate::model::histogram::Histogram;
use crate::sample::{Abilities, Account};

/// Waits by cause in nanoseconds. The total *is* the sum of the causes.
///
/// What a host cannot observe has no value; had the kernel programs counted something there
/// nonetheless, it has no cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    ns: [u64; CAUSES],
    known: [bool; CAUSES],
}

impl Waits {
    /// No waits, on a host with these abilities.
    pub fn none(abilities: Abilities) -> Waits {
        let mut known = [true; CAUSES];
        known[Cause::Steal as usize] = abilities.steal.is_some();
        known[Cause::Irq as usize] = abilities.irq;
        known[Cause::Throttled as usize] = abilities.throttle.is_some();
        Waits {
            ns: [0; CAUSES],
            known,
        }
    }

    /// Adds time to a cause; to [`Cause::Unattributed`] when the host cannot observe it.
    pub fn add(&mut self, cause: Cause, ns: u64) {
        let cause = if self.known[cause as usize] {
            cause
        } else {
            Cause::Unattributed
        };
        let sum = &mut self.ns[cause as usize];
        *sum = sum.saturating_add(ns);
    }

    /// Moves time from one cause to another, at most what is there.
    pub fn shift(&mut self, from: Cause, to: Cause, ns: u64) {
        let moved = self.ns[from as usize].min(ns);
        self.ns[from as usize] -= moved;
        self.add(to, moved);
    }

    /// Adds other waits, cause by cause.
    pub fn append(&mut self, other: &Waits) {
        for cause in Cause::ALL {
            self.add(cause, other.known(cause));
        }
    }

    /// The wait for one cause, nanoseconds; `None` where the host cannot observe it.
    pub fn get(&self, cause: Cause) -> Option<u64> {
        self.known[cause as usize].then_some(self.ns[cause as usize])
    }

    /// The wait for a cause that every host observes, 0 for what it cannot.
    pub fn known(&self, cause: Cause) -> u64 {
        self.ns[cause as usize]
    }

    /// The whole wait, nanoseconds.
    pub fn total(&self) -> u64 {
        self.ns.iter().fold(0, |sum, ns| sum.saturating_add(*ns))
    }

    /// Waited while somebody or something else ran: neighbor, self and kernel, nanoseconds.
    pub fn contention(&self) -> u64 {
        [Cause::Neighbor, Cause::SelfInflicted, Cause::Kernel]
            .iter()
            .fold(0, |sum, cause| sum.saturating_add(self.known(*cause)))
    }
}

/// What a party did in an interval, nanoseconds unless named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// On a CPU, without steal and, where the kernel accounts them, interrupts.
    pub run_ns: u64,
    /// Stolen while on a CPU.
    pub steal_ns: Option<u64>,
    /// Interrupts while on a CPU.
    pub irq_ns: Option<u64>,
    /// Waits by cause.
    pub wait: Waits,
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
    /// Completed waits by length, throttled time left out.
    pub delay: Option<Histogram>,
    /// Throttled parts of waits by length.
    pub throttled: Option<Histogram>,
}

impl Usage {
    /// Nothing done, on a host with these abilities.
    pub fn none(abilities: Abilities) -> Usage {
        Usage {
            run_ns: 0,
            steal_ns: abilities.steal.map(|_| 0),
            irq_ns: abilities.irq.then_some(0),
            wait: Waits::none(abilities),
            waits: 0,
            switches_voluntary: 0,
            switches_involuntary: 0,
            migrations: 0,
            phantom_ns: 0,
            delay: Some(Histogram::default()),
            throttled: abilities.throttle.map(|_| Histogram::default()),
        }
    }

    /// What was done between two readings; `None` when a counter went backwards.
    pub fn between(before: &Account, after: &Account, abilities: Abilities) -> Option<Usage> {
        let mut usage = Usage::none(abilities);
        usage.run_ns = after.run_ns.checked_sub(before.run_ns)?;
        usage.waits = after.waits.checked_sub(before.waits)?;
        usage.switches_voluntary = after
            .switches_voluntary
            .checked_sub(before.switches_voluntary)?;
        usage.switches_involuntary = after
            .switches_involuntary
            .checked_sub(before.switches_involuntary)?;
        usage.migrations = after.migrations.checked_sub(before.migrations)?;
        usage.phantom_ns = after.phantom_ns.checked_sub(before.phantom_ns)?;
        for cause in Cause::ALL {
            usage
                .wait
                .add(cause, after.wait(cause).checked_sub(before.wait(cause))?);
        }
        usage.steal_ns = observed(usage.steal_ns, before.steal_ns, after.steal_ns);
        usage.irq_ns = observed(usage.irq_ns, before.irq_ns, after.irq_ns);
        usage.delay = Histogram::between(&before.delay, &after.delay);
        if usage.throttled.is_some() {
            usage.throttled = Histogram::between(&before.throttled, &after.throttled);
        }
        Some(usage)
    }

    /// Adds what another party did; what is unknown of either is unknown of both.
    pub fn add(&mut self, other: &Usage) {
        self.run_ns = self.run_ns.saturating_add(other.run_ns);
        self.steal_ns = sum(self.steal_ns, other.steal_ns);
        self.irq_ns = sum(self.irq_ns, other.irq_ns);
        self.wait.append(&other.wait);
        self.waits = self.waits.saturating_add(other.waits);
        self.switches_voluntary = self
            .switches_voluntary
            .saturating_add(other.switches_voluntary);
        self.switches_involuntary = self
            .switches_involuntary
            .saturating_add(other.switches_involuntary);
        self.migrations = self.migrations.saturating_add(other.migrations);
        self.phantom_ns = self.phantom_ns.saturating_add(other.phantom_ns);
        self.delay = merged(self.delay.take(), other.delay.as_ref());
        self.throttled = merged(self.throttled.take(), other.throttled.as_ref());
    }

    /// Ran, waited or switched at all.
    pub fn is_active(&self) -> bool {
        self.run_ns > 0
            || self.waits > 0
            || self.wait.total() > 0
            || self.switches_voluntary > 0
            || self.switches_involuntary > 0
    }
}

fn observed(able: Option<u64>, before: u64, after: u64) -> Option<u64> {
    able.and(after.checked_sub(before))
}

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.saturating_add(b?))
}

fn merged(sum: Option<Histogram>, part: Option<&Histogram>) -> Option<Histogram> {
    let mut sum = sum?;
    sum.add(part?);
    Some(sum)
}
