//! What is collected, and when.

use std::{collections::BTreeMap, time::Duration};

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Metric, NumberDataPoint, metric::Data, number_data_point,
    },
};

use super::*;
use crate::{
    config::Identity,
    model::fixture::Scene,
    names::{SourceHealth, SourceState},
    otlp::{
        registry::{self, Kind, METRICS, SCOPE, SCOPE_VERSION, Source},
        resource::Resource,
    },
};

const SKIPPED: &str = "crosstalk.agent.intervals.skipped";
const TIME: &str = "crosstalk.agent.canary.time";
const COVERAGE: &str = "crosstalk.agent.coverage";

const NOTHING: Added = Added {
    entities: 2,
    series: 3,
    refused: 1,
    culprits_refused: 0,
    clock_was_set: false,
};

fn host() -> Host {
    Host {
        name: "web-1".into(),
        id: Some("3d12".into()),
        given: [("cluster".to_owned(), "c1".to_owned())].into(),
        service_name: None,
    }
}

fn telemetry(temporality: Temporality) -> Telemetry {
    let form = Form {
        temporality,
        ..Form::default()
    };
    Telemetry::new(host(), form)
}

/// An interval, in which the canary waited for so many milliseconds.
fn pass(own: &mut Telemetry, canary_ms: u64) {
    own.skip();
    own.count_canary(Outcome {
        expected_ns: canary_ms * 1_000_000,
        measured_ns: canary_ms * 1_000_000,
        uncertain_ns: 0,
    });
    own.add(&Scene::new(1).model(), &Names::default(), &NOTHING);
}

fn collection(part: &Part) -> u64 {
    match part.subject {
        Subject::Agent(collection) => collection,
        Subject::Entity(..) => panic!("{part:?}"),
    }
}

fn metrics(part: &Part) -> &[Metric] {
    let [scope] = part.metrics.scope_metrics.as_slice() else {
        panic!("{part:?}");
    };
    &scope.metrics
}

fn points(metric: &Metric) -> (&[NumberDataPoint], AggregationTemporality) {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => {
            assert!(sum.is_monotonic, "{}", metric.name);
            (&sum.data_points, sum.aggregation_temporality())
        }
        Data::Gauge(gauge) => (&gauge.data_points, AggregationTemporality::Unspecified),
        other => panic!("{other:?}"),
    }
}

fn pairs(attributes: &[KeyValue]) -> Resource {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    };
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone(), text(pair).unwrap()))
        .collect()
}

/// What a metric came to over all of its series; `None`: there is none.
fn sum(part: &Part, name: &str) -> Option<f64> {
    let metric = metrics(part).iter().find(|metric| metric.name == name)?;
    let values = points(metric)
        .0
        .iter()
        .map(|point| match point.value.unwrap() {
            number_data_point::Value::AsDouble(value) => value,
            number_data_point::Value::AsInt(value) => value as f64,
        });
    Some(values.sum())
}

/// Everything that an agent can tell of itself.
fn full() -> Telemetry {
    let mut own = telemetry(Temporality::Cumulative);
    let mut scene = Scene::new(1);
    scene.after.health.cost_runs = 10;
    scene.after.health.cost_ns = 10_000;
    scene.before.health.kernel_run_delay_ns = Some(0);
    scene.after.health.kernel_run_delay_ns = Some(1_000_000_000);
    let web = scene.cgroup(2, "/web.service");
    scene.waited(web, agent_ebpf::cause::Cause::SelfInflicted, 1.0, 0.001);
    let names = Names {
        sources: vec![SourceHealth {
            name: "pods_api",
            state: SourceState::Absent,
            failures: 3,
        }],
        ..Names::default()
    };
    own.count_canary(Outcome::default());
    own.add(&scene.model(), &names, &NOTHING);
    own
}

#[test]
fn each_metric_is_told_as_the_registry_says_and_each_total_is() {
    let mut own = full();
    let part = own.part().unwrap();
    let scope = part.metrics.scope_metrics[0].scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        (SCOPE, SCOPE_VERSION)
    );
    let resource = part.metrics.resource.as_ref().unwrap();
    assert_eq!(pairs(&resource.attributes), host().agent());
    let of_agent = METRICS
        .iter()
        .filter(|metric| matches!(metric.source, Source::Agent(_)));
    let names: Vec<&str> = of_agent.clone().map(|metric| metric.name).collect();
    let told: Vec<&str> = metrics(&part)
        .iter()
        .map(|metric| metric.name.as_str())
        .collect();
    // There are no deltas that a receiver may have counted twice.
    let lacking: Vec<_> = names.iter().filter(|name| !told.contains(name)).collect();
    assert_eq!(lacking, [&"crosstalk.agent.export.points.ambiguous"]);
    for metric in metrics(&part) {
        let registered = of_agent
            .clone()
            .find(|one| one.name == metric.name)
            .unwrap();
        let registry::Metric {
            unit, description, ..
        } = *registered;
        assert_eq!(
            (metric.unit.as_str(), metric.description.as_str()),
            (unit, description)
        );
        let (points, temporality) = points(metric);
        let kind = match temporality {
            AggregationTemporality::Cumulative => Kind::Counter,
            _ => Kind::Gauge,
        };
        assert_eq!(kind, registered.kind, "{}", metric.name);
        for point in points {
            let keys: Vec<String> = pairs(&point.attributes).into_keys().collect();
            assert_eq!(keys, registered.attributes, "{}", metric.name);
            let is_int = matches!(point.value, Some(number_data_point::Value::AsInt(_)));
            assert_eq!(
                is_int,
                kind == Kind::Counter && unit != "s",
                "{}",
                metric.name
            );
        }
    }
    assert_eq!(part.points, own.series().len() as u64);
    assert_eq!(sum(&part, "crosstalk.agent.series.refused"), Some(1.0));
    assert_eq!(sum(&part, "crosstalk.agent.names.failures"), Some(3.0));
}

#[test]
fn what_cannot_be_observed_has_no_series_and_a_gauge_only_while_it_has_a_value() {
    let mut own = full();
    assert!(sum(&own.part().unwrap(), COVERAGE).is_some());
    pass(&mut own, 0);
    assert_eq!(sum(&own.part().unwrap(), COVERAGE), None);
    let mut fresh = telemetry(Temporality::Cumulative);
    assert!(fresh.part().is_none());
    fresh.add(&Scene::new(1).model(), &Names::default(), &NOTHING);
    let part = fresh.part().unwrap();
    assert_eq!(sum(&part, TIME), None, "there is no canary");
    assert_eq!(sum(&part, SKIPPED), Some(0.0));
}

#[test]
fn cumulative_sends_the_newest_whatever_was_taken() {
    for temporality in [Temporality::Cumulative, Temporality::LowMemory] {
        let mut own = telemetry(temporality);
        pass(&mut own, 5);
        let first = own.part().unwrap();
        assert_eq!(
            own.part().unwrap().subject,
            first.subject,
            "nothing is newer"
        );
        pass(&mut own, 6);
        let second = own.part().unwrap();
        assert_eq!((second.deltas, sum(&second, SKIPPED)), (0, Some(2.0)));
        // Of both accounts.
        assert!((sum(&second, TIME).unwrap() - 0.022).abs() < 1e-12);
        own.taken(collection(&first));
        assert_eq!(own.part().unwrap().subject, second.subject);
        own.taken(collection(&second));
        assert!(own.part().is_none());
        let starts = |part: &Part| -> Vec<u64> {
            let counters = metrics(part).iter().map(points);
            let counters = counters.filter(|(_, of)| *of == AggregationTemporality::Cumulative);
            let points = counters.flat_map(|(points, _)| points);
            points.map(|point| point.start_time_unix_nano).collect()
        };
        let (before, after) = (starts(&first), starts(&second));
        assert!(
            !before.is_empty() && before == after,
            "the start of the agent stays"
        );
    }
}

#[test]
fn deltas_stay_until_they_are_taken_and_the_rest_comes_next() {
    let mut own = telemetry(Temporality::Delta);
    pass(&mut own, 5);
    let first = own.part().unwrap();
    assert!(first.deltas > 0);
    for _ in 0..3 {
        pass(&mut own, 6);
        let again = own.part().unwrap();
        assert_eq!(
            (&again.subject, &again.metrics),
            (&first.subject, &first.metrics)
        );
    }
    own.taken(collection(&first));
    let rest = own.part().unwrap();
    assert_eq!(sum(&rest, SKIPPED), Some(3.0));
    assert!((sum(&rest, TIME).unwrap() - 0.036).abs() < 1e-12);
    own.taken(collection(&first));
    assert_eq!(
        own.part().unwrap().subject,
        rest.subject,
        "that was another one"
    );
    own.taken(collection(&rest));
    assert!(own.part().is_none());
}

#[test]
fn series_that_begin_anew_have_what_came_to_no_interval_yet() {
    let mut own = telemetry(Temporality::Delta);
    pass(&mut own, 5);
    let old = own.part().unwrap();
    own.skip();
    own.begin_anew(host(), Form::default());
    assert!(own.part().is_none());
    pass(&mut own, 0);
    let new = own.part().unwrap();
    assert_eq!((new.deltas, sum(&new, SKIPPED)), (0, Some(2.0)));
    own.taken(collection(&old));
    assert_eq!(own.part().unwrap().subject, new.subject);
}

#[test]
fn a_clock_that_is_set_begins_all_series_anew() {
    let mut own = telemetry(Temporality::Cumulative);
    pass(&mut own, 5);
    let start = |own: &mut Telemetry| {
        let part = own.part().unwrap();
        let counter = metrics(&part).iter().find(|metric| metric.name == SKIPPED);
        points(counter.unwrap()).0[0].start_time_unix_nano
    };
    let before = start(&mut own);
    let added = Added {
        clock_was_set: true,
        ..NOTHING
    };
    own.add(&Scene::new(1).model(), &Names::default(), &added);
    assert!(start(&mut own) > before);
    assert_eq!(sum(&own.part().unwrap(), SKIPPED), Some(0.0));
}

#[test]
fn identity_is_on_the_points_where_that_is_wanted() {
    let form = Form {
        identity: Identity::Points,
        ..Form::default()
    };
    let mut own = Telemetry::new(host(), form);
    pass(&mut own, 5);
    let part = own.part().unwrap();
    let agent = host().agent();
    let identity: BTreeMap<String, String> = host()
        .identity(&agent)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(identity["cluster"], "c1");
    for point in metrics(&part).iter().flat_map(|metric| points(metric).0) {
        let told = pairs(&point.attributes);
        assert!(
            identity
                .iter()
                .all(|(key, value)| told.get(key) == Some(value))
        );
    }
}

#[test]
fn a_collection_takes_no_longer_than_its_work() {
    let mut own = telemetry(Temporality::Cumulative);
    let start = std::time::Instant::now();
    for _ in 0..100 {
        pass(&mut own, 1);
        assert!(own.part().is_some());
    }
    // A reader that waits for its next interval would take a minute for one.
    assert!(start.elapsed() < Duration::from_secs(30));
}
