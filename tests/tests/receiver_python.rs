//! Another implementation of the messages reads in them what ours does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tests::agent::Agent;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::load::{Load, spinner};
use tests::metrics::{self, Attributes, Point};
use tests::receiver::python;
use tests::sink::{Protocol, Sink};

#[test]
fn python_reads_the_same_points() {
    let sink = Sink::start(Protocol::Http, &[]);
    let endpoint = sink.endpoint();
    let agent = Agent::start(&["--interval", "1s", "--endpoint", &endpoint]);
    let groups = [Cgroup::new(), Cgroup::new()].map(|group| group.expect("a cgroup"));
    let mut loads: Vec<Load> = groups
        .iter()
        .map(|group| spinner(group, Duration::from_secs(3)))
        .collect();
    loads.iter_mut().for_each(Load::go);
    for load in &mut loads {
        load.wait_done().expect("the load ends");
    }
    agent.terminate().exported();
    let received = sink.received();
    assert!(received.iter().all(|one| one.is_compressed == Some(true)));
    let bodies = received.iter().filter_map(|one| one.body.clone());
    let decoded = match python::decode(&bodies.collect::<Vec<_>>()) {
        Ok(decoded) => decoded,
        Err(capability) => return unsupported("python_reads_the_same_points", &capability),
    };
    assert_eq!(decoded.len(), received.len());

    let mut sums = BTreeMap::<String, f64>::new();
    let mut histograms = 0;
    for (theirs, ours) in decoded.iter().zip(&received) {
        let points = points(theirs);
        assert_eq!(points, metrics::points(&ours.request));
        for point in points {
            *sums.entry(point.metric).or_default() += point.value.unwrap_or(0.0);
        }
        histograms += check_histograms(theirs);
    }
    let told: BTreeSet<&str> = sums.keys().map(String::as_str).collect();
    for metric in [
        "crosstalk.cpu.run.time",
        "crosstalk.cpu.wait.time",
        "crosstalk.cpu.interference.time",
        "crosstalk.cpu.runqueue.delay",
    ] {
        assert!(sums.get(metric) > Some(&0.0), "{metric} among {told:?}");
    }
    assert!(histograms > 0);
}

/// All points of a request, in its order.
fn points(request: &Value) -> Vec<Point> {
    let mut points = Vec::new();
    for of in list(&request["resourceMetrics"]) {
        let resource = attributes(&of["resource"]);
        for metric in metrics_of(of) {
            let (kind, data) = data(metric);
            let mut convert = |point| points.push(point_of(metric, kind, &resource, point));
            list(&data["dataPoints"]).iter().for_each(&mut convert);
        }
    }
    points
}

fn point_of(metric: &Value, kind: &str, resource: &Attributes, point: &Value) -> Point {
    let is_histogram = kind == "exponentialHistogram";
    let number = match (&point["asInt"], &point["asDouble"], &point["sum"]) {
        (Value::String(text), ..) => text.parse().ok(),
        (_, Value::Number(value), _) | (_, _, Value::Number(value)) => value.as_f64(),
        _ => None,
    };
    Point {
        resource: resource.clone(),
        metric: text(&metric["name"]).to_owned(),
        attributes: attributes(point),
        is_delta: data(metric).1["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_DELTA",
        start: count(&point["startTimeUnixNano"]),
        at: count(&point["timeUnixNano"]),
        value: number.filter(|_| point["flags"].as_u64().unwrap_or(0) == 0),
        count: count(&point["count"]),
        in_buckets: if is_histogram { in_buckets(point) } else { 0 },
    }
}

/// Checks what all histograms of a request have in common, and returns how many of them hold something.
fn check_histograms(request: &Value) -> usize {
    let metrics = list(&request["resourceMetrics"])
        .iter()
        .flat_map(metrics_of);
    let histograms = metrics
        .map(data)
        .filter(|(kind, _)| *kind == "exponentialHistogram");
    let points = histograms.flat_map(|(_, data)| {
        let temporality = &data["aggregationTemporality"];
        assert_eq!(*temporality, "AGGREGATION_TEMPORALITY_CUMULATIVE");
        list(&data["dataPoints"])
    });
    let filled = points.filter(|point| {
        assert_eq!(point["scale"], 2, "{point}");
        assert_eq!(count(&point["count"]), in_buckets(point), "{point}");
        count(&point["count"]) > 0
    });
    filled.count()
}

fn in_buckets(point: &Value) -> u64 {
    let positive = list(&point["positive"]["bucketCounts"]).iter();
    count(&point["zeroCount"]) + positive.map(count).sum::<u64>()
}

fn metrics_of(resource: &Value) -> impl Iterator<Item = &Value> {
    let scopes = list(&resource["scopeMetrics"]).iter();
    scopes.flat_map(|scope| list(&scope["metrics"]))
}

/// Kind and content.
fn data(metric: &Value) -> (&str, &Value) {
    let fields = metric.as_object().expect("an object").iter();
    let mut kinds = fields.filter(|(_, value)| value.is_object());
    let (kind, data) = kinds.next().expect("each metric has data");
    (kind, data)
}

fn attributes(of: &Value) -> Attributes {
    let pairs = list(&of["attributes"]).iter();
    let pair = |pair: &Value| {
        let (key, value) = (text(&pair["key"]), text(&pair["value"]["stringValue"]));
        (key.to_owned(), value.to_owned())
    };
    pairs.map(pair).collect()
}

/// A list that is empty is left out.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// 64-bit integers are text in the JSON of protobuf, and 0 is left out.
fn count(value: &Value) -> u64 {
    value
        .as_str()
        .map_or(0, |text| text.parse().expect("a number"))
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}
