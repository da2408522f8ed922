//! One victim and one resource, second by second.

use std::{collections::VecDeque, time::Duration};

use crate::signal::episodes::{
    EndReason, EpisodeId, Rules, Severity,
    losses::Losses,
    second::{Grade, Second},
};

/// The latest seconds, and the episode.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Known ones only, the latest last.
    recent: VecDeque<Second>,
    /// The end of the latest known second.
    latest: Duration,
    pub(super) state: State,
}

#[derive(Debug, Default)]
pub(super) enum State {
    /// No episode.
    #[default]
    Closed,
    /// One that may begin again.
    Ended {
        id: EpisodeId,
        openings: u32,
        at: Duration,
    },
    /// One that goes on.
    Open(Box<Open>),
}

/// An episode that goes on.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: EpisodeId,
    pub(super) openings: u32,
    pub(super) severity: Severity,
    pub(super) losses: Losses,
    /// Its beginning, and the end of its latest second that was not calm.
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// Calm seconds since.
    calm: usize,
    /// When it was told of last, if at all.
    pub(super) told: Option<Duration>,
}

impl Open {
    pub(super) fn length(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }
}

/// What a second changed.
#[derive(Debug)]
pub(super) enum Change {
    Nothing,
    /// An episode began.
    Opened,
    /// One went on for so long.
    Grew(Duration),
    /// One is over.
    Closed(Box<Open>, EndReason),
}

impl Course {
    /// Takes in a second; `None` is one that is not known. `next` is the id of a new episode.
    pub(super) fn step(
        &mut self,
        second: Option<Second>,
        now: Duration,
        rules: &Rules,
        next: EpisodeId,
    ) -> Change {
        let Some(second) = second else {
            return self.miss(now, rules);
        };
        self.remember(second, rules);
        match &mut self.state {
            State::Open(open) => {
                let Some(second) = self.recent.back() else {
                    return Change::Nothing;
                };
                if second.grade == Grade::Calm {
                    open.calm += 1;
                    return self.close_if(rules, EndReason::Calm, now);
                }
                let more = second.span.until.saturating_sub(open.until);
                open.calm = 0;
                open.until = second.span.until;
                open.losses.add(second);
                open.severity = open.severity.max(severity(&self.recent, rules));
                Change::Grew(more)
            }
            State::Closed | State::Ended { .. } => self.open_if(now, rules, next),
        }
    }

    /// Ends the episode, if there is one.
    pub(super) fn close(&mut self, now: Duration) -> Option<Box<Open>> {
        match std::mem::take(&mut self.state) {
            State::Open(open) => {
                self.recent.clear();
                self.state = State::Ended {
                    id: open.id,
                    openings: open.openings,
                    at: now,
                };
                Some(open)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    pub(super) fn open(&self) -> Option<&Open> {
        match &self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self, now: Duration, rules: &Rules) -> bool {
        let is_over = match &self.state {
            State::Closed => true,
            State::Ended { at, .. } => now.saturating_sub(*at) > rules.reopens_within,
            State::Open(_) => false,
        };
        let is_old = now.saturating_sub(self.latest) > window(rules);
        let is_quiet = self
            .recent
            .iter()
            .all(|second| second.grade < Grade::Lasting);
        is_over && (is_quiet || is_old)
    }

    fn miss(&mut self, now: Duration, rules: &Rules) -> Change {
        if now.saturating_sub(self.latest) < rules.silence {
            return Change::Nothing;
        }
        self.close(now).map_or(Change::Nothing, |open| {
            Change::Closed(open, EndReason::NotSeen)
        })
    }

    fn remember(&mut self, second: Second, rules: &Rules) {
        // What lies behind a long gap says nothing of now.
        if second.span.from.saturating_sub(self.latest) > window(rules) {
            self.recent.clear();
        }
        self.latest = second.span.until;
        self.recent.push_back(second);
        while self.recent.len() > rules.window_seconds {
            self.recent.pop_front();
        }
    }

    fn close_if(&mut self, rules: &Rules, reason: EndReason, now: Duration) -> Change {
        let is_over = self
            .open()
            .is_some_and(|open| open.calm >= rules.calm_seconds);
        let open = if is_over { self.close(now) } else { None };
        open.map_or(Change::Nothing, |open| Change::Closed(open, reason))
    }

    fn open_if(&mut self, now: Duration, rules: &Rules, next: EpisodeId) -> Change {
        let Some(from) = onset(&self.recent, rules) else {
            return Change::Nothing;
        };
        let (id, openings) = match self.state {
            State::Ended { id, openings, at } if now.saturating_sub(at) <= rules.reopens_within => {
                (id, openings.saturating_add(1))
            }
            _ => (next, 1),
        };
        let mut losses = Losses::default();
        let since = self.recent.iter().skip(from);
        for second in since.clone().filter(|second| second.grade > Grade::Calm) {
            losses.add(second);
        }
        let (first, last) = (since.clone().next(), since.last());
        self.state = State::Open(Box::new(Open {
            id,
            openings,
            severity: severity(&self.recent, rules),
            losses,
            from: first.map_or(now, |second| second.span.from),
            until: last.map_or(now, |second| second.span.until),
            calm: 0,
            told: None,
        }));
        Change::Opened
    }
}

/// The second with which an episode began, if one did.
fn onset(recent: &VecDeque<Second>, rules: &Rules) -> Option<usize> {
    let is_lasting = |second: &Second| second.grade >= Grade::Lasting;
    let latest = recent.len().checked_sub(rules.severe_seconds);
    let severe = latest.filter(|_| are_severe(recent, rules));
    let lasting = recent.iter().filter(|second| is_lasting(second)).count();
    severe.or_else(|| {
        let begins = lasting >= rules.lasting_seconds && recent.back().is_some_and(is_lasting);
        recent.iter().position(is_lasting).filter(|_| begins)
    })
}

fn are_severe(recent: &VecDeque<Second>, rules: &Rules) -> bool {
    let latest = || recent.iter().rev().take(rules.severe_seconds);
    latest().count() == rules.severe_seconds && latest().all(|second| second.grade == Grade::Severe)
}

fn severity(recent: &VecDeque<Second>, rules: &Rules) -> Severity {
    let mut latest = recent.iter().rev().take(rules.severe_seconds);
    if are_severe(recent, rules) && latest.all(|second| second.warns) {
        Severity::Warning
    } else {
        Severity::Notice
    }
}

fn window(rules: &Rules) -> Duration {
    Duration::from_secs(rules.window_seconds as u64)
}
