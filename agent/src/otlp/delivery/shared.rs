//! What observation and delivery have in common.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use tokio::sync::Notify;

use crate::{
    canary::Outcome,
    model::Model,
    names::Names,
    otlp::{events::Queue, ledger::Ledger, measure::Exported, own::Telemetry},
};

/// Totals and events that are to be delivered.
#[derive(Debug)]
pub struct Shared {
    ledger: Mutex<Ledger>,
    own: Mutex<Telemetry>,
    events: Mutex<Queue>,
    total: Mutex<Exported>,
    pub(super) fresh_totals: Notify,
    pub(super) fresh_events: Notify,
}

impl Shared {
    /// Nothing to deliver yet.
    pub fn new(ledger: Ledger) -> Arc<Shared> {
        let own = Telemetry::new(ledger.host().clone(), ledger.form());
        Arc::new(Shared {
            ledger: Mutex::new(ledger),
            own: Mutex::new(own),
            events: Mutex::default(),
            total: Mutex::default(),
            fresh_totals: Notify::new(),
            fresh_events: Notify::new(),
        })
    }

    /// The ledger. Not to be held while waiting.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Totals are whole after each step, also where another one panicked.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other series begin, and nothing is told of the old ones any more.
    pub fn begin_anew(&self, ledger: Ledger) {
        self.own().begin_anew(ledger.host().clone(), ledger.form());
        *self.ledger() = ledger;
    }

    /// Adds an interval, where sources of names fare so.
    pub fn add(&self, model: &Model, names: &Names) {
        let added = self.ledger().add(model, names);
        if let Some(added) = added {
            self.own().add(model, names, &added);
        }
    }

    /// An interval could not be observed; its amounts are part of the next one.
    pub fn skip(&self) {
        self.own().skip();
    }

    /// A run of the canary counts with the next interval.
    pub fn count_canary(&self, outcome: Outcome) {
        self.own().count_canary(outcome);
    }

    /// There are new totals to deliver.
    pub fn publish(&self) {
        self.fresh_totals.notify_one();
    }

    /// Delivers events, too. When too many wait, the oldest are dropped.
    pub fn tell(&self, events: impl IntoIterator<Item = ResourceLogs>) {
        let mut dropped = 0;
        for event in events {
            dropped += u64::from(self.events().push(event));
        }
        if dropped > 0 {
            self.count(|exported| exported.events_dropped += dropped);
        }
        self.fresh_events.notify_one();
    }

    /// What was exported since the start.
    pub fn total(&self) -> Exported {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that wait.
    pub fn waiting_events(&self) -> usize {
        self.events().len()
    }

    pub(super) fn own(&self) -> MutexGuard<'_, Telemetry> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn events(&self) -> MutexGuard<'_, Queue> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, change: impl Fn(&mut Exported)) {
        self.own().count_exported(&change);
        change(&mut self.total.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
