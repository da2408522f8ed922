//! Metrics: nothing is queued. Each try sends the newest totals, or deltas since the last ones that
//! a receiver took: what was not delivered is part of them. Memory is bounded by the ledger,
//! whatever a receiver does.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use tokio::sync::Notify;

use crate::otlp::{
    delivery::{Outbox, Outcome, Shared},
    encode::{self, Part, Subject},
    ledger::Whose,
};

/// The totals of the ledger.
#[derive(Debug)]
pub struct TotalsOutbox {
    shared: Arc<Shared>,
    /// Up to when all is being told, and was delivered, nanoseconds of Unix time.
    telling: u64,
    delivered: u64,
}

impl TotalsOutbox {
    /// Nothing was delivered yet.
    pub fn new(shared: Arc<Shared>) -> TotalsOutbox {
        TotalsOutbox {
            shared,
            telling: 0,
            delivered: 0,
        }
    }

    /// What the receiver does not want and will never be different.
    fn give_up_unchanging(&self, parts: &[Part]) {
        self.taken(parts.iter().filter(|part| !part.subject.may_change()));
    }

    fn taken<'a>(&self, parts: impl Iterator<Item = &'a Part>) {
        for part in parts {
            match &part.subject {
                Subject::Entity(whose, told) => self.shared.ledger().taken(whose, *told),
                Subject::Agent(collection) => self.shared.own().taken(*collection),
            }
        }
    }
}

impl Outbox for TotalsOutbox {
    type Part = Part;
    type Request = ExportMetricsServiceRequest;
    const WHAT: &'static str = "metrics";

    fn fresh(&self) -> &Notify {
        &self.shared.fresh_totals
    }

    fn pending(&mut self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.shared.own().part().into_iter().collect();
        let mut ledger = self.shared.ledger();
        self.telling = ledger.now();
        if self.telling != self.delivered {
            ledger.begin_telling(|_| true);
            parts.extend(encode::parts(&ledger));
        }
        parts
    }

    fn delivered(&mut self) {
        self.delivered = self.telling;
    }

    fn renewed(&self, parts: &[Part]) -> Vec<Part> {
        let is_agent = |part: &Part| matches!(part.subject, Subject::Agent(_));
        let own = parts.iter().any(is_agent).then(|| self.shared.own().part());
        let mut ledger = self.shared.ledger();
        let is_wanted = |whose: &Whose| parts.iter().any(|old| old.subject.is_of(whose));
        ledger.begin_telling(is_wanted);
        let entities = encode::parts_of(&ledger, is_wanted);
        own.flatten().into_iter().chain(entities).collect()
    }

    fn length(part: &Part) -> usize {
        part.metrics.encoded_len()
    }

    fn items(part: &Part) -> u64 {
        part.points
    }

    fn request(parts: &mut [Part]) -> ExportMetricsServiceRequest {
        let metrics = parts
            .iter_mut()
            .map(|part| std::mem::take(&mut part.metrics));
        encode::request(metrics)
    }

    fn note(&self, parts: &[Part], points: u64, outcome: Outcome) {
        match outcome {
            Outcome::Accepted { .. } => self.taken(parts.iter()),
            Outcome::Refused {
                for_its_content: true,
            } => self.give_up_unchanging(parts),
            _ => {}
        }
        let deltas: u64 = parts.iter().map(|part| part.deltas).sum();
        self.shared.count(|exported| match outcome {
            Outcome::Accepted { rejected } => {
                exported.requests_accepted += 1;
                exported.points_accepted += points - rejected;
                exported.points_rejected += rejected;
            }
            Outcome::Divided => {
                exported.requests_refused += 1;
                exported.points_superseded += points;
            }
            Outcome::Refused { .. } => {
                exported.requests_refused += 1;
                exported.points_refused += points;
            }
            Outcome::Failed { may_have_arrived } => {
                exported.requests_failed += 1;
                exported.points_superseded += points;
                if may_have_arrived {
                    exported.points_ambiguous += deltas;
                }
            }
        });
    }
}
