//! What OTLP metrics say: series by entity, as a backend would keep them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, metric::Data, number_data_point::Value as Number,
};

/// Attributes by name.
pub type Attributes = BTreeMap<String, String>;

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Attributes of its Resource.
    pub resource: Attributes,
    /// Its metric.
    pub metric: String,
    /// Its own attributes.
    pub attributes: Attributes,
    /// Whether it tells what came since the point before.
    pub is_delta: bool,
    /// Since when it counts.
    pub start: u64,
    /// When it was so.
    pub at: u64,
    /// A number, or the sum of a histogram; `None`: there is no value any more.
    pub value: Option<f64>,
    /// How many values a histogram holds.
    pub count: u64,
    /// Values in the buckets of a histogram.
    pub in_buckets: u64,
}

/// How many data points a request holds.
pub fn count(request: &ExportMetricsServiceRequest) -> u64 {
    points(request).len() as u64
}

/// All points of a request.
pub fn points(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let mut points = Vec::new();
    for of in &request.resource_metrics {
        let resource = of.resource.as_ref().expect("each has a Resource");
        let resource = attributes(&resource.attributes);
        for metric in of.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            points.extend(points_of(metric, &resource));
        }
    }
    points
}

/// Points of series of one metric and of the entity with this cgroup path, in the order of requests.
pub fn of_entity(requests: &[ExportMetricsServiceRequest], path: &str, metric: &str) -> Vec<Point> {
    let all = requests.iter().flat_map(points);
    all.filter(|point| {
        let of = point
            .resource
            .get("crosstalk.cgroup.path")
            .map(String::as_str);
        of == Some(path) && point.metric == metric
    })
    .collect()
}

/// What each series came to, added up: its latest value, or all of its deltas; 0 where there is none.
pub fn total(points: &[Point], wanted: impl Fn(&Attributes) -> bool) -> f64 {
    let mut totals: BTreeMap<&Attributes, f64> = BTreeMap::new();
    for point in points.iter().filter(|point| wanted(&point.attributes)) {
        let Some(value) = point.value else { continue };
        let total = totals.entry(&point.attributes).or_default();
        *total = if point.is_delta {
            *total + value
        } else {
            value
        };
    }
    totals.values().sum()
}

fn points_of(metric: &Metric, resource: &Attributes) -> Vec<Point> {
    let data = metric.data.as_ref().expect("each metric has data");
    let is_delta = match data {
        Data::Sum(sum) => is_delta(sum.aggregation_temporality()),
        Data::ExponentialHistogram(histogram) => is_delta(histogram.aggregation_temporality()),
        _ => false,
    };
    let point = |own: &[KeyValue], start, at, value| Point {
        resource: resource.clone(),
        metric: metric.name.clone(),
        attributes: attributes(own),
        is_delta,
        start,
        at,
        value,
        count: 0,
        in_buckets: 0,
    };
    match data {
        Data::Gauge(gauge) => numbers(&gauge.data_points, point),
        Data::Sum(sum) => {
            assert!(sum.is_monotonic);
            numbers(&sum.data_points, point)
        }
        Data::ExponentialHistogram(histogram) => {
            let points = histogram.data_points.iter();
            let convert =
                |p: &opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint| {
                    Point {
                        count: p.count,
                        in_buckets: p.zero_count
                            + p.positive
                                .iter()
                                .flat_map(|b| &b.bucket_counts)
                                .sum::<u64>(),
                        ..point(
                            &p.attributes,
                            p.start_time_unix_nano,
                            p.time_unix_nano,
                            p.sum.filter(|_| p.flags == 0),
                        )
                    }
                };
            points.map(convert).collect()
        }
        other => panic!("the agent sends no {other:?}"),
    }
}

fn is_delta(temporality: AggregationTemporality) -> bool {
    match temporality {
        AggregationTemporality::Delta => true,
        AggregationTemporality::Cumulative => false,
        AggregationTemporality::Unspecified => panic!("what it counts since is not said"),
    }
}

fn numbers(
    points: &[opentelemetry_proto::tonic::metrics::v1::NumberDataPoint],
    point: impl Fn(&[KeyValue], u64, u64, Option<f64>) -> Point,
) -> Vec<Point> {
    let points = points.iter().map(|p| {
        let value = p.value.map(|value| match value {
            Number::AsDouble(value) => value,
            Number::AsInt(value) => value as f64,
        });
        assert_eq!(value.is_none(), p.flags == 1, "no value, and no word of it");
        point(
            &p.attributes,
            p.start_time_unix_nano,
            p.time_unix_nano,
            value,
        )
    });
    points.collect()
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    let pairs = pairs.iter().map(|pair| {
        let value = pair.value.as_ref().and_then(|value| value.value.clone());
        let Some(Value::StringValue(value)) = value else {
            panic!("{} is no text", pair.key);
        };
        (pair.key.clone(), value)
    });
    pairs.collect()
}
