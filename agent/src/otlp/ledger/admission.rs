//! Who gets which series. What was admitted stays, so that no series ever falls.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{Amount, Attributes, Points};
use crate::{
    model::{Row, disk::DiskUse},
    otlp::registry::{CULPRIT_KIND, OTHER, is_of_culprit},
};

/// Lost at least so much of what one wanted to run.
const AFFECTED_SHARE: f64 = 0.01;
/// Or so many seconds in each.
const AFFECTED_RATE: f64 = 0.010;
/// A culprit took at least so much of all interference in an interval,
const CULPRIT_SHARE: f64 = 0.01;
/// and so many seconds in each.
const CULPRIT_RATE: f64 = 0.010;

/// Whether an entity lost a noticeable time in an interval.
pub(super) fn is_affected(row: &Row, seconds: f64) -> bool {
    let at_least = |ns: u64, rate: f64| ns as f64 / 1e9 >= rate * seconds;
    let cpu = row.usage.as_ref().is_some_and(|usage| {
        let lost = usage
            .wait
            .contention()
            .saturating_add(usage.steal_ns.unwrap_or(0));
        let wanted = usage.run_ns.saturating_add(lost);
        let share = lost as f64 / wanted.max(1) as f64;
        // A share of next to nothing is noise.
        at_least(lost, AFFECTED_RATE) || share >= AFFECTED_SHARE && at_least(wanted, AFFECTED_RATE)
    });
    let waits = |part: &DiskUse| Some(part.usage.as_ref()?.wait.total());
    let disk: u64 = row.disk.iter().flatten().filter_map(waits).sum();
    cpu || at_least(disk, AFFECTED_RATE)
}

/// Leaves those culprits a point of their own that have one already, or that took enough and find
/// a place; the rest is [`OTHER`] together.
pub(super) fn admit(
    points: Points,
    is_known: impl Fn(&Attributes) -> bool,
    taken: impl Fn(&Attributes) -> usize,
    most: usize,
    seconds: f64,
) -> Points {
    let mut scopes: BTreeMap<Attributes, Vec<(Attributes, u64)>> = BTreeMap::new();
    for (attributes, amount) in points {
        let ns = amount.ns().unwrap_or(0);
        scopes
            .entry(scope(&attributes))
            .or_default()
            .push((attributes, ns));
    }
    let mut admitted: BTreeMap<Attributes, u64> = BTreeMap::new();
    for (scope, mut culprits) in scopes {
        culprits.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        let whole: u64 = culprits.iter().map(|(_, ns)| ns).sum();
        let mut places = most.saturating_sub(taken(&scope));
        for (attributes, ns) in culprits {
            let enough = ns as f64 >= CULPRIT_SHARE * whole as f64
                && ns as f64 / 1e9 >= CULPRIT_RATE * seconds;
            let known = is_known(&attributes) || admitted.contains_key(&attributes);
            let own = known || enough && places > 0;
            places -= usize::from(own && !known);
            let attributes = if own { attributes } else { other(&scope) };
            match admitted.entry(attributes) {
                Entry::Occupied(mut sum) => *sum.get_mut() = sum.get().saturating_add(ns),
                Entry::Vacant(place) => _ = place.insert(ns),
            }
        }
    }
    let points = admitted.into_iter();
    points
        .map(|(attributes, ns)| (attributes, Amount::Ns(ns)))
        .collect()
}

/// All but the culprit.
fn scope(attributes: &Attributes) -> Attributes {
    let rest = attributes.iter();
    let rest = rest.filter(|(key, _)| !is_of_culprit(key));
    rest.cloned().collect()
}

fn other(scope: &Attributes) -> Attributes {
    let mut attributes = scope.clone();
    attributes.push((CULPRIT_KIND, OTHER.to_owned()));
    attributes
}
