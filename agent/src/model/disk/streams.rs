//! Differences between two samples, by stream: the parts that rows are made of.
//!
//! How long requests took is counted of all of them; where that time went is known of those that
//! were observed in detail. So these give proportions, which are applied to the exact time.

use std::collections::BTreeMap;

use crate::{
    model::disk::{
        apportion::apportion,
        usage::{DiskCause, DiskUsage},
    },
    sample::disk::{Disk, DiskAccount, DiskOwner, DiskWait, Stream},
};

/// Time that the requests of one stream waited behind those of a culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) struct StreamBlame {
    pub(in crate::model) stream: Stream,
    /// [`DiskOwner::Other`] holds the unnamed rest as well.
    pub(in crate::model) culprit: DiskOwner,
    pub(in crate::model) ns: u64,
}

/// What all streams did in one interval.
#[derive(Clone, Debug, Default)]
pub(in crate::model) struct Streams {
    /// Those that did something; `None`: a counter went backwards.
    pub(in crate::model) usage: BTreeMap<Stream, Option<DiskUsage>>,
    /// Adds up to [`DiskCause::Neighbor`] of each stream.
    pub(in crate::model) blame: Vec<StreamBlame>,
}

impl Streams {
    pub(in crate::model) fn between(before: &Disk, after: &Disk) -> Streams {
        let first = with_forgotten(&before.accounts, &after.accounts, DiskAccount::add);
        let first_waits = with_forgotten(&before.waits, &after.waits, add_wait);
        let (no_account, no_wait) = (DiskAccount::default(), DiskWait::default());
        let mut streams = Streams::default();
        for (stream, account) in &after.accounts {
            let begin = first.get(stream).unwrap_or(&no_account);
            let mut usage = DiskUsage::between(begin, account);
            if usage.as_ref().is_some_and(|usage| !usage.is_active()) {
                continue;
            }
            if let Some(usage) = &mut usage {
                let begin = first_waits.get(stream).unwrap_or(&no_wait);
                let observed = after.waits.get(stream);
                let observed = observed.and_then(|wait| Observed::between(begin, wait));
                let observed = observed.unwrap_or_default();
                streams.attribute(*stream, usage, &observed);
            }
            streams.usage.insert(*stream, usage);
        }
        streams
    }

    /// Everybody who did something or made others wait.
    pub(in crate::model) fn owners(&self) -> impl Iterator<Item = DiskOwner> {
        let active = self.usage.keys().map(|stream| stream.owner);
        active.chain(self.blame.iter().map(|blame| blame.culprit))
    }

    /// Streams whose interval cannot be used.
    pub(in crate::model) fn unusable(&self) -> impl Iterator<Item = Stream> {
        let unusable = self.usage.iter().filter(|(_, usage)| usage.is_none());
        unusable.map(|(stream, _)| *stream)
    }

    /// Gives the time of a stream its causes.
    fn attribute(&mut self, stream: Stream, usage: &mut DiskUsage, observed: &Observed) {
        let weights = observed.neighbors.iter().map(|(_, ns)| *ns);
        let weights: Vec<u64> = weights.chain(observed.own.map(|(_, ns)| ns)).collect();
        let parts = apportion(usage.wait.total(), &weights);
        let mut place = |cause, ns| usage.wait.shift(DiskCause::Unattributed, cause, ns);
        let (neighbors, own) = parts.split_at(observed.neighbors.len());
        for ((culprit, _), ns) in observed.neighbors.iter().zip(neighbors) {
            place(DiskCause::Neighbor, *ns);
            if *ns > 0 {
                self.blame.push(StreamBlame {
                    stream,
                    culprit: *culprit,
                    ns: *ns,
                });
            }
        }
        for ((cause, _), ns) in observed.own.into_iter().zip(own) {
            if cause != DiskCause::Unattributed {
                place(cause, *ns);
            }
        }
    }
}

/// First readings. A stream without a second one was forgotten in between, and all that it ever
/// did is part of [`DiskOwner::Other`] since, if it is anywhere.
fn with_forgotten<Reading: Clone + Default>(
    before: &BTreeMap<Stream, Reading>,
    after: &BTreeMap<Stream, Reading>,
    add: impl Fn(&mut Reading, &Reading),
) -> BTreeMap<Stream, Reading> {
    let mut first = before.clone();
    let forgotten = before
        .iter()
        .filter(|(stream, _)| stream.owner != DiskOwner::Other && !after.contains_key(stream));
    for (stream, reading) in forgotten {
        let owner = DiskOwner::Other;
        add(
            first.entry(Stream { owner, ..*stream }).or_default(),
            reading,
        );
    }
    first
}

fn add_wait(sum: &mut DiskWait, more: &DiskWait) {
    let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    for (culprit, ns) in &more.neighbor_ns {
        add(sum.neighbor_ns.entry(*culprit).or_default(), *ns);
    }
    add(&mut sum.self_ns, more.self_ns);
    add(&mut sum.device_ns, more.device_ns);
    add(&mut sum.held_ns, more.held_ns);
    add(&mut sum.unattributed_ns, more.unattributed_ns);
}

/// Time of the requests that were observed in detail.
struct Observed {
    neighbors: Vec<(DiskOwner, u64)>,
    own: [(DiskCause, u64); 4],
}

/// Nothing observed.
impl Default for Observed {
    fn default() -> Observed {
        Observed::of([0; 4])
    }
}

impl Observed {
    /// What was observed between two readings; `None` when it went backwards.
    fn between(before: &DiskWait, after: &DiskWait) -> Option<Observed> {
        let since = |field: fn(&DiskWait) -> u64| field(after).checked_sub(field(before));
        let mut observed = Observed::of([
            since(|wait| wait.self_ns)?,
            since(|wait| wait.device_ns)?,
            since(|wait| wait.held_ns)?,
            since(|wait| wait.unattributed_ns)?,
        ]);
        let all = |wait: &DiskWait| {
            wait.neighbor_ns
                .values()
                .copied()
                .fold(0, u64::saturating_add)
        };
        let all = all(after).checked_sub(all(before))?;
        observed.neighbors = fitted(named(before, after), all);
        Some(observed)
    }

    fn of([own, device, held, unattributed]: [u64; 4]) -> Observed {
        Observed {
            neighbors: Vec::new(),
            own: [
                (DiskCause::SelfInflicted, own),
                (DiskCause::Device, device),
                (DiskCause::Held, held),
                (DiskCause::Unattributed, unattributed),
            ],
        }
    }
}

/// Culprits with a name. One that went backwards was forgotten in between: it has none.
fn named(before: &DiskWait, after: &DiskWait) -> Vec<(DiskOwner, u64)> {
    let named = after.neighbor_ns.iter().filter_map(|(culprit, ns)| {
        let first = before.neighbor_ns.get(culprit).copied().unwrap_or(0);
        Some((*culprit, ns.checked_sub(first)?))
    });
    named
        .filter(|(culprit, ns)| *ns > 0 && *culprit != DiskOwner::Other)
        .collect()
}

/// Makes amounts add up to `all`: scaled down in proportion, or with a rest that is nobody's.
fn fitted(mut amounts: Vec<(DiskOwner, u64)>, all: u64) -> Vec<(DiskOwner, u64)> {
    let sum = amounts
        .iter()
        .fold(0u64, |sum, (_, ns)| sum.saturating_add(*ns));
    if let Some(rest) = all.checked_sub(sum) {
        amounts.push((DiskOwner::Other, rest));
        return amounts;
    }
    let weights: Vec<u64> = amounts.iter().map(|(_, ns)| *ns).collect();
    for (amount, fit) in amounts.iter_mut().zip(apportion(all, &weights)) {
        amount.1 = fit;
    }
    amounts
}
