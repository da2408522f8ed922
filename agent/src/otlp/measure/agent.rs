//! The agent's account of itself.

use agent_ebpf::{
    budget::Detail,
    layout::{Drop, Reason},
};

use crate::otlp::{
    amount::Amount,
    measure::{CanaryRuns, Interval, by, one},
    registry::{ACCOUNT, OUTCOME, Points, REASON, SOURCE},
};

pub(crate) fn seen(interval: &Interval<'_>, points: &mut Points) {
    count(points, interval.model.accounting.seen);
}

pub(crate) fn dropped(interval: &Interval<'_>, points: &mut Points) {
    let dropped = interval.model.accounting.dropped;
    for (reason, count) in Drop::ALL.iter().zip(dropped) {
        count_by(points, REASON, reason.name(), count);
    }
}

pub(crate) fn unattributed(interval: &Interval<'_>, points: &mut Points) {
    let reasons = interval.model.accounting.reasons_ns;
    for (reason, ns) in Reason::ALL.iter().zip(reasons) {
        if let Some(ns) = ns {
            by(points, REASON, reason.name(), Amount::Ns(ns));
        }
    }
}

pub(crate) fn lost(interval: &Interval<'_>, points: &mut Points) {
    let accounting = &interval.model.accounting;
    for (what, count) in [
        ("slots", accounting.slots_exhausted),
        ("baselines", accounting.baselines_lost),
        ("moves", accounting.moved_lost),
        ("throttle_tracks", accounting.tracks_lost),
        ("names", accounting.names_lost),
        ("recursion", accounting.recursion_misses),
    ] {
        count_by(points, REASON, what, count);
    }
}

pub(crate) fn unnamed(interval: &Interval<'_>, points: &mut Points) {
    if let Some(ns) = interval.model.accounting.pairs_full_ns {
        one(points, Amount::Ns(ns));
    }
}

pub(crate) fn coverage(interval: &Interval<'_>, points: &mut Points) {
    level(points, interval.model.accounting.coverage());
}

pub(crate) fn stepped_down(interval: &Interval<'_>, points: &mut Points) {
    let is_full = interval.model.accounting.detail == Detail::Full;
    level(points, Some(if is_full { 0.0 } else { 1.0 }));
}

pub(crate) fn cost(interval: &Interval<'_>, points: &mut Points) {
    let ns = interval.model.accounting.cost_per_switch_ns();
    level(points, ns.map(|ns| ns / 1e9));
}

pub(crate) fn disk_seen(interval: &Interval<'_>, points: &mut Points) {
    let disks = interval.model.disks.as_ref();
    count(points, disks.and_then(|disks| disks.accounting.seen));
}

pub(crate) fn skipped(interval: &Interval<'_>, points: &mut Points) {
    count(points, Some(interval.own.skipped));
}

pub(crate) fn entities(interval: &Interval<'_>, points: &mut Points) {
    level(points, Some(interval.own.entities as f64));
}

pub(crate) fn series(interval: &Interval<'_>, points: &mut Points) {
    level(points, Some(interval.own.series as f64));
}

pub(crate) fn refused(interval: &Interval<'_>, points: &mut Points) {
    count(points, Some(interval.own.refused));
}

pub(crate) fn culprits_refused(interval: &Interval<'_>, points: &mut Points) {
    count(points, Some(interval.own.culprits_refused));
}

pub(crate) fn nameless(interval: &Interval<'_>, points: &mut Points) {
    let rows = interval.model.entities.rows.iter();
    let lacking = rows.filter(|row| row.lacks_name()).count();
    level(points, Some(lacking as f64));
}

pub(crate) fn name_failures(interval: &Interval<'_>, points: &mut Points) {
    for (source, failures) in &interval.own.failed_readings {
        count_by(points, SOURCE, source, Some(*failures));
    }
}

pub(crate) fn canary_runs(interval: &Interval<'_>, points: &mut Points) {
    count(points, interval.own.canary.map(|canary| canary.runs));
}

pub(crate) fn canary_time(interval: &Interval<'_>, points: &mut Points) {
    if let Some(CanaryRuns { sum, .. }) = interval.own.canary {
        for (account, ns) in [("expected", sum.expected_ns), ("measured", sum.measured_ns)] {
            by(points, ACCOUNT, account, Amount::Ns(ns));
        }
    }
}

pub(crate) fn requests(interval: &Interval<'_>, points: &mut Points) {
    let exported = &interval.own.exported;
    for (outcome, requests) in [
        ("accepted", exported.requests_accepted),
        ("refused", exported.requests_refused),
        ("failed", exported.requests_failed),
    ] {
        count_by(points, OUTCOME, outcome, Some(requests));
    }
}

pub(crate) fn points(interval: &Interval<'_>, points: &mut Points) {
    let exported = &interval.own.exported;
    for (outcome, number) in [
        ("accepted", exported.points_accepted),
        ("rejected", exported.points_rejected),
        ("refused", exported.points_refused),
        ("superseded", exported.points_superseded),
    ] {
        count_by(points, OUTCOME, outcome, Some(number));
    }
}

pub(crate) fn ambiguous(interval: &Interval<'_>, points: &mut Points) {
    let own = interval.own;
    count(
        points,
        own.has_deltas.then_some(own.exported.points_ambiguous),
    );
}

pub(crate) fn events(interval: &Interval<'_>, points: &mut Points) {
    let exported = &interval.own.exported;
    for (outcome, number) in [
        ("accepted", exported.events_accepted),
        ("rejected", exported.events_rejected),
        ("refused", exported.events_refused),
        ("dropped", exported.events_dropped),
    ] {
        count_by(points, OUTCOME, outcome, Some(number));
    }
}

fn count(points: &mut Points, count: Option<u64>) {
    if let Some(count) = count {
        one(points, Amount::Count(count));
    }
}

fn count_by(points: &mut Points, key: &'static str, value: &str, count: Option<u64>) {
    if let Some(count) = count {
        by(points, key, value, Amount::Count(count));
    }
}

fn level(points: &mut Points, level: Option<f64>) {
    if let Some(level) = level.filter(|level| level.is_finite()) {
        one(points, Amount::Level(level));
    }
}
