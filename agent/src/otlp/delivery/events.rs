//! Events: each waits in a bounded queue until a receiver has taken or refused it.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;
use tokio::sync::Notify;

use crate::otlp::{
    delivery::{Outbox, Outcome, Shared},
    events::Waiting,
};

/// The events that wait.
#[derive(Debug)]
pub struct EventOutbox(Arc<Shared>);

impl EventOutbox {
    /// Delivers the events of the queue.
    pub fn new(shared: Arc<Shared>) -> EventOutbox {
        EventOutbox(shared)
    }
}

impl Outbox for EventOutbox {
    type Part = Waiting;
    type Request = ExportLogsServiceRequest;
    const WHAT: &'static str = "events";

    fn fresh(&self) -> &Notify {
        &self.0.fresh_events
    }

    fn pending(&mut self) -> Vec<Waiting> {
        self.0.events().all().cloned().collect()
    }

    fn delivered(&mut self) {}

    fn renewed(&self, parts: &[Waiting]) -> Vec<Waiting> {
        let queue = self.0.events();
        let wanted = |event: &&Waiting| parts.iter().any(|old| old.number == event.number);
        queue.all().filter(wanted).cloned().collect()
    }

    fn length(part: &Waiting) -> usize {
        part.event.encoded_len()
    }

    fn items(_: &Waiting) -> u64 {
        1
    }

    fn request(parts: &mut [Waiting]) -> ExportLogsServiceRequest {
        let events = parts.iter_mut().map(|part| std::mem::take(&mut part.event));
        ExportLogsServiceRequest {
            resource_logs: events.collect(),
        }
    }

    fn note(&self, parts: &[Waiting], events: u64, outcome: Outcome) {
        if matches!(outcome, Outcome::Divided | Outcome::Failed { .. }) {
            return;
        }
        self.0.events().take(parts);
        self.0.count(|exported| match outcome {
            Outcome::Accepted { rejected } => {
                exported.events_accepted += events - rejected;
                exported.events_rejected += rejected;
            }
            _ => exported.events_refused += events,
        });
    }
}
