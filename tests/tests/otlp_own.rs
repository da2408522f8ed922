//! The agent's own metrics, which OpenTelemetry's SDK makes, go the way of all others.

use std::time::Duration;

use tests::agent::Agent;
use tests::metrics::{self, Point};
use tests::report::crosstalk;
use tests::sink::{Protocol, Received, Reply, Sink};

const SEEN: &str = "crosstalk.agent.switches.seen";
const REQUESTS: &str = "crosstalk.agent.export.requests";

/// Points of one metric, in the order of requests that were taken.
fn told(sink: &Sink, metric: &str) -> Vec<Point> {
    let all = sink.accepted();
    let points = all.iter().flat_map(metrics::points);
    points.filter(|point| point.metric == metric).collect()
}

/// How many Resources of a request have metrics of the agent.
fn own(received: &Received) -> usize {
    let resources = received.request.resource_metrics.iter();
    let of_agent = resources.filter(|of| {
        let mut metrics = of.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        metrics.any(|metric| metric.name == SEEN)
    });
    of_agent.count()
}

#[test]
fn variables_that_are_for_receivers_do_not_reach_the_sdk() {
    let sink = Sink::start(Protocol::Grpc, &[]);
    let bystander = Sink::start(Protocol::Http, &[]);
    let mut command = crosstalk(&["agent", "--interval", "1s"]);
    command.args(["--endpoint", &sink.endpoint(), "--protocol", "grpc"]);
    let there = format!("{}/v1/metrics", bystander.endpoint());
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", bystander.endpoint().as_str()),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", there.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=agents,team=a"),
    ] {
        command.env(name, value);
    }
    let agent = Agent::run(&mut command);
    sink.wait("three requests", |received| received.len() >= 3);
    agent.terminate();
    for received in sink.received() {
        assert_eq!(own(&received), 1, "each request has them once");
        assert_eq!(received.tenant.as_deref(), Some("one"));
    }
    for point in told(&sink, SEEN) {
        assert!(point.is_delta, "{point:?}");
        assert_eq!(point.resource["service.name"], "agents");
        assert_eq!(point.resource["team"], "a");
        assert!(point.attributes.is_empty());
    }
    assert!(bystander.received().is_empty());
}

#[test]
fn deltas_of_the_agent_outlast_an_outage_and_the_last_export_has_the_rest() {
    let sink = Sink::start(Protocol::Http, &[Reply::Accept]);
    sink.then(Reply::Unavailable);
    let endpoint = sink.endpoint();
    let args = ["--interval", "1s", "--temporality", "delta"];
    let agent = Agent::start(&[&args[..], &["--endpoint", &endpoint]].concat());
    sink.wait("some tries", |received| received.len() >= 4);
    // Intervals that come while a collection waits.
    std::thread::sleep(Duration::from_secs(2));
    sink.then(Reply::Accept);
    let exported = agent.terminate().exported();
    let seen = told(&sink, SEEN);
    for (point, next) in seen.iter().zip(&seen[1..]) {
        assert_eq!(point.at, next.start, "a time is lost or counted twice");
    }
    let all = sink.received();
    let last = all.iter().rfind(|received| own(received) > 0);
    let last = last.expect("the agent tells of itself");
    assert!(last.reply.is_accepted(), "{:?}", last.reply);
    // All requests that failed before the last collection are in it.
    let failed = metrics::total(&told(&sink, REQUESTS), |attributes| {
        attributes["crosstalk.outcome"] == "failed"
    });
    assert!(exported.failed >= 3, "{exported:?}");
    assert!(
        failed >= 3.0 && failed <= exported.failed as f64,
        "{failed} of {} are told",
        exported.failed
    );
}

#[test]
fn other_settings_make_another_provider() {
    let sink = Sink::start(Protocol::Http, &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent.yaml");
    let settings = |more: &str| {
        let endpoint = sink.endpoint();
        let text = format!("interval: 1s\n{more}export:\n  endpoint: {endpoint}\n");
        std::fs::write(&path, text).expect("a file");
    };
    settings("");
    let file = path.display().to_string();
    let agent = Agent::start(&["--config", &file]);
    sink.wait("a request", |received| !received.is_empty());
    settings("temporality: delta\nresource:\n  team: a\n");
    agent.hang_up();
    let is_another = |received: &Received| {
        let points = metrics::points(&received.request);
        let mut own = points.iter().filter(|point| point.metric == SEEN);
        own.any(|point| point.resource.contains_key("team"))
    };
    sink.wait("the other Resource", |received| {
        received.iter().any(is_another)
    });
    agent.terminate();
    let points = told(&sink, SEEN);
    let (old, new): (Vec<_>, Vec<_>) = points
        .into_iter()
        .partition(|point| !point.resource.contains_key("team"));
    assert!(
        old.iter()
            .all(|point| !point.is_delta && point.start == old[0].start)
    );
    let end = old.last().expect("it was told before").at;
    assert!(new.iter().all(|point| point.is_delta && point.start >= end));
}
