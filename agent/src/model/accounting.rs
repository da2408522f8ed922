//! How complete the account of an interval is, by the kernel programs' own counters.

use agent_ebpf::{
    budget::Detail,
    cause::Cause,
    layout::{DROPS, REASONS},
};

use crate::{model::parties::Parties, sample::Health};

/// How complete the account is. A counter that went backwards is `None`.
#[derive(Clone, Debug, PartialEq)]
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
    /// Waits and phantoms accounted, as a ratio of the kernel's own run-queue delay; `None`
    /// where the kernel has no such sum, or nobody waited. Near 1 is right: the two are not read
    /// at the same instant, so it may be a little above.
    pub coverage: Option<f64>,
    /// Waits of all parties, nanoseconds.
    pub wait_ns: u64,
    /// Of these, without a cause, nanoseconds.
    pub unattributed_ns: u64,
    /// Waits without a cause, by [`agent_ebpf::layout::Reason`], nanoseconds.
    pub reasons_ns: [Option<u64>; REASONS],
    /// The part of all waits that was taken in proportion from summaries, 0 to 1.
    pub estimated_share: Option<f64>,
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
    /// Mean cost of one run of the switch program, nanoseconds.
    pub cost_per_switch_ns: Option<f64>,
    /// How much was accounted at the end.
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
        let kernel = after
            .kernel_run_delay_ns
            .zip(before.kernel_run_delay_ns)
            .and_then(|(after, before)| after.checked_sub(before));
        Accounting {
            seen: since(|health| health.seen),
            accounted: since(|health| health.accounted),
            dropped: each(&before.dropped, &after.dropped),
            phantom_ns,
            phantoms: since(|health| health.phantoms),
            coverage: kernel.and_then(|kernel| ratio(wait_ns.saturating_add(phantom_ns), kernel)),
            wait_ns,
            unattributed_ns,
            reasons_ns: each(&before.unattributed_ns, &after.unattributed_ns),
            estimated_share: since(|health| health.estimated_ns)
                .and_then(|estimated| ratio(estimated.min(wait_ns), wait_ns)),
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
            cost_per_switch_ns: since(|health| health.cost_ns)
                .zip(since(|health| health.cost_runs))
                .and_then(|(cost, runs)| ratio(cost, runs)),
            detail: after.detail,
        }
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
