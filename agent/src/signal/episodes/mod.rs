//! Episodes: harm that lasts, from its beginning to its end.
//!
//! Fed with one second after the other. What is not known of a second, because nobody was seen or
//! no reading was made, is neither calm nor harm. Pure: time is the sum of the lengths of the
//! readings.

mod budget;
mod course;
mod event;
mod losses;
mod roster;
mod rules;
mod second;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use event::{
    EndReason, Episode, EpisodeCulprit, EpisodeId, EpisodeUse, Event, Severity, Untold, Victim,
    What,
};
pub use rules::Rules;

use crate::{
    model::{Key, Model, Resource},
    signal::{Doubt, Signals, Thresholds, Verdict, contract::Recent},
};
use budget::Budget;
use course::{Change, Course, Open, State};
use roster::Roster;
use second::{Grade, Reading, Second, Span};

/// Too short a reading to judge by.
const SHORTEST: Duration = Duration::from_millis(500);

/// Whose episode of what; no key is the host.
type Subject = (Option<Key>, Resource);

/// All episodes of a host.
#[derive(Debug)]
pub struct Episodes {
    rules: Rules,
    thresholds: Thresholds,
    roster: Roster,
    recent: Recent,
    /// Since the first reading.
    now: Duration,
    courses: BTreeMap<Subject, Of>,
    budgets: BTreeMap<Option<Key>, (Victim, Budget)>,
    next: EpisodeId,
}

/// The course of one subject.
#[derive(Debug)]
struct Of {
    victim: Victim,
    device: Option<String>,
    course: Course,
}

/// What a reading changed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// To be told.
    pub events: Vec<Event>,
    /// To be counted.
    pub uses: Vec<EpisodeUse>,
    /// What was full, judged by the whole second.
    pub full: Vec<Resource>,
    /// How long the second was.
    pub length: Duration,
}

impl Episodes {
    /// None yet. `agent` is a number that no other life of an agent has, on any host.
    pub fn new(rules: Rules, thresholds: Thresholds, agent: u64) -> Episodes {
        Episodes {
            rules,
            thresholds,
            roster: Roster::default(),
            recent: Recent::new(rules.contract_window),
            now: Duration::ZERO,
            courses: BTreeMap::new(),
            budgets: BTreeMap::new(),
            next: EpisodeId { agent, number: 1 },
        }
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The thresholds of a second.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Judges one second, by the run time and contracts of the latest ten. To be called once for each,
    /// in their order.
    pub fn judge(&mut self, model: &Model) -> Signals {
        let over = self.recent.observe(model);
        Signals::detect_by(over, model, &self.thresholds)
    }

    /// Takes in one second and what it says. A reading that was left out is not fed: the next one
    /// is longer, and counts once.
    pub fn observe(&mut self, model: &Model, signals: &Signals) -> Observed {
        let span = Span {
            at: model.start.checked_add(model.length).unwrap_or(model.start),
            from: self.now,
            until: self.now.saturating_add(model.length),
        };
        self.now = span.until;
        if model.length.is_zero() {
            return Observed::default();
        }
        self.roster.update(&model.entities.rows, span.from);
        let reading = Reading {
            model,
            rules: &self.rules,
            roster: &self.roster,
            over: &signals.over,
            span,
            is_doubtful: is_doubtful(signals),
        };
        let seconds = if model.length >= SHORTEST && span.from >= self.rules.agent_warm_up {
            self.seconds(&reading, signals)
        } else {
            BTreeMap::new()
        };
        self.add_courses(model, &seconds);
        let mut observed = Observed {
            full: full(model, &self.rules),
            length: model.length,
            ..Observed::default()
        };
        self.step(seconds, span, &mut observed);
        self.renew_budgets(span, &mut observed);
        let (now, rules) = (self.now, self.rules);
        self.courses.retain(|_, of| !of.course.is_idle(now, &rules));
        observed
    }

    /// Ends what goes on, at this moment: the agent sees no more.
    pub fn stop(&mut self, at: SystemTime) -> Vec<Event> {
        let mut observed = Observed::default();
        for (subject, mut of) in std::mem::take(&mut self.courses) {
            if let Some(open) = of.course.close(self.now) {
                self.end(
                    &subject,
                    &of,
                    &open,
                    EndReason::AgentStopped,
                    at,
                    &mut observed,
                );
            }
        }
        for (victim, budget) in std::mem::take(&mut self.budgets).into_values() {
            observed.events.extend(untold(victim, &budget, at));
        }
        observed.events
    }

    /// What is known of this second, of those who were hurt and of those with a course.
    fn seconds(&self, reading: &Reading<'_>, signals: &Signals) -> BTreeMap<Subject, Second> {
        let rows = &reading.model.entities.rows;
        let mut seconds = BTreeMap::new();
        for hurt in &signals.hurt {
            let is_young = self.is_young(hurt.row, reading.span);
            let second = reading.interference(hurt.row, hurt.resource, Some(hurt));
            if let Some(second) = second.filter(|_| !is_young) {
                seconds.insert((Some(rows[hurt.row].key.clone()), hurt.resource), second);
            }
        }
        // Where too little was seen to call the host calm, nobody's calm is known.
        if matches!(signals.verdict, Verdict::CannotTell(_)) {
            return seconds;
        }
        for subject in self.courses.keys() {
            let (Some(key), resource) = subject else {
                continue;
            };
            let row = self
                .roster
                .find(key)
                .filter(|_| !seconds.contains_key(subject));
            let row = row.filter(|row| !self.is_young(*row, reading.span));
            if let Some(second) = row.and_then(|row| reading.interference(row, *resource, None)) {
                seconds.insert(subject.clone(), second);
            }
        }
        if let Some(second) = reading.saturation() {
            seconds.insert((None, Resource::Cpu), second);
        }
        seconds
    }

    fn is_young(&self, row: usize, span: Span) -> bool {
        self.roster.age(row, span.from) < self.rules.entity_warm_up
    }

    /// Whoever may come to have an episode is followed.
    fn add_courses(&mut self, model: &Model, seconds: &BTreeMap<Subject, Second>) {
        for (subject, second) in seconds {
            let (key, resource) = subject;
            let row = key.as_ref().and_then(|key| self.roster.find(key));
            let victim = row.map_or(Victim::Host, |row| {
                Victim::Entity(Arc::clone(self.roster.who(row)))
            });
            match self.courses.get_mut(subject) {
                Some(of) => of.victim = victim,
                None if second.grade >= Grade::Lasting => {
                    let of = Of {
                        victim,
                        device: device(model, *resource),
                        course: Course::default(),
                    };
                    self.courses.insert(subject.clone(), of);
                }
                None => {}
            }
        }
    }

    fn step(
        &mut self,
        mut seconds: BTreeMap<Subject, Second>,
        span: Span,
        observed: &mut Observed,
    ) {
        let mut courses = std::mem::take(&mut self.courses);
        for (subject, of) in &mut courses {
            let second = seconds.remove(subject);
            match of.course.step(second, self.now, &self.rules, self.next) {
                Change::Nothing => {}
                Change::Opened => self.note_opened(subject, of, observed),
                Change::Grew(length) => observed.uses.extend(used(of, subject.1, 0, length)),
                Change::Closed(open, reason) => {
                    self.end(subject, of, &open, reason, span.at, observed);
                }
            }
            self.tell_open(subject, of, span.at, observed);
        }
        self.courses = courses;
    }

    fn note_opened(&mut self, subject: &Subject, of: &Of, observed: &mut Observed) {
        let Some(open) = of.course.open() else { return };
        let is_new = open.id == self.next;
        self.next.number += u64::from(is_new);
        observed
            .uses
            .extend(used(of, subject.1, u64::from(is_new), open.length()));
    }

    /// Tells that an episode began, as soon as that may be told, and from time to time that it
    /// goes on.
    fn tell_open(&mut self, subject: &Subject, of: &mut Of, at: SystemTime, to: &mut Observed) {
        let State::Open(open) = &mut of.course.state else {
            return;
        };
        let what = match open.told {
            Some(told) if self.now.saturating_sub(told) < self.rules.update_after => return,
            Some(_) => What::Updated,
            None => {
                let budget = self.budgets.entry(subject.0.clone());
                let budget = budget.or_insert_with(|| (of.victim.clone(), Budget::new(self.now)));
                if !budget.1.takes(self.rules.events_per_hour) {
                    return;
                }
                What::Started
            }
        };
        open.told = Some(self.now);
        let episode = episode(open, subject.1, of.device.clone(), &self.thresholds);
        to.events.push(Event {
            at,
            victim: of.victim.clone(),
            what: what(episode),
        });
    }

    fn end(
        &mut self,
        subject: &Subject,
        of: &Of,
        open: &Open,
        reason: EndReason,
        at: SystemTime,
        to: &mut Observed,
    ) {
        if open.told.is_some() {
            let episode = episode(open, subject.1, of.device.clone(), &self.thresholds);
            to.events.push(Event {
                at,
                victim: of.victim.clone(),
                what: What::Ended(episode, reason),
            });
        } else if let Some((_, budget)) = self.budgets.get_mut(&subject.0) {
            budget.leave_out(open.length());
        }
    }

    /// Sums up the hours that are over.
    fn renew_budgets(&mut self, span: Span, to: &mut Observed) {
        let (now, courses) = (self.now, &self.courses);
        self.budgets.retain(|key, (victim, budget)| {
            if !budget.is_over(now) {
                return true;
            }
            to.events.extend(untold(victim.clone(), budget, span.at));
            let of_victim = courses.iter().filter(|((of, _), _)| of == key);
            let promised = of_victim
                .filter_map(|(_, of)| of.course.open())
                .filter(|open| open.told.is_some())
                .count();
            budget.renew(now, u32::try_from(promised).unwrap_or(u32::MAX));
            promised > 0
        });
    }
}

/// Resources that were busy for most of the reading.
fn full(model: &Model, rules: &Rules) -> Vec<Resource> {
    let is_full = |share: Option<f64>| share.is_some_and(|share| share >= rules.full_share);
    let devices = model.disks.iter().flat_map(|disks| &disks.devices);
    let devices = devices.filter(|(_, device)| is_full(device.busy_share(model.length)));
    let disks = devices.map(|(id, _)| Resource::Disk(*id));
    let cpu = is_full(model.host.busy_share()).then_some(Resource::Cpu);
    cpu.into_iter().chain(disks).collect()
}

/// Interrupts that sit with whoever they interrupted look like neighbors.
fn is_doubtful(signals: &Signals) -> bool {
    let mut doubts = signals.doubts.iter();
    doubts.any(|doubt| matches!(doubt, Doubt::Interrupts(_)))
}

fn device(model: &Model, resource: Resource) -> Option<String> {
    match resource {
        Resource::Cpu => None,
        Resource::Disk(id) => Some(model.disks.as_ref()?.name(id)),
    }
}

fn episode(
    open: &Open,
    resource: Resource,
    device: Option<String>,
    thresholds: &Thresholds,
) -> Episode {
    Episode {
        id: open.id,
        resource,
        device,
        openings: open.openings,
        length: open.length(),
        severity: open.severity,
        class: open.losses.class(),
        loss: open.losses.loss,
        observed: open.losses.observed,
        culprits: open.losses.culprits(thresholds),
        neighbors: open.losses.neighbors,
    }
}

fn used(of: &Of, resource: Resource, opened: u64, length: Duration) -> Option<EpisodeUse> {
    let open = of.course.open()?;
    Some(EpisodeUse {
        victim: of.victim.clone(),
        resource,
        device: of.device.clone(),
        class: open.losses.class(),
        opened,
        length,
    })
}

fn untold(victim: Victim, budget: &Budget, at: SystemTime) -> Option<Event> {
    let what = What::Untold(budget.untold()?);
    Some(Event { at, victim, what })
}
