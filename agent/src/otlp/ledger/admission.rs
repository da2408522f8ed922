//! Who gets which series. What was admitted stays, so that no series ever falls.

use std::collections::BTreeMap;

use super::{Amount, Attributes, Points};
use crate::{
    model::{Row, Usage, disk::DiskUse},
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
        let lost = cpu_ns(usage);
        let wanted = usage.run_ns.saturating_add(lost);
        let share = lost as f64 / wanted.max(1) as f64;
        // A share of next to nothing is noise.
        at_least(lost, AFFECTED_RATE) || share >= AFFECTED_SHARE && at_least(wanted, AFFECTED_RATE)
    });
    cpu || at_least(disk_ns(row), AFFECTED_RATE)
}

/// What an entity lost in an interval, nanoseconds.
pub(super) fn lost_ns(row: &Row) -> u64 {
    let cpu = row.usage.as_ref().map_or(0, cpu_ns);
    cpu.saturating_add(disk_ns(row))
}

fn cpu_ns(usage: &Usage) -> u64 {
    let stolen = usage.steal_ns.unwrap_or(0);
    usage.wait.contention().saturating_add(stolen)
}

fn disk_ns(row: &Row) -> u64 {
    let waits = |part: &DiskUse| Some(part.usage.as_ref()?.wait.total());
    let all = row.disk.iter().flatten().filter_map(waits);
    all.fold(0, u64::saturating_add)
}

/// What is told of the culprits of a victim on one resource.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Culprits that have a series of their own.
    pub(super) own: usize,
    /// There is one of all others.
    pub(super) has_other: bool,
}

/// How many series more there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// Culprits with one of their own, for each victim and resource.
    pub(super) culprits: usize,
    /// Of all resources of the victim.
    pub(super) new: usize,
}

/// Points to be added, and what found no place.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    pub(super) points: Points,
    /// Victims on a resource of which nothing is told: a part of it would not add up to the wait.
    pub(super) refused: u64,
    /// Culprits that took enough for a series of their own, and are told as [`OTHER`].
    pub(super) culprits_refused: u64,
}

/// Leaves those culprits a point of their own that have one already, or that took enough and find
/// a place; the rest is [`OTHER`] together, which has a place wherever anybody has.
pub(super) fn admit(
    points: Points,
    is_known: impl Fn(&Attributes) -> bool,
    told: impl Fn(&Attributes) -> Told,
    places: Places,
    seconds: f64,
) -> Admitted {
    let mut scopes: BTreeMap<Attributes, Vec<(Attributes, u64)>> = BTreeMap::new();
    for (attributes, amount) in points {
        let ns = amount.ns().unwrap_or(0);
        scopes
            .entry(scope(&attributes))
            .or_default()
            .push((attributes, ns));
    }
    let mut left = places.new;
    let mut admitted = Admitted::default();
    for (scope, mut culprits) in scopes {
        let Told { own, has_other } = told(&scope);
        if own == 0 && !has_other {
            if left == 0 {
                admitted.refused += 1;
                continue;
            }
            left -= 1;
        } else if !has_other {
            left = left.saturating_sub(1);
        }
        culprits.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        let whole: u64 = culprits.iter().map(|(_, ns)| ns).sum();
        let mut free = places.culprits.saturating_sub(own).min(left);
        let mut sums: BTreeMap<Attributes, u64> = BTreeMap::new();
        for (attributes, ns) in culprits {
            let enough = ns as f64 >= CULPRIT_SHARE * whole as f64
                && ns as f64 / 1e9 >= CULPRIT_RATE * seconds;
            let known = is_known(&attributes) || sums.contains_key(&attributes);
            let is_own = known || enough && free > 0;
            if is_own && !known {
                free -= 1;
                left -= 1;
            }
            admitted.culprits_refused += u64::from(enough && !is_own);
            let attributes = if is_own { attributes } else { other(&scope) };
            let sum = sums.entry(attributes).or_default();
            *sum = sum.saturating_add(ns);
        }
        let points = sums.into_iter();
        admitted
            .points
            .extend(points.map(|(attributes, ns)| (attributes, Amount::Ns(ns))));
    }
    admitted
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
