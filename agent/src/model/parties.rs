//! Differences between two samples, by party: the parts that rows are made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use crate::{
    model::{blame, usage::Usage},
    sample::{Account, Party, Sample, WaitInProgress},
};

/// Time that a victim waited while a culprit ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartyBlame {
    pub(super) victim: Party,
    /// [`Party::Other`] holds the unnamed rest as well.
    pub(super) culprit: Party,
    pub(super) ns: u64,
}

/// What all parties did in one interval.
#[derive(Clone, Debug, Default)]
pub(super) struct Parties {
    /// `None`: a counter went backwards.
    pub(super) usage: BTreeMap<Party, Option<Usage>>,
    /// Adds up to neighbor and kernel of each victim.
    pub(super) blame: Vec<PartyBlame>,
    /// Waits in progress at the end.
    pub(super) waiting: Option<Vec<WaitInProgress>>,
}

impl Parties {
    pub(super) fn between(before: &Sample, after: &Sample) -> Parties {
        let mut usage = usage(before, after);
        let blame = blame::balanced(&before.blame, &after.blame, &usage);
        let waiting = after.waiting.iter().flatten().map(|wait| wait.party);
        let waiting: BTreeSet<Party> = waiting.collect();
        let culprits: BTreeSet<Party> = blame.iter().map(|b| b.culprit).collect();
        usage.retain(|party, usage| {
            culprits.contains(party)
                || waiting.contains(party)
                || exists(*party, after)
                || is_active(usage.as_ref())
        });
        // Without an account: the unnamed rest, or a party that came between two reads of maps.
        for party in waiting.into_iter().chain(culprits) {
            usage
                .entry(party)
                .or_insert_with(|| Some(Usage::none(after.abilities)));
        }
        Parties {
            usage,
            blame,
            waiting: after.waiting.clone(),
        }
    }

    /// Parties whose interval cannot be used.
    pub(super) fn unusable(&self) -> impl Iterator<Item = Party> {
        self.usage
            .iter()
            .filter(|(_, usage)| usage.is_none())
            .map(|(party, _)| *party)
    }

    /// Parties with what they did.
    pub(super) fn known(&self) -> impl Iterator<Item = (Party, &Usage)> {
        self.usage
            .iter()
            .filter_map(|(party, usage)| Some((*party, usage.as_ref()?)))
    }
}

/// A party without a first reading is new: it counts from 0. One without a second reading was
/// forgotten in between, and all that it ever did is part of [`Party::Other`] since: there it
/// counts, beyond what it had done before.
fn usage(before: &Sample, after: &Sample) -> BTreeMap<Party, Option<Usage>> {
    let new = Account::default();
    let mut forgotten = Vec::new();
    let mut earlier = before.accounts.iter().peekable();
    let mut usage = Vec::with_capacity(after.accounts.len());
    // Both are in one order, so one walk through them is enough.
    for (party, account) in &after.accounts {
        forgotten.extend(iter::from_fn(|| {
            earlier.next_if(|(other, _)| *other < party)
        }));
        let first = earlier.next_if(|(other, _)| *other == party);
        let first = first.map_or(&new, |(_, first)| first);
        usage.push((*party, Usage::between(first, account, after.abilities)));
    }
    forgotten.extend(earlier);
    let mut usage: BTreeMap<_, _> = usage.into_iter().collect();
    if !forgotten.is_empty() {
        let mut first = before.accounts.get(&Party::Other).cloned();
        let first = first.get_or_insert_default();
        for (party, account) in forgotten {
            if *party != Party::Other {
                first.add(account);
                usage.insert(*party, Some(Usage::none(after.abilities)));
            }
        }
        let last = after.accounts.get(&Party::Other).unwrap_or(&new);
        let other = Usage::between(first, last, after.abilities);
        usage.insert(Party::Other, other);
    }
    usage
}

fn exists(party: Party, after: &Sample) -> bool {
    match party {
        Party::Cgroup(id) => after.cgroups.contains_key(&id),
        Party::Kernel(_) | Party::Other => false,
    }
}

fn is_active(usage: Option<&Usage>) -> bool {
    usage.is_none_or(Usage::is_active)
}
