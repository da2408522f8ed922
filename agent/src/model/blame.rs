//! Blame of an interval, made to add up.
//!
//! Pairs and causes are read one after the other while the kernel writes both, so a pair can be a
//! moment ahead of its cause. The cause is right; pairs are fitted into it.

use std::collections::BTreeMap;

use agent_ebpf::cause::Cause;

use crate::{
    model::{parties::PartyBlame, usage::Usage},
    sample::{Blame, Party},
};

/// Blame by victim and culprit. For each victim with a known interval it adds up to its waits for
/// neighbours and for the kernel; what names nobody is [`Party::Other`]'s.
pub(super) fn balanced(
    before: &Blame,
    after: &Blame,
    usage: &BTreeMap<Party, Option<Usage>>,
) -> Vec<PartyBlame> {
    let grown = grown(before, after);
    let of_victim = |pairs: &&[PartyBlame]| pairs.first().map(|first| first.victim);
    let mut named = grown.chunk_by(|a, b| a.victim == b.victim).peekable();
    let mut all = Vec::with_capacity(grown.len());
    for (victim, usage) in usage {
        while named
            .next_if(|pairs| of_victim(pairs) < Some(*victim))
            .is_some()
        {}
        let pairs = named.next_if(|pairs| of_victim(pairs) == Some(*victim));
        if let Some(usage) = usage {
            push_balanced(&mut all, *victim, usage, pairs.unwrap_or_default());
        }
    }
    all
}

/// Pairs that grew, by victim. Both are in one order, so one walk through them is enough.
fn grown(before: &Blame, after: &Blame) -> Vec<PartyBlame> {
    let mut earlier = before.iter().peekable();
    let mut grown = Vec::new();
    for (pair, ns) in after.iter() {
        while earlier.next_if(|(other, _)| *other < pair).is_some() {}
        let first = earlier.next_if(|(other, _)| *other == pair);
        let first = first.map_or(0, |(_, ns)| ns);
        // A pair that went backwards names nobody in this interval.
        let ns = ns.saturating_sub(first);
        let (victim, culprit) = pair;
        if ns > 0 && victim != culprit && culprit != Party::Other {
            grown.push(PartyBlame {
                victim,
                culprit,
                ns,
            });
        }
    }
    grown
}

fn push_balanced(all: &mut Vec<PartyBlame>, victim: Party, usage: &Usage, named: &[PartyBlame]) {
    let (kernel, neighbors): (Vec<_>, Vec<_>) = named
        .iter()
        .map(|pair| (pair.culprit, pair.ns))
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
