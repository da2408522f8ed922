//! The agent's own telemetry. OpenTelemetry's SDK keeps the series and says by its rules what is
//! told of them, and `opentelemetry-otlp` writes it; the delivery of everything else carries it.
//!
//! Nothing is collected unless it can be sent. Deltas that were collected stay as they are until a
//! receiver takes or refuses them, and what comes meanwhile is part of the next collection: nothing
//! is lost, and no more than one collection waits.

mod exporter;
mod provider;
#[cfg(test)]
mod tests;
mod totals;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::{
    canary::Outcome,
    config::{Form, Temporality},
    model::Model,
    names::Names,
    otlp::{
        encode::{Part, Subject},
        ledger::Added,
        measure::{Account, CanaryRuns, Exported, Own},
        resource::Host,
    },
};
use provider::Provider;
use totals::Totals;

/// What the agent tells of itself.
#[derive(Debug)]
pub struct Telemetry {
    host: Host,
    form: Form,
    totals: Arc<Mutex<Totals>>,
    /// `None` where it cannot be told.
    provider: Option<Provider>,
    skipped: u64,
    exported: Exported,
    /// Runs since the last interval; `None` before the first one.
    canary: Option<CanaryRuns>,
    /// Readings of each source of names that failed until the latest interval.
    name_failures: BTreeMap<&'static str, u64>,
    /// Collected, and taken by no receiver yet.
    collected: Option<Part>,
    /// How many collections there have been.
    collections: u64,
    /// Whether an interval came after the latest one.
    has_more: bool,
}

impl Telemetry {
    /// Nothing told yet by the agent on this host. Series begin now.
    pub fn new(host: Host, form: Form) -> Telemetry {
        let totals = Arc::default();
        Telemetry {
            provider: provider(&host, form, &totals),
            host,
            form,
            totals,
            skipped: 0,
            exported: Exported::default(),
            canary: None,
            name_failures: BTreeMap::new(),
            collected: None,
            collections: 0,
            has_more: false,
        }
    }

    /// Other series begin now. What did not come to an interval yet is theirs.
    pub fn begin_anew(&mut self, host: Host, form: Form) {
        let anew = Telemetry::new(host, form);
        *self = Telemetry {
            skipped: self.skipped,
            exported: self.exported,
            canary: self.canary,
            name_failures: std::mem::take(&mut self.name_failures),
            // A receiver may still answer for an old one.
            collections: self.collections,
            ..anew
        };
    }

    /// An interval could not be observed; its amounts are part of the next one.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// What was exported since counts with the next interval.
    pub fn count_exported(&mut self, change: impl FnOnce(&mut Exported)) {
        change(&mut self.exported);
    }

    /// A run of the canary counts with the next interval.
    pub fn count_canary(&mut self, outcome: Outcome) {
        let canary = self.canary.get_or_insert_default();
        canary.runs += 1;
        canary.sum.expected_ns += outcome.expected_ns;
        canary.sum.measured_ns += outcome.measured_ns;
        canary.sum.uncertain_ns += outcome.uncertain_ns;
    }

    /// Adds an interval, how sources of names fare, and what became of the ledger.
    pub fn add(&mut self, model: &Model, names: &Names, added: &Added) {
        if added.clock_was_set {
            // Points would be older than those before, or than their start.
            self.begin_anew(self.host.clone(), self.form);
        }
        let own = Own {
            skipped: std::mem::take(&mut self.skipped),
            refused: added.refused,
            culprits_refused: added.culprits_refused,
            entities: added.entities,
            series: added.series,
            failed_readings: self.failed_readings(names),
            canary: self.canary.as_mut().map(std::mem::take),
            exported: std::mem::take(&mut self.exported),
            has_deltas: self.form.temporality != Temporality::Cumulative,
        };
        let account = Account { model, own: &own };
        totals::lock(&self.totals).add(&account);
        self.has_more = true;
    }

    /// What is to be sent now; `None`: a receiver has it all.
    pub fn part(&mut self) -> Option<Part> {
        let is_kept = self.collected.is_some() && self.form.temporality == Temporality::Delta;
        if self.has_more && !is_kept {
            self.collect();
        }
        self.collected.clone()
    }

    /// A receiver has taken this collection, or never will.
    pub fn taken(&mut self, collection: u64) {
        let taken = Subject::Agent(collection);
        self.collected.take_if(|part| part.subject == taken);
    }

    /// Numbers of metrics, one for each series.
    pub fn series(&self) -> Vec<usize> {
        totals::lock(&self.totals).metrics().collect()
    }

    fn collect(&mut self) {
        let Some(provider) = &self.provider else {
            return;
        };
        match provider.collect() {
            Ok(metrics) => {
                self.collections += 1;
                let subject = Subject::Agent(self.collections);
                self.collected = metrics.map(|metrics| Part::new(subject, metrics));
                self.has_more = false;
            }
            Err(error) => {
                tracing::warn!(
                    "the agent's own metrics cannot be collected, all others are sent: {error}"
                );
            }
        }
    }

    /// Readings of sources of names that failed since the last interval.
    fn failed_readings(&mut self, names: &Names) -> Vec<(&'static str, u64)> {
        let sources = names.sources.iter().map(|source| {
            let failures = self.name_failures.insert(source.name, source.failures);
            let since = source.failures.saturating_sub(failures.unwrap_or(0));
            (source.name, since)
        });
        sources.collect()
    }
}

/// Without one the agent does all else.
fn provider(host: &Host, form: Form, totals: &Arc<Mutex<Totals>>) -> Option<Provider> {
    let provider = Provider::new(host, form, totals);
    let provider = provider.inspect_err(|error| {
        tracing::warn!("there are no metrics of the agent itself, all others are sent: {error}");
    });
    provider.ok()
}
