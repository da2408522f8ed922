//! The agent's account of itself.

use agent_ebpf::{
    budget::Detail,
    layout::{Drop, Reason},
};

use crate::otlp::{
    amount::Amount,
    measure::{Account, CanaryRuns, by, one},
    registry::{ACCOUNT, OUTCOME, Points, REASON, SOURCE},
};

pub(crate) fn seen(account: &Account<'_>, points: &mut Points) {
    count(points, account.model.accounting.seen);
}

pub(crate) fn dropped(account: &Account<'_>, points: &mut Points) {
    let dropped = account.model.accounting.dropped;
    for (reason, count) in Drop::ALL.iter().zip(dropped) {
        count_by(points, REASON, reason.name(), count);
    }
}

pub(crate) fn unattributed(account: &Account<'_>, points: &mut Points) {
    let reasons = account.model.accounting.reasons_ns;
    for (reason, ns) in Reason::ALL.iter().zip(reasons) {
        if let Some(ns) = ns {
            by(points, REASON, reason.name(), Amount::Ns(ns));
        }
    }
}

pub(crate) fn lost(account: &Account<'_>, points: &mut Points) {
    let accounting = &account.model.accounting;
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

pub(crate) fn unnamed(account: &Account<'_>, points: &mut Points) {
    if let Some(ns) = account.model.accounting.pairs_full_ns {
        one(points, Amount::Ns(ns));
    }
}

pub(crate) fn coverage(account: &Account<'_>, points: &mut Points) {
    level(points, account.model.accounting.coverage());
}

pub(crate) fn stepped_down(account: &Account<'_>, points: &mut Points) {
    let is_full = account.model.accounting.detail == Detail::Full;
    level(points, Some(if is_full { 0.0 } else { 1.0 }));
}

pub(crate) fn cost(account: &Account<'_>, points: &mut Points) {
    let ns = account.model.accounting.cost_per_switch_ns();
    level(points, ns.map(|ns| ns / 1e9));
}

pub(crate) fn disk_seen(account: &Account<'_>, points: &mut Points) {
    let disks = account.model.disks.as_ref();
    count(points, disks.and_then(|disks| disks.accounting.seen));
}

pub(crate) fn skipped(account: &Account<'_>, points: &mut Points) {
    count(points, Some(account.own.skipped));
}

pub(crate) fn entities(account: &Account<'_>, points: &mut Points) {
    level(points, Some(account.own.entities as f64));
}

pub(crate) fn series(account: &Account<'_>, points: &mut Points) {
    level(points, Some(account.own.series as f64));
}

pub(crate) fn refused(account: &Account<'_>, points: &mut Points) {
    count(points, Some(account.own.refused));
}

pub(crate) fn culprits_refused(account: &Account<'_>, points: &mut Points) {
    count(points, Some(account.own.culprits_refused));
}

pub(crate) fn nameless(account: &Account<'_>, points: &mut Points) {
    let rows = account.model.entities.rows.iter();
    let lacking = rows.filter(|row| row.lacks_name()).count();
    level(points, Some(lacking as f64));
}

pub(crate) fn name_failures(account: &Account<'_>, points: &mut Points) {
    for (source, failures) in &account.own.failed_readings {
        count_by(points, SOURCE, source, Some(*failures));
    }
}

pub(crate) fn canary_runs(account: &Account<'_>, points: &mut Points) {
    count(points, account.own.canary.map(|canary| canary.runs));
}

pub(crate) fn canary_time(account: &Account<'_>, points: &mut Points) {
    if let Some(CanaryRuns { sum, .. }) = account.own.canary {
        for (account, ns) in [("expected", sum.expected_ns), ("measured", sum.measured_ns)] {
            by(points, ACCOUNT, account, Amount::Ns(ns));
        }
    }
}

pub(crate) fn requests(account: &Account<'_>, points: &mut Points) {
    let exported = &account.own.exported;
    for (outcome, requests) in [
        ("accepted", exported.requests_accepted),
        ("refused", exported.requests_refused),
        ("failed", exported.requests_failed),
    ] {
        count_by(points, OUTCOME, outcome, Some(requests));
    }
}

pub(crate) fn points(account: &Account<'_>, points: &mut Points) {
    let exported = &account.own.exported;
    for (outcome, number) in [
        ("accepted", exported.points_accepted),
        ("rejected", exported.points_rejected),
        ("refused", exported.points_refused),
        ("superseded", exported.points_superseded),
    ] {
        count_by(points, OUTCOME, outcome, Some(number));
    }
}

pub(crate) fn ambiguous(account: &Account<'_>, points: &mut Points) {
    let own = account.own;
    count(
        points,
        own.has_deltas.then_some(own.exported.points_ambiguous),
    );
}

pub(crate) fn events(account: &Account<'_>, points: &mut Points) {
    let exported = &account.own.exported;
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
