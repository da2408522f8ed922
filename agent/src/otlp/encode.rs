//! From the ledger to OTLP.

mod point;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, Gauge, Histogram, Metric, ResourceMetrics,
        ScopeMetrics, Sum, metric::Data,
    },
    resource,
};

use crate::{
    config::{Form, Histograms, Identity},
    otlp::{
        amount::Amount,
        ledger::{Entity, Ledger, Life, Told, Whose},
        registry::{Kind, METRICS, SCOPE, SCOPE_VERSION},
        resource::Resource,
    },
};

/// Whose part of a request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An entity's, as far as it is told.
    Entity(Whose, Told),
    /// The agent's own, by the number of the collection.
    Agent(u64),
}

impl Subject {
    /// Whether it is this entity.
    pub fn is_of(&self, whose: &Whose) -> bool {
        matches!(self, Subject::Entity(own, _) if own == whose)
    }

    /// Whether it may be told otherwise next time: not of those who are gone, nor what was collected.
    pub fn may_change(&self) -> bool {
        matches!(self, Subject::Entity(_, told) if told.life == Life::Alive)
    }
}

/// Metrics of one Resource, ready to be sent.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whose it is.
    pub subject: Subject,
    /// How many data points.
    pub points: u64,
    /// Of these, deltas.
    pub deltas: u64,
    /// Its series.
    pub metrics: ResourceMetrics,
}

impl Part {
    /// These metrics.
    pub fn new(subject: Subject, metrics: ResourceMetrics) -> Part {
        let mut part = Part {
            subject,
            points: 0,
            deltas: 0,
            metrics,
        };
        let scopes = part.metrics.scope_metrics.iter();
        for data in scopes
            .flat_map(|scope| &scope.metrics)
            .filter_map(|metric| metric.data.as_ref())
        {
            let (points, temporality) = extent(data);
            part.points += points;
            if temporality == AggregationTemporality::Delta {
                part.deltas += points;
            }
        }
        part
    }
}

/// How many points there are, and since when they count.
fn extent(data: &Data) -> (u64, AggregationTemporality) {
    let (points, temporality) = match data {
        Data::Sum(sum) => (sum.data_points.len(), sum.aggregation_temporality()),
        Data::Histogram(histogram) => (
            histogram.data_points.len(),
            histogram.aggregation_temporality(),
        ),
        Data::ExponentialHistogram(histogram) => (
            histogram.data_points.len(),
            histogram.aggregation_temporality(),
        ),
        Data::Gauge(gauge) => (gauge.data_points.len(), AggregationTemporality::Unspecified),
        Data::Summary(summary) => (
            summary.data_points.len(),
            AggregationTemporality::Unspecified,
        ),
    };
    (points as u64, temporality)
}

/// Everything that there is to tell at present, by entity.
pub fn parts(ledger: &Ledger) -> impl Iterator<Item = Part> {
    parts_of(ledger, |_| true)
}

/// The same of those who are wanted.
pub fn parts_of(ledger: &Ledger, is_wanted: impl Fn(&Whose) -> bool) -> impl Iterator<Item = Part> {
    let entities = ledger.entities();
    entities
        .filter(move |(whose, entity)| is_wanted(whose) && entity.is_due(ledger.now()))
        .map(|(whose, entity)| part(whose, entity, ledger))
}

/// A request that holds these entities.
pub fn request(parts: impl IntoIterator<Item = ResourceMetrics>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: parts.into_iter().collect(),
    }
}

fn part(whose: &Whose, entity: &Entity, ledger: &Ledger) -> Part {
    let now = ledger.now();
    let mut metrics: Vec<Metric> = Vec::new();
    let identity: Vec<KeyValue> = match ledger.form().identity {
        Identity::Resource => Vec::new(),
        Identity::Points => {
            let identity = ledger.host().identity(&entity.resource);
            identity.map(|(key, value)| pair(key, value)).collect()
        }
    };
    let mut latest = None;
    for (number, attributes, series) in entity.told() {
        if latest != Some(number) {
            metrics.push(empty(number, ledger.form()));
            latest = Some(number);
        }
        let data = metrics.last_mut().and_then(|metric| metric.data.as_mut());
        let own = attributes.iter().map(|(key, value)| pair(key, value));
        // No key may be there twice.
        let is_free = |pair: &&KeyValue| attributes.iter().all(|(key, _)| *key != pair.key);
        let attributes: Vec<KeyValue> = identity
            .iter()
            .filter(is_free)
            .cloned()
            .chain(own)
            .collect();
        if let Some(data) = data {
            let is_delta = entity.is_delta(number);
            let when = point::When::new(entity, series, now);
            let birth = when.birth(series).filter(|_| !is_delta);
            let told = birth.into_iter().chain([(when, series.total.clone())]);
            for (when, amount) in told {
                add(data, &attributes, when, &amount);
            }
        }
    }
    let told = Told {
        entity: entity.number,
        now,
        life: entity.life,
    };
    let metrics = ResourceMetrics {
        resource: Some(of(&entity.resource)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(InstrumentationScope {
                name: SCOPE.into(),
                version: SCOPE_VERSION.into(),
                ..InstrumentationScope::default()
            }),
            metrics,
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    Part::new(Subject::Entity(whose.clone(), told), metrics)
}

/// Adds a point.
fn add(data: &mut Data, attributes: &[KeyValue], when: point::When, amount: &Amount) {
    match data {
        Data::Sum(sum) => sum
            .data_points
            .extend(point::number(attributes, when, amount)),
        Data::Gauge(gauge) => gauge
            .data_points
            .extend(point::number(attributes, when, amount)),
        Data::ExponentialHistogram(histogram) => histogram
            .data_points
            .extend(point::histogram(attributes, when, amount)),
        Data::Histogram(histogram) => histogram
            .data_points
            .extend(point::explicit_histogram(attributes, when, amount)),
        Data::Summary(_) => {}
    }
}

fn empty(number: usize, form: Form) -> Metric {
    let metric = &METRICS[number];
    let is_delta = metric.kind.is_delta(form.temporality);
    let aggregation_temporality = if is_delta {
        AggregationTemporality::Delta
    } else {
        AggregationTemporality::Cumulative
    };
    let aggregation_temporality = aggregation_temporality.into();
    Metric {
        name: metric.name.into(),
        description: metric.description.into(),
        unit: metric.unit.into(),
        data: Some(match metric.kind {
            Kind::Counter => Data::Sum(Sum {
                aggregation_temporality,
                is_monotonic: true,
                ..Sum::default()
            }),
            Kind::Histogram if form.histograms == Histograms::Explicit => {
                Data::Histogram(Histogram {
                    aggregation_temporality,
                    ..Histogram::default()
                })
            }
            Kind::Histogram => Data::ExponentialHistogram(ExponentialHistogram {
                aggregation_temporality,
                ..ExponentialHistogram::default()
            }),
            Kind::Gauge => Data::Gauge(Gauge::default()),
        }),
        ..Metric::default()
    }
}

/// A Resource.
pub(super) fn of(attributes: &Resource) -> resource::v1::Resource {
    resource::v1::Resource {
        attributes: attributes
            .iter()
            .map(|(key, value)| pair(key, value))
            .collect(),
        ..resource::v1::Resource::default()
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}
