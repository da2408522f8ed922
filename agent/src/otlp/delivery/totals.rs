//! Metrics: nothing is queued. Each try sends the newest totals, or deltas since the last ones that
//! a receiver took: what was not delivered is part of them. Memory is bounded by the ledger,
//! whatever a receiver does.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use tokio::sync::Notify;

use crate::otlp::{
    delivery::{Outbox, Outcome, Shared},
    encode::{self, Part},
    ledger::{Life, Whose},
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

    /// What the receiver does not want of those who are gone will never be different.
    fn give_up_ended(&self, parts: &[Part]) {
        let ended = parts.iter().filter(|part| part.told.life != Life::Alive);
        self.taken(ended);
    }

    fn taken<'a>(&self, parts: impl Iterator<Item = &'a Part>) {
        let mut ledger = self.shared.ledger();
        for part in parts {
            ledger.taken(&part.whose, part.told);
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
        let mut ledger = self.shared.ledger();
        self.telling = ledger.now();
        if self.telling == self.delivered {
            return Vec::new();
        }
        ledger.begin_telling(|_| true);
        encode::parts(&ledger).collect()
    }

    fn delivered(&mut self) {
        self.delivered = self.telling;
    }

    fn renewed(&self, parts: &[Part]) -> Vec<Part> {
        let mut ledger = self.shared.ledger();
        let is_wanted = |whose: &Whose| parts.iter().any(|old| old.whose == *whose);
        ledger.begin_telling(is_wanted);
        encode::parts(&ledger)
            .filter(|part| is_wanted(&part.whose))
            .collect()
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
            } => self.give_up_ended(parts),
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
