//! Episodes of the host that is observed, and the events that tell of them.

use std::time::SystemTime;

use crate::{
    model::Model,
    otlp::{culprit::Naming, delivery::Shared, events::Writer, resource::Host},
    signal::{
        Thresholds,
        episodes::{Episodes, Event, Rules},
    },
};

/// Finds episodes second by second.
pub(super) struct Events {
    episodes: Episodes,
    /// `None` where only the counts are told.
    writer: Option<Writer>,
}

impl Events {
    pub(super) fn new(host: Host, naming: Naming, are_told: bool) -> Events {
        let (rules, thresholds) = (Rules::default(), Thresholds::default());
        let mut events = Events {
            episodes: Episodes::new(rules, thresholds, fastrand::u64(..)),
            writer: None,
        };
        events.tell_as(host, naming, are_told);
        events
    }

    /// From now on the events of this host are told like this, or not at all.
    pub(super) fn tell_as(&mut self, host: Host, naming: Naming, are_told: bool) {
        let (rules, thresholds) = (self.episodes.rules(), self.episodes.thresholds());
        let writer = || Writer::new(host, naming, rules, thresholds);
        self.writer = are_told.then(writer);
    }

    /// Takes in a second.
    pub(super) fn observe(&mut self, second: &Model, shared: &Shared) {
        let signals = self.episodes.judge(second);
        let observed = self.episodes.observe(second, &signals);
        shared.ledger().count_episodes(&observed);
        self.tell(&observed.events, shared);
    }

    /// Nothing is observed any more.
    pub(super) fn stop(&mut self, shared: &Shared) {
        let events = self.episodes.stop(SystemTime::now());
        self.tell(&events, shared);
    }

    fn tell(&self, events: &[Event], shared: &Shared) {
        if let Some(writer) = self.writer.as_ref().filter(|_| !events.is_empty()) {
            shared.tell(events.iter().map(|event| writer.write(event)));
        }
    }
}
