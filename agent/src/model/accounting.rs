//! How complete the account of an interval is, by the kernel programs' own counters.

use agent_ebpf::{
    budget::Detail,
    cause::Cause,
    layout::{DROPS, REASONS},
};
use serde::{Deserialize, Serialize};

use crate::{model::parties::Parties, sample::Health};

/// How complete the account is. A counter that went backwards is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accounting {
    /// `sched_switch` events.
    pub seen: Option<u64>,
    /// Of these, accounted.
    pub accounted: Option<u64>,
    /// Of these, dropped, by [`agent_ebpf::layout::Drop`].
    pub dropped: [Option<u64>; DROPS],
    /// Reported by the kernel as waits, and never were, nanoseconds.
    pub phantom_ns: u64,
    /// Number of phantom waits.
    pub phantoms: Option<u64>,
    /// The kernel's own run-queue delay, nanoseconds; `None` where it keeps no such sum.
    pub kernel_wait_ns: Option<u64>,
    /// Waits of all parties, nanoseconds.
    pub wait_ns: u64,
    /// Of these, without a cause, nanoseconds.
    pub unattributed_ns: u64,
    /// Waits without a cause, by [`agent_ebpf::layout::Reason`], nanoseconds.
    pub reasons_ns: [Option<u64>; REASONS],
    /// Of all waits, taken in proportion from summaries, nanoseconds.
    pub estimated_ns: Option<u64>,
    /// Blame without room for its pair, nanoseconds.
    pub pairs_full_ns: Option<u64>,
    /// Switches to cgroups that found no slot.
    pub slots_exhausted: Option<u64>,
    /// Lost baselines of tasks.
    pub baselines_lost: Option<u64>,
    /// Moved parts of waits that are missing from histograms.
    pub moved_lost: Option<u64>,
    /// Run queues whose throttle intervals were forgotten, for there were too many.
    pub tracks_lost: Option<u64>,
    /// Cgroups made faster than their names were taken.
    pub names_lost: Option<u64>,
    /// Steal and interrupts that found no slice, nanoseconds: their clock was set forward.
    pub unplaced_ns: Option<u64>,
    /// Switches for which the kernel skipped the program, as far as they were noticed.
    pub missed: Option<u64>,
    /// Events that the kernel skipped.
    pub recursion_misses: Option<u64>,
    /// Time spent in the timed runs of the switch program, nanoseconds.
    pub cost_ns: Option<u64>,
    /// Timed runs.
    pub cost_runs: Option<u64>,
    /// How much was accounted at the end; of several intervals the least.
    pub detail: Detail,
}

impl Accounting {
    pub(super) fn between(before: &Health, after: &Health, parties: &Parties) -> Accounting {
        let (mut wait_ns, mut unattributed_ns, mut phantom_ns) = (0u64, 0u64, 0u64);
        for (_, usage) in parties.known() {
            wait_ns = wait_ns.saturating_add(usage.wait.total());
            unattributed_ns = unattributed_ns.saturating_add(usage.wait.known(Cause::Unattributed));
            phantom_ns = phantom_ns.saturating_add(usage.phantom_ns);
        }
        let since = |field: fn(&Health) -> u64| field(after).checked_sub(field(before));
        Accounting {
            seen: since(|health| health.seen),
            accounted: since(|health| health.accounted),
            dropped: each(&before.dropped, &after.dropped),
            phantom_ns,
            phantoms: since(|health| health.phantoms),
            kernel_wait_ns: after
                .kernel_run_delay_ns
                .zip(before.kernel_run_delay_ns)
                .and_then(|(after, before)| after.checked_sub(before)),
            wait_ns,
            unattributed_ns,
            reasons_ns: each(&before.unattributed_ns, &after.unattributed_ns),
            estimated_ns: since(|health| health.estimated_ns),
            pairs_full_ns: since(|health| health.pairs_full_ns),
            slots_exhausted: since(|health| health.slots_exhausted),
            baselines_lost: since(|health| health.baselines_lost),
            moved_lost: since(|health| health.moved_lost),
            tracks_lost: since(|health| health.tracks_lost),
            names_lost: since(|health| health.names_lost),
            unplaced_ns: since(|health| health.unplaced_ns),
            missed: since(|health| health.missed),
            recursion_misses: after
                .recursion_misses
                .zip(before.recursion_misses)
                .and_then(|(after, before)| after.checked_sub(before)),
            cost_ns: since(|health| health.cost_ns),
            cost_runs: since(|health| health.cost_runs),
            detail: after.detail,
        }
    }

    /// Adds the account of the interval that follows; what is unknown of either is unknown of both.
    pub(super) fn append(&mut self, next: &Accounting) {
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            *sum = sum.zip(more).map(|(sum, more)| sum.saturating_add(more));
        };
        add(&mut self.seen, next.seen);
        add(&mut self.accounted, next.accounted);
        for (sum, more) in self.dropped.iter_mut().zip(next.dropped) {
            add(sum, more);
        }
        self.phantom_ns = self.phantom_ns.saturating_add(next.phantom_ns);
        add(&mut self.phantoms, next.phantoms);
        add(&mut self.kernel_wait_ns, next.kernel_wait_ns);
        self.wait_ns = self.wait_ns.saturating_add(next.wait_ns);
        self.unattributed_ns = self.unattributed_ns.saturating_add(next.unattributed_ns);
        for (sum, more) in self.reasons_ns.iter_mut().zip(next.reasons_ns) {
            add(sum, more);
        }
        add(&mut self.estimated_ns, next.estimated_ns);
        add(&mut self.pairs_full_ns, next.pairs_full_ns);
        add(&mut self.slots_exhausted, next.slots_exhausted);
        add(&mut self.baselines_lost, next.baselines_lost);
        add(&mut self.moved_lost, next.moved_lost);
        add(&mut self.tracks_lost, next.tracks_lost);
        add(&mut self.names_lost, next.names_lost);
        add(&mut self.unplaced_ns, next.unplaced_ns);
        add(&mut self.missed, next.missed);
        add(&mut self.recursion_misses, next.recursion_misses);
        add(&mut self.cost_ns, next.cost_ns);
        add(&mut self.cost_runs, next.cost_runs);
        self.detail = self.detail.max(next.detail);
    }

    /// Waits and phantoms accounted, as a ratio of the kernel's own run-queue delay; `None`
    /// where the kernel has no such sum, or nobody waited. Near 1 is right: the two are not read
    /// at the same instant, so it may be a little above.
    pub fn coverage(&self) -> Option<f64> {
        ratio(
            self.wait_ns.saturating_add(self.phantom_ns),
            self.kernel_wait_ns?,
        )
    }

    /// The part of all waits that was taken in proportion from summaries, 0 to 1.
    pub fn estimated_share(&self) -> Option<f64> {
        ratio(self.estimated_ns?.min(self.wait_ns), self.wait_ns)
    }

    /// Mean cost of one run of the switch program, nanoseconds.
    pub fn cost_per_switch_ns(&self) -> Option<f64> {
        ratio(self.cost_ns?, self.cost_runs?)
    }

    /// The part of all waits that has no cause, 0 to 1; `None` when nobody waited.
    pub fn unattributed_share(&self) -> Option<f64> {
        ratio(self.unattributed_ns, self.wait_ns)
    }
}

fn each<const N: usize>(before: &[u64; N], after: &[u64; N]) -> [Option<u64>; N] {
    std::array::from_fn(|at| after[at].checked_sub(before[at]))
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
