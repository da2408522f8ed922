//! What one reading says of a victim on a resource.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    model::{Key, Kind, Model, Resource, Row},
    signal::{
        Class, Hurt, Ratios,
        episodes::{Rules, roster::Roster},
        hurt::neighbors,
        is_judged,
        loss::Loss,
    },
};

/// Of more culprits a second keeps no name.
const MOST_CULPRITS: usize = 8;

/// One reading.
#[derive(Clone, Debug)]
pub(super) struct Second {
    /// When.
    pub(super) span: Span,
    /// What was lost.
    pub(super) loss: Loss,
    /// How bad that is.
    pub(super) grade: Grade,
    /// Bad enough for a warning.
    pub(super) warns: bool,
    pub(super) class: Option<Class>,
    /// The largest of those who had the resource.
    pub(super) culprits: Vec<Culprit>,
    /// What their parts are parts of, nanoseconds.
    pub(super) whole_ns: u64,
    /// How many with a name had the resource.
    pub(super) neighbors: usize,
}

/// When a reading was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Wall clock at its end.
    pub(super) at: SystemTime,
    /// Its start, since the first reading.
    pub(super) from: Duration,
    /// Its end.
    pub(super) until: Duration,
}

/// How bad a second is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// Next to nothing was lost.
    Calm,
    /// Too little to begin an episode, or nobody's fault but the victim's.
    Slight,
    /// Begins an episode when it lasts.
    Lasting,
    /// Begins one soon.
    Severe,
}

impl Grade {
    pub(super) fn of(share: f64, rules: &Rules) -> Grade {
        match share {
            share if share >= rules.severe_share => Grade::Severe,
            share if share >= rules.lasting_share => Grade::Lasting,
            share if share >= rules.calm_share => Grade::Slight,
            _ => Grade::Calm,
        }
    }
}

/// Who had the resource.
#[derive(Clone, Debug)]
pub(super) struct Culprit {
    pub(super) who: Arc<Row>,
    pub(super) ns: u64,
    pub(super) over: Option<f64>,
}

/// A reading, and what episodes need to know to judge it.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) model: &'a Model,
    pub(super) rules: &'a Rules,
    pub(super) roster: &'a Roster,
    pub(super) over: &'a Ratios,
    pub(super) span: Span,
    /// Nothing in it is sure enough for a warning.
    pub(super) is_doubtful: bool,
}

impl Reading<'_> {
    /// What neighbors did to an entity; `hurt` where the second alone is harm. `None` where it is
    /// not known.
    pub(super) fn interference(
        &self,
        index: usize,
        resource: Resource,
        hurt: Option<&Hurt>,
    ) -> Option<Second> {
        let row = &self.model.entities.rows[index];
        let loss = Loss::to_neighbors(row, resource)?;
        let counts = hurt.is_some_and(|hurt| begins(row, hurt));
        let starved = hurt.is_some_and(|hurt| hurt.starved);
        let grade = match Grade::of(loss.share(), self.rules) {
            _ if starved => Grade::Severe,
            grade if counts => grade,
            grade => grade.min(Grade::Slight),
        };
        let named: Vec<_> = neighbors(self.model, index, resource)
            .filter(|blame| self.model.entities.rows[blame.culprit].key != Key::Other)
            .collect();
        let is_cpu = resource == Resource::Cpu;
        let culprits = named.iter().take(MOST_CULPRITS).map(|blame| Culprit {
            who: Arc::clone(self.roster.who(blame.culprit)),
            ns: blame.ns,
            over: self.over.get(blame.culprit).filter(|_| is_cpu),
        });
        Some(Second {
            span: self.span,
            loss,
            grade,
            warns: grade == Grade::Severe && !self.is_doubtful && hurt.is_some_and(warns),
            class: hurt.and_then(|hurt| hurt.class),
            culprits: culprits.collect(),
            whole_ns: loss.lost_ns,
            neighbors: named.len(),
        })
    }

    /// Whether tasks waited for each other because all CPUs were busy; `None` when that is not
    /// known.
    pub(super) fn saturation(&self) -> Option<Second> {
        let model = self.model;
        let loss = Loss::of_host(&model.host)?;
        let is_full = model.host.busy_share()? >= self.rules.full_share;
        let share = if is_full { loss.share() } else { 0.0 };
        let grade = Grade::of(share, self.rules);
        let run = |row: &Row| row.usage.as_ref().map_or(0, |usage| usage.run_ns);
        let rows = &model.entities.rows;
        let mut ran: Vec<usize> = (0..rows.len())
            .filter(|row| grade > Grade::Calm && run(&rows[*row]) > 0)
            .filter(|row| is_judged(&rows[*row]))
            .collect();
        ran.sort_by_key(|row| std::cmp::Reverse(run(&rows[*row])));
        let culprits = ran.iter().take(MOST_CULPRITS).map(|row| Culprit {
            who: Arc::clone(self.roster.who(*row)),
            ns: run(&rows[*row]),
            over: self.over.get(*row),
        });
        Some(Second {
            span: self.span,
            loss,
            grade,
            warns: false,
            class: None,
            culprits: culprits.collect(),
            whole_ns: loss.wanted_ns.saturating_sub(loss.lost_ns),
            neighbors: ran.len(),
        })
    }
}

/// Whether harm begins an episode: what is told for information does not, nor what happens to
/// those who asked for nothing.
fn begins(row: &Row, hurt: &Hurt) -> bool {
    let is_best_effort = row.kind != Kind::Host && row.labels.qos.as_deref() == Some("besteffort");
    hurt.starved || !(hurt.is_information() || is_best_effort)
}

fn warns(hurt: &Hurt) -> bool {
    let is_undue = matches!(hurt.class, Some(Class::NoisyNeighbor | Class::Overcommit));
    (is_undue || hurt.starved) && !hurt.idle_elsewhere
}
