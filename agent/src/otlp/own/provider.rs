//! OpenTelemetry's SDK, with an instrument for each metric of the agent.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider as _},
};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::{PeriodicReader, SdkMeterProvider},
};

use super::{
    exporter::{Inbox, exporter},
    totals::{self, Totals},
};
use crate::{
    config::{Form, Identity},
    otlp::{
        amount::{Amount, Attributes},
        registry::{Kind, METRICS, Metric, SCOPE, SCOPE_VERSION, Source},
        resource::Host,
    },
};

/// Collects when it is asked to.
#[derive(Debug)]
pub(super) struct Provider {
    sdk: SdkMeterProvider,
    inbox: Arc<Inbox>,
}

impl Provider {
    /// Series begin now. Starts a thread, which sleeps until something is collected.
    pub(super) fn new(
        host: &Host,
        form: Form,
        totals: &Arc<Mutex<Totals>>,
    ) -> Result<Provider, ExporterBuildError> {
        let inbox = Arc::default();
        let exporter = exporter(&inbox, form.temporality)?;
        let reader = PeriodicReader::builder(exporter).with_interval(Duration::MAX);
        let resource = host.agent();
        let identity: Vec<KeyValue> = match form.identity {
            Identity::Resource => Vec::new(),
            Identity::Points => host.identity(&resource).map(pair).collect(),
        };
        let resource = resource.iter().map(|(k, v)| pair((k, v)));
        let resource = Resource::builder_empty().with_attributes(resource);
        let sdk = SdkMeterProvider::builder()
            .with_resource(resource.build())
            .with_reader(reader.build())
            .build();
        let scope = InstrumentationScope::builder(SCOPE).with_version(SCOPE_VERSION);
        let meter = sdk.meter_with_scope(scope.build());
        for (number, metric) in METRICS.iter().enumerate() {
            if matches!(metric.source, Source::Agent(_)) {
                let series = Series {
                    metric: number,
                    identity: identity_beside(&identity, metric),
                    totals: Arc::clone(totals),
                };
                series.observe_with(&meter, metric);
            }
        }
        Ok(Provider { sdk, inbox })
    }

    /// What there is to tell; `None`: there is no series yet.
    pub(super) fn collect(&self) -> Result<Option<ResourceMetrics>, OTelSdkError> {
        self.sdk.force_flush()?;
        Ok(self.inbox.take().pop())
    }
}

/// The series of one metric, for its instrument to ask.
struct Series {
    metric: usize,
    identity: Vec<KeyValue>,
    totals: Arc<Mutex<Totals>>,
}

impl Series {
    /// Makes the instrument; the SDK keeps what it asks.
    fn observe_with(self, meter: &Meter, metric: &'static Metric) {
        let Metric {
            name,
            unit,
            description,
            ..
        } = *metric;
        match (metric.kind, unit) {
            (Kind::Gauge, _) => drop(
                meter
                    .f64_observable_gauge(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |gauge| self.tell(gauge, level))
                    .build(),
            ),
            (_, "s") => drop(
                meter
                    .f64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |counter| self.tell(counter, seconds))
                    .build(),
            ),
            _ => drop(
                meter
                    .u64_observable_counter(name)
                    .with_unit(unit)
                    .with_description(description)
                    .with_callback(move |counter| self.tell(counter, count))
                    .build(),
            ),
        }
    }

    fn tell<T>(&self, instrument: &dyn AsyncInstrument<T>, value: fn(&Amount) -> Option<T>) {
        for (attributes, total) in totals::lock(&self.totals).of(self.metric) {
            if let Some(value) = value(total) {
                instrument.observe(value, &self.with_identity(attributes));
            }
        }
    }

    fn with_identity(&self, attributes: &Attributes) -> Vec<KeyValue> {
        let own = attributes.iter().map(|(k, v)| pair((k, v)));
        self.identity.iter().cloned().chain(own).collect()
    }
}

/// No key may be there twice.
fn identity_beside(identity: &[KeyValue], metric: &Metric) -> Vec<KeyValue> {
    let is_free = |pair: &&KeyValue| !metric.attributes.contains(&pair.key.as_str());
    identity.iter().filter(is_free).cloned().collect()
}

fn pair((key, value): (impl AsRef<str>, impl AsRef<str>)) -> KeyValue {
    KeyValue::new(key.as_ref().to_owned(), value.as_ref().to_owned())
}

fn count(total: &Amount) -> Option<u64> {
    match total {
        Amount::Count(count) => Some(*count),
        _ => None,
    }
}

fn seconds(total: &Amount) -> Option<f64> {
    total.ns().map(|ns| ns as f64 / 1e9)
}

fn level(total: &Amount) -> Option<f64> {
    match total {
        Amount::Level(level) => Some(*level),
        _ => None,
    }
}
