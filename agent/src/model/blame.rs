//! Blame of an interval, made to add up.
//!
//! Pairs and causes are read one after the other while the kernel writes both, so a pair can be a
//! moment ahead of its cause. The cause is right; pairs are fitted into it.

use std::collections::BTreeMap;

use agent_ebpf::cause::Cause;

use crate::{
    model::{parties::PartyBlame, usage::Usage},
    sample::Party,
};

type Pairs = BTreeMap<(Party, Party), u64>;

/// Blame by victim and culprit. For each victim with a known interval it adds up to its waits for
/// neighbours and for the kernel; what names nobody is [`Party::Other`]'s.
pub(super) fn balanced(
    before: &Pairs,
    after: &Pairs,
    usage: &BTreeMap<Party, Option<Usage>>,
) -> Vec<PartyBlame> {
    let mut named: BTreeMap<Party, Vec<(Party, u64)>> = BTreeMap::new();
    for (&(victim, culprit), ns) in after {
        let first = before.get(&(victim, culprit)).copied().unwrap_or(0);
        // A pair that went backwards names nobody in this interval.
        let ns = ns.checked_sub(first).unwrap_or(0);
        if ns > 0 && victim != culprit && culprit != Party::Other {
            named.entry(victim).or_default().push((culprit, ns));
        }
    }
    let mut all = Vec::new();
    for (victim, usage) in usage {
        if let Some(usage) = usage {
            let named = named.remove(victim).unwrap_or_default();
            push_balanced(&mut all, *victim, usage, named);
        }
    }
    all
}

fn push_balanced(
    all: &mut Vec<PartyBlame>,
    victim: Party,
    usage: &Usage,
    named: Vec<(Party, u64)>,
) {
    let (kernel, neighbors): (Vec<_>, Vec<_>) = named
        .into_iter()
        .partition(|(culprit, _)| matches!(culprit, Party::Kernel(_)));
    let mut rest = 0;
    for (cause, culprits) in [(Cause::Neighbor, neighbors), (Cause::Kernel, kernel)] {
        let limit = usage.wait.known(cause);
        let mut left = limit;
        for (culprit, ns) in fitted(culprits, limit) {
            left -= ns;
            all.push(PartyBlame {
                victim,
                culprit,
                ns,
            });
        }
        rest += left;
    }
    if rest > 0 {
        all.push(PartyBlame {
            victim,
            culprit: Party::Other,
            ns: rest,
        });
    }
}

/// Scales amounts down in proportion when they exceed the limit together.
fn fitted(mut amounts: Vec<(Party, u64)>, limit: u64) -> Vec<(Party, u64)> {
    let total: u128 = amounts.iter().map(|(_, ns)| u128::from(*ns)).sum();
    if total > u128::from(limit) {
        for (_, ns) in &mut amounts {
            // Not above the old amount, so it fits.
            *ns = (u128::from(*ns) * u128::from(limit) / total) as u64;
        }
    }
    amounts.retain(|(_, ns)| *ns > 0);
    amounts
}
