//! Lost CPU time.

use agent_ebpf::cause::Cause;

use crate::{
    model::{Model, Relation, Resource, Row, Usage, histogram::bucket_over},
    signal::{
        self, Class, Hurt, Loss, Thresholds,
        contract::is_overcommitted,
        hurt::{
            Judged, Over,
            culprits::{culprits, neighbors},
        },
    },
};

pub(super) fn hurt(judged: Judged<'_>, index: usize, row: &Row) -> Option<Hurt> {
    let Judged {
        model, thresholds, ..
    } = judged;
    let usage = signal::judged(row)?;
    let loss = Loss::to_neighbors(row, Resource::Cpu)?;
    let lost_ns = loss.lost_ns;
    let starved = is_starved(thresholds, row, usage);
    if !starved && !is_hurt(model, thresholds, usage, lost_ns) {
        return None;
    }
    Some(Hurt {
        row: index,
        resource: Resource::Cpu,
        lost_ns,
        lost_share: loss.share(),
        starved,
        idle_elsewhere: idle_ns(model, row) > lost_ns.max(waiting_ns(row)),
        class: class(judged, index),
        culprits: culprits(judged, (index, Resource::Cpu), lost_ns),
    })
}

fn is_hurt(model: &Model, thresholds: &Thresholds, usage: &Usage, lost_ns: u64) -> bool {
    let wanted = usage.run_ns.saturating_add(usage.wait.contention()).max(1);
    let over = bucket_over(thresholds.objective_s);
    let delay = usage.delay.as_ref();
    model
        .cpus(lost_ns)
        .is_some_and(|cpus| cpus >= thresholds.hurt_cpus)
        && lost_ns as f64 / wanted as f64 >= thresholds.hurt_share
        && delay.is_some_and(|delay| delay.count_from(over) > 0)
}

/// Waits in progress do not say what they wait for: where a quota held tasks back most of the
/// time, they are taken for that.
fn is_starved(thresholds: &Thresholds, row: &Row, usage: &Usage) -> bool {
    let throttled = usage.wait.get(Cause::Throttled);
    let held_back = throttled.is_none_or(|ns| ns > usage.wait.total() / 2);
    let now = row
        .waiting
        .is_some_and(|now| now.longest.as_secs_f64() >= thresholds.starved_s);
    let over = bucket_over(thresholds.starved_s);
    let before = usage.delay.as_ref().map_or(0, |d| d.count_from(over)) > 0;
    before || (now && !(held_back && row.quota_cpus.is_some()))
}

/// Waits in progress, which are not among the losses yet.
fn waiting_ns(row: &Row) -> u64 {
    let longest = row.waiting.map_or(0, |now| now.longest.as_nanos());
    u64::try_from(longest).unwrap_or(u64::MAX)
}

fn idle_ns(model: &Model, row: &Row) -> u64 {
    let allowed = |cpu: u32| row.cpuset.as_ref().is_none_or(|set| set.contains(&cpu));
    (0u32..)
        .zip(&model.host.cpus)
        .filter(|(cpu, _)| allowed(*cpu))
        .filter_map(|(_, used)| Some(used.as_ref()?.idle_ns))
        .fold(0, u64::saturating_add)
}

fn class(judged: Judged<'_>, victim: usize) -> Option<Class> {
    let Judged {
        model,
        thresholds,
        over,
    } = judged;
    let victim_over = over.get(victim)? > thresholds.over_contract;
    let over = culprits_over(judged, victim)?;
    Some(match (victim_over, over) {
        (false, Some(over)) => over.class(),
        (false, None) if is_overcommitted(model)? => Class::Overcommit,
        (false, None) => Class::SchedulingLatency,
        (true, Some(_)) => Class::Competition,
        (true, None) => Class::OverRequest,
    })
}

/// Those who were over their contract, where they caused most of the neighbour wait; the outer
/// `None` when the contracts of too many are unknown to say.
#[expect(clippy::option_option, reason = "unknown and within differ")]
fn culprits_over(judged: Judged<'_>, victim: usize) -> Option<Option<Over>> {
    let Judged {
        model,
        thresholds,
        over: ratios,
    } = judged;
    let rows = &model.entities.rows;
    let (mut over, mut within, mut unknown) = (Over::default(), 0u64, 0u64);
    for blame in neighbors(model, victim, Resource::Cpu) {
        let culprit = &rows[blame.culprit];
        match ratios.get(blame.culprit) {
            Some(ratio) if ratio > thresholds.over_contract => {
                over.add(Relation::between(&rows[victim], culprit), blame.ns);
            }
            Some(_) => within = within.saturating_add(blame.ns),
            None => unknown = unknown.saturating_add(blame.ns),
        }
    }
    let total = over.total();
    let known = total.max(within);
    let can_tell = known > 0 && known >= unknown.saturating_add(total.min(within));
    can_tell.then(|| (total >= within).then_some(over))
}
