//! What there is to tell of each entity. Cumulative: totals that only grow, from a start that stays.
//! As deltas: what came since a receiver took the last ones, however many intervals ago that was.
//!
//! A series begins with the interval in which there is something to count, a cumulative one at 0.
//! Once its entity is gone what is left is told; of cumulative ones and gauges then that there is no
//! value any more, and then nothing. Each of these steps waits until a receiver has taken the one
//! before. Pure.

mod admission;
mod entity;
mod room;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

pub use entity::{Entity, Life, Series};
use room::{Class, Room, are_parts};

use crate::{
    config::Form,
    model::{self, Key, Model, Row},
    names::Names,
    otlp::{
        amount::{Amount, Attributes, nanoseconds},
        culprit::Naming,
        measure::{Interval, Of},
        registry::{METRICS, Points, Source, Tier},
        resource::{Host, Resource},
    },
    signal::episodes::{EpisodeUse, Observed, Victim},
};

/// More than this between the wall clock and the monotonic one: the wall clock was set.
const CLOCK_WAS_SET: Duration = Duration::from_secs(1);
/// Ended entities that nobody has taken the last totals of; the oldest go first.
const MOST_ENDED: usize = 4_096;

/// Whose series they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// Those of all of the host.
    Host,
    /// An entity's.
    Entity(Key),
    /// An entity's under the Resource that it had until a time, nanoseconds of Unix time.
    Former(Key, u64),
}

/// What is told, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series of all entities together.
    pub series: usize,
    /// Of these, series of those who lost time that others do not have.
    pub details: usize,
    /// Culprits with a series of their own, for each victim and resource.
    pub culprits: usize,
    /// The highest tier for those who lost nothing.
    pub calm: Tier,
    /// The highest tier for those who did.
    pub affected: Tier,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            series: 10_000,
            details: 1_000,
            culprits: 8,
            calm: Tier::All,
            affected: Tier::Affected,
        }
    }
}

impl Limits {
    /// Whether metrics of this tier are told of anybody.
    pub fn tell(&self, tier: Tier) -> bool {
        tier <= self.calm.max(self.affected)
    }
}

/// Totals of all entities.
#[derive(Debug)]
pub struct Ledger {
    host: Host,
    limits: Limits,
    entities: BTreeMap<Whose, Entity>,
    /// The end of the latest interval, nanoseconds of Unix time.
    now: u64,
    refused: u64,
    /// Culprits that were told as `other` for want of a place.
    culprits_refused: u64,
    naming: Naming,
    form: Form,
    /// How many entities there have been.
    born: u64,
    /// For names.
    patience: Duration,
    /// What came to the accounts of episodes since the latest interval, by victim …
    episodes: BTreeMap<Key, Vec<EpisodeUse>>,
    /// … and of the host.
    host_episodes: Vec<EpisodeUse>,
    full: BTreeMap<model::Resource, Duration>,
}

impl Ledger {
    /// Nothing told yet.
    pub fn new(host: Host, limits: Limits) -> Ledger {
        Ledger {
            host,
            limits,
            entities: BTreeMap::new(),
            now: 0,
            refused: 0,
            culprits_refused: 0,
            naming: Naming::default(),
            form: Form::default(),
            born: 0,
            patience: Duration::ZERO,
            episodes: BTreeMap::new(),
            host_episodes: Vec::new(),
            full: BTreeMap::new(),
        }
    }

    /// Names culprits like this.
    #[must_use]
    pub fn naming(self, naming: Naming) -> Ledger {
        Ledger { naming, ..self }
    }

    /// The same, which holds back a new container for so long while its name may still be told: under
    /// another name its series would be others.
    #[must_use]
    pub fn waiting_for_names(self, patience: Duration) -> Ledger {
        Ledger { patience, ..self }
    }

    /// Waits for no name any more.
    pub fn stop_waiting(&mut self) {
        self.patience = Duration::ZERO;
        for entity in self.entities.values_mut() {
            entity.held_until = 0;
        }
    }

    /// The same, told in this form.
    #[must_use]
    pub fn telling(self, form: Form) -> Ledger {
        Ledger { form, ..self }
    }

    /// The form in which all is told.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What all Resources have in common.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Episodes of a second count with the next interval.
    pub fn count_episodes(&mut self, observed: &Observed) {
        for resource in &observed.full {
            let full = self.full.entry(*resource).or_default();
            *full = full.saturating_add(observed.length);
        }
        for one in &observed.uses {
            let account = match &one.victim {
                Victim::Host => &mut self.host_episodes,
                Victim::Entity(row) => self.episodes.entry(row.key.clone()).or_default(),
            };
            account.push(one.clone());
        }
    }

    /// From now on these limits hold. Series that are there stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Adds an interval, where sources of names fare so; `None`: it has no length.
    pub fn add(&mut self, model: &Model, names: &Names) -> Option<Added> {
        let start = unix_ns(model);
        let end = start.saturating_add(nanoseconds(model.length));
        if model.length.is_zero() {
            return None;
        }
        let clock_was_set = self.now > 0 && start.abs_diff(self.now) > nanoseconds(CLOCK_WAS_SET);
        if clock_was_set {
            // Series that go on would have points before their start, or on the same instant.
            self.entities.clear();
            self.now = 0;
        }
        let start = if self.now == 0 {
            start
        } else {
            start.min(self.now)
        };
        self.now = end.max(self.now.max(start).saturating_add(1));
        let span = Span {
            start,
            end: self.now,
            seconds: model.seconds(),
        };
        self.add_rows(model, names, span);
        self.end_others(model);
        let interval = Interval {
            model,
            episodes: &std::mem::take(&mut self.host_episodes),
            full: &std::mem::take(&mut self.full),
        };
        self.add_host(&interval, span);
        Some(Added {
            entities: self.entities.len(),
            series: self.series(),
            refused: std::mem::take(&mut self.refused),
            culprits_refused: std::mem::take(&mut self.culprits_refused),
            clock_was_set,
        })
    }

    /// Adds what is told of all of the host.
    fn add_host(&mut self, interval: &Interval<'_>, span: Span) {
        if !self.entities.contains_key(&Whose::Host) {
            let entity = self.born(self.host.itself());
            self.entities.insert(Whose::Host, entity);
        }
        let Some(entity) = self.entities.get_mut(&Whose::Host) else {
            return;
        };
        entity.begin(span.end);
        for (number, metric) in METRICS.iter().enumerate() {
            let (Source::Both(_, read) | Source::Host(read)) = metric.source else {
                continue;
            };
            for (attributes, amount) in measured(|points| read(interval, points)) {
                entity.add(number, attributes, &amount, span);
            }
        }
    }

    fn born(&mut self, resource: Resource) -> Entity {
        self.born += 1;
        Entity::new(self.born, resource, self.form.temporality)
    }

    /// Under another Resource its series are others: those that were told end, and others begin at 0,
    /// so that nothing counts twice.
    fn rename(&mut self, key: &Key, resource: &Resource, span: Span) -> Entity {
        let mut renamed = self.born(resource.clone());
        let Some(mut old) = self.entities.remove(&Whose::Entity(key.clone())) else {
            return renamed;
        };
        if !old.was_told() || old.resource == *resource {
            old.resource.clone_from(resource);
            return old;
        }
        renamed.affected = old.affected;
        old.end();
        let former = Whose::Former(key.clone(), span.start);
        self.entities.insert(former, old);
        renamed
    }

    /// Adds all rows: what everybody has first, and details of those who lost most before others.
    fn add_rows(&mut self, model: &Model, names: &Names, span: Span) {
        let episodes = std::mem::take(&mut self.episodes);
        let naming = self.naming.clone();
        let mut room = Room::beside(self.entities.values(), self.limits);
        let mut rows = Vec::new();
        for (index, row) in model.entities.rows.iter().enumerate() {
            let of = Of {
                model,
                index,
                row,
                episodes: episodes.get(&row.key).map_or(&[], Vec::as_slice),
                naming: &naming,
            };
            let tier = self.begin_row(row, names, span);
            self.add_row(&of, tier, Class::Essential, span, &mut room);
            if tier > Tier::All {
                rows.push((of, tier));
            } else {
                // Those that are gone are many.
                self.forget_if_empty(&row.key);
            }
        }
        rows.sort_by_key(|(of, _)| std::cmp::Reverse(admission::lost_ns(of.row)));
        for (of, tier) in &rows {
            self.add_row(of, *tier, Class::Detail, span, &mut room);
        }
        rows.retain(|(of, tier)| *tier >= Tier::Affected && of.has_culprits());
        for (number, (of, _)) in rows.iter().enumerate() {
            self.add_interference(of, span, rows.len() - number, &mut room);
        }
        self.entities.retain(|_, entity| entity.series().len() > 0);
    }

    fn forget_if_empty(&mut self, key: &Key) {
        let whose = Whose::Entity(key.clone());
        let entity = self.entities.get(&whose);
        if entity.is_some_and(|entity| entity.series().len() == 0) {
            self.entities.remove(&whose);
        }
    }

    /// Adds what there is of this class of metrics.
    fn add_row(&mut self, of: &Of<'_>, tier: Tier, class: Class, span: Span, room: &mut Room) {
        let whose = Whose::Entity(of.row.key.clone());
        let Some(entity) = self.entities.get_mut(&whose) else {
            return;
        };
        let metrics = METRICS.iter().enumerate();
        for (number, metric) in metrics.filter(|(_, m)| m.tier <= tier && Class::of(m) == class) {
            let (Source::Entity(read) | Source::Both(read, _)) = metric.source else {
                continue;
            };
            for (attributes, amount) in measured(|points| read(of, points)) {
                let is_known = entity.has(number, &attributes);
                if !is_known && amount.is_nothing() {
                    continue;
                }
                let is_part = are_parts(metric) && entity.has_part_beside(number, &attributes);
                if !is_known && !is_part && room.left(metric) == 0 {
                    self.refused += 1;
                    continue;
                }
                if !is_known {
                    room.note(metric);
                }
                entity.add(number, attributes, &amount, span);
            }
        }
    }

    /// Adds who made it wait. What room there is is shared with those that follow.
    fn add_interference(&mut self, of: &Of<'_>, span: Span, claimants: usize, room: &mut Room) {
        let whose = Whose::Entity(of.row.key.clone());
        let Some(entity) = self.entities.get_mut(&whose) else {
            return;
        };
        for (number, metric) in METRICS.iter().enumerate() {
            let Source::Culprits(read) = metric.source else {
                continue;
            };
            let left = room.left(metric);
            let places = admission::Places {
                culprits: self.limits.culprits,
                new: left.min((left / claimants).max(1)),
            };
            let points = measured(|points| read(of, points));
            let known = |attributes: &Attributes| entity.has(number, attributes);
            let told = |scope: &Attributes| entity.culprits(number, scope);
            let admitted = admission::admit(points, known, told, places, span.seconds);
            self.refused += admitted.refused;
            self.culprits_refused += admitted.culprits_refused;
            for (attributes, amount) in admitted.points {
                let is_known = entity.has(number, &attributes);
                if !is_known && amount.is_nothing() {
                    continue;
                }
                if !is_known {
                    room.note(metric);
                }
                entity.add(number, attributes, &amount, span);
            }
        }
    }

    /// A row is there; up to which tier it is told of.
    fn begin_row(&mut self, row: &Row, names: &Names, span: Span) -> Tier {
        let whose = Whose::Entity(row.key.clone());
        let is_new = !self.entities.contains_key(&whose);
        let resource = self.host.entity(row);
        let renamed = self.rename(&row.key, &resource, span);
        let (limits, patience) = (self.limits, self.patience);
        let entity = self.entities.entry(whose).or_insert(renamed);
        if !row.lacks_name() {
            entity.held_until = 0;
        } else if is_new && names.can_tell() {
            entity.held_until = span.end + nanoseconds(patience);
        }
        entity.begin(span.end);
        entity.affected |= admission::is_affected(row, span.seconds);
        if entity.affected {
            limits.affected
        } else {
            limits.calm
        }
    }

    /// Those that the model does not tell of any more have ended, unless they are for ever.
    fn end_others(&mut self, model: &Model) {
        let rows = model.entities.rows.iter().map(|row: &Row| &row.key);
        let there: std::collections::BTreeSet<&Key> = rows.collect();
        for (whose, entity) in &mut self.entities {
            let Whose::Entity(key) = whose else { continue };
            let is_mortal = matches!(key, Key::Entity(_) | Key::Cgroup(_) | Key::Path(_));
            if is_mortal && !there.contains(key) {
                entity.end();
            }
        }
        let lasts = |entity: &Entity| entity.life == Life::Alive || entity.has_something_to_tell();
        self.entities.retain(|_, entity| lasts(entity));
        let ended = self
            .entities
            .iter()
            .filter(|(_, entity)| entity.life != Life::Alive);
        let mut ended: Vec<(u64, Whose)> = ended
            .map(|(whose, entity)| (entity.last, whose.clone()))
            .collect();
        let excess = ended.len().saturating_sub(MOST_ENDED);
        ended.sort();
        for (_, whose) in ended.into_iter().take(excess) {
            self.entities.remove(&whose);
            self.refused += 1;
        }
    }

    /// All entities with series, in a lasting order.
    pub fn entities(&self) -> impl Iterator<Item = (&Whose, &Entity)> {
        self.entities.iter()
    }

    /// What there is to tell of those who are wanted is being told: until a receiver has taken it, or
    /// it is told anew, what comes is kept apart. A delta counts once so, and an outage is one long
    /// interval.
    pub fn begin_telling(&mut self, wanted: impl Fn(&Whose) -> bool) {
        let now = self.now;
        for (whose, entity) in &mut self.entities {
            if entity.is_due(now) && wanted(whose) {
                entity.begin_telling(now);
            }
        }
    }

    /// A receiver has taken what was told of an entity up to `told`.
    pub fn taken(&mut self, whose: &Whose, told: Told) {
        let Some(whose) = self.whose_now(whose, told.entity) else {
            return;
        };
        let entity = self.entities.get_mut(&whose);
        if entity.is_some_and(|entity| entity.taken(told)) {
            self.entities.remove(&whose);
        }
    }

    /// Where that entity is: it may have got another Resource since it was told.
    fn whose_now(&self, whose: &Whose, number: u64) -> Option<Whose> {
        let is_it = |entity: &Entity| entity.number == number;
        if self.entities.get(whose).is_some_and(is_it) {
            return Some(whose.clone());
        }
        let Whose::Entity(key) = whose else {
            return None;
        };
        let [first, last] = [0, u64::MAX].map(|at| Whose::Former(key.clone(), at));
        let mut formers = self.entities.range(first..=last);
        let found = formers.find(|(_, entity)| is_it(entity));
        found.map(|(former, _)| former.clone())
    }

    /// The end of the latest interval, nanoseconds of Unix time.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Series of all entities.
    pub fn series(&self) -> usize {
        self.entities
            .values()
            .map(|entity| entity.series().len())
            .sum()
    }
}

/// What an interval came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Entities that have series.
    pub entities: usize,
    /// Series of all entities.
    pub series: usize,
    /// Amounts that found no series.
    pub refused: u64,
    /// Culprits that found none, and are told as `other`.
    pub culprits_refused: u64,
    /// The wall clock was set before, and all series have begun anew.
    pub clock_was_set: bool,
}

/// Start and end of an interval.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Nanoseconds of Unix time.
    pub start: u64,
    /// Nanoseconds of Unix time.
    pub end: u64,
    /// Length.
    pub seconds: f64,
}

/// Up to when and where in its life an entity was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which entity.
    pub entity: u64,
    /// The end of the latest interval then.
    pub now: u64,
    /// Its life then.
    pub life: Life,
}

fn measured(read: impl FnOnce(&mut Points)) -> Points {
    let mut points = Vec::new();
    read(&mut points);
    points
}

fn unix_ns(model: &Model) -> u64 {
    let since = model.start.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, nanoseconds)
}
