//! Interference: who lost CPU time to neighbours, and to which.

use agent_ebpf::cause::Cause;

use crate::{
    model::{Blame, Key, Kind, Model, Row, Usage, histogram::bucket_over},
    signal::{
        Thresholds,
        contract::{is_overcommitted, over_contract},
        judged, lost_share,
    },
};

/// An entity that lost time to its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Hurt {
    /// The entity.
    pub row: usize,
    /// Waited while neighbours ran, nanoseconds.
    pub lost_ns: u64,
    /// Lost, of what would have run without the loss, 0 to 1.
    pub lost_share: f64,
    /// One wait reached the threshold of starvation.
    pub starved: bool,
    /// CPUs that the entity may use were idle for longer than it lost. Pinning and bad placement
    /// look like that; so does idle time at another moment.
    pub idle_elsewhere: bool,
    /// What kind of interference; `None` where contracts are unknown.
    pub class: Option<Class>,
    /// Who ran.
    pub culprits: Culprits,
}

impl Hurt {
    /// Told for information: the victim itself used more than its contract.
    pub fn is_information(&self) -> bool {
        let informs = matches!(self.class, Some(Class::Competition | Class::OverRequest));
        informs && !self.starved
    }
}

/// Interference by the contracts of victim and culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The victim kept to its contract, the culprit did not.
    NoisyNeighbor,
    /// Both kept to contracts that together exceed the capacity.
    Overcommit,
    /// Both kept to contracts that fit: queueing alone.
    SchedulingLatency,
    /// Neither kept to its contract.
    Competition,
    /// The victim used more than its contract, the culprit did not.
    OverRequest,
}

impl Class {
    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::NoisyNeighbor => "noisy_neighbor",
            Class::Overcommit => "overcommit",
            Class::SchedulingLatency => "scheduling_latency",
            Class::Competition => "competition",
            Class::OverRequest => "over_request",
        }
    }
}

/// Who ran while an entity waited.
#[derive(Clone, Debug, PartialEq)]
pub enum Culprits {
    /// The largest first.
    Named(Vec<Culprit>),
    /// So many, none large enough to name; 0 when the kernel programs could name none.
    Crowd(usize),
}

impl Culprits {
    /// Those with a name.
    pub fn named(&self) -> &[Culprit] {
        match self {
            Culprits::Named(named) => named,
            Culprits::Crowd(_) => &[],
        }
    }
}

/// One of those who ran.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Culprit {
    /// The entity.
    pub row: usize,
    /// What the victim lost to it, nanoseconds.
    pub ns: u64,
    /// … as a part of the victim's neighbour wait, 0 to 1.
    pub share: f64,
    /// Its run time as a ratio of its entitlement.
    pub over: Option<f64>,
}

pub(super) fn all(model: &Model, thresholds: &Thresholds) -> Vec<Hurt> {
    let rows = model.entities.rows.iter().enumerate();
    let mut hurt: Vec<Hurt> = rows
        .filter_map(|(index, row)| hurt(model, thresholds, index, row))
        .collect();
    hurt.sort_by_key(|hurt| {
        let lost = std::cmp::Reverse(hurt.lost_ns);
        (hurt.is_information(), !hurt.starved, lost)
    });
    hurt
}

fn hurt(model: &Model, thresholds: &Thresholds, index: usize, row: &Row) -> Option<Hurt> {
    let usage = judged(row)?;
    let lost_ns = usage.wait.known(Cause::Neighbor);
    let starved = is_starved(thresholds, row, usage);
    if !starved && !is_hurt(model, thresholds, usage, lost_ns) {
        return None;
    }
    Some(Hurt {
        row: index,
        lost_ns,
        lost_share: lost_share(lost_ns, usage.run_ns),
        starved,
        idle_elsewhere: idle_ns(model, row) > lost_ns.max(waiting_ns(row)),
        class: class(model, thresholds, index, row),
        culprits: culprits(model, thresholds, index, lost_ns),
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

fn neighbors(model: &Model, victim: usize) -> impl Iterator<Item = &Blame> {
    let blame = model.entities.blame_of(victim);
    blame.filter(|b| model.entities.rows[b.culprit].kind != Kind::Kernel)
}

fn culprits(model: &Model, thresholds: &Thresholds, victim: usize, lost_ns: u64) -> Culprits {
    let with_name: Vec<&Blame> = neighbors(model, victim)
        .filter(|b| model.entities.rows[b.culprit].key != Key::Other)
        .collect();
    let named: Vec<Culprit> = with_name
        .iter()
        .map(|b| Culprit {
            row: b.culprit,
            ns: b.ns,
            share: b.ns as f64 / lost_ns.max(b.ns).max(1) as f64,
            over: over_contract(&model.entities.rows[b.culprit]),
        })
        .filter(|culprit| {
            let cpus = model.cpus(culprit.ns).unwrap_or(0.0);
            culprit.share >= thresholds.culprit_share && cpus >= thresholds.culprit_cpus
        })
        .take(thresholds.culprits)
        .collect();
    if named.is_empty() {
        Culprits::Crowd(with_name.len())
    } else {
        Culprits::Named(named)
    }
}

fn class(model: &Model, thresholds: &Thresholds, index: usize, row: &Row) -> Option<Class> {
    let victim_over = over_contract(row)? > thresholds.over_contract;
    Some(
        match (victim_over, culprit_over(model, thresholds, index)?) {
            (false, true) => Class::NoisyNeighbor,
            (false, false) if is_overcommitted(model)? => Class::Overcommit,
            (false, false) => Class::SchedulingLatency,
            (true, true) => Class::Competition,
            (true, false) => Class::OverRequest,
        },
    )
}

/// Whether most of the neighbour wait was caused by neighbours over their contract; `None` when
/// the contracts of too many are unknown to say.
fn culprit_over(model: &Model, thresholds: &Thresholds, victim: usize) -> Option<bool> {
    let (mut over, mut within, mut unknown) = (0u64, 0u64, 0u64);
    for blame in neighbors(model, victim) {
        let sum = match over_contract(&model.entities.rows[blame.culprit]) {
            Some(ratio) if ratio > thresholds.over_contract => &mut over,
            Some(_) => &mut within,
            None => &mut unknown,
        };
        *sum = sum.saturating_add(blame.ns);
    }
    let known = over.max(within);
    (known > 0 && known >= unknown.saturating_add(over.min(within))).then_some(over >= within)
}
