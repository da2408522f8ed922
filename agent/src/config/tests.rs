//! Each source, and which one counts.

use std::collections::HashMap;

use expect_test::{Expect, expect, expect_file};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Result<Layer, ConfigError> {
    let table: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    from_environment(&|name| table.get(name).cloned())
}

fn wrong(text: &str, expected: &Expect) {
    let error = file::parse("agent.yaml", text)
        .and_then(Layer::settle)
        .unwrap_err();
    expected.assert_eq(&error.to_string());
}

#[test]
fn errors_name_file_line_key_and_remedy() {
    wrong(
        "interval: 10s\nintervall: 5s\n",
        &expect![
            "agent.yaml:2: `intervall`: unknown field `intervall`, expected one of interval, shutdown_timeout, detail, limits, resource, service_name, kubelet, canary, events, culprit_names, backend, temporality, histograms, identity, history, export; docs/agent.md lists the keys and their values"
        ],
    );
    wrong(
        "export:\n  compression: zip\n",
        &expect![
            "agent.yaml:2: `compression`: unknown variant `zip`, expected one of gzip, none; docs/agent.md lists the keys and their values"
        ],
    );
    wrong(
        "export:\n  timeout: soon\n",
        &expect![
            "agent.yaml:2: `timeout`: `soon` is no length of time such as 10s or 1m30s, up to 24h; docs/agent.md lists the keys and their values"
        ],
    );
    wrong(
        "limits:\n  series: many\n",
        &expect![
            "agent.yaml:2: `series`: invalid u64; docs/agent.md lists the keys and their values"
        ],
    );
    wrong(
        "export: [\n",
        &expect![
            "agent.yaml:1: `export`: expected mapping start; docs/agent.md lists the keys and their values"
        ],
    );
    wrong(
        "export:\n  endpoint: collector\n",
        &expect![
            "export.endpoint: `collector/v1/metrics` is no address; give one such as http://collector:4318 or https://collector:4317"
        ],
    );
    wrong(
        "export:\n  tls:\n    cert_file: /c.pem\n",
        &expect!["export.tls.cert_file: it is set without `key_file`; set both, or neither"],
    );
    wrong(
        "export:\n  headers:\n    'a b': c\n",
        &expect![
            "export.headers: `a b` has a name or a value that no header can have; use visible ASCII characters"
        ],
    );
}

#[test]
fn all_keys_of_the_documented_example_are_known() {
    let text = include_str!("../../../docs/agent.md");
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let settings = file::parse("docs/agent.md", example)
        .unwrap()
        .settle()
        .unwrap();
    assert_eq!(settings.target.uri, "https://collector.example:4317");
    assert_eq!(settings.target.protocol, Protocol::Grpc);
}

#[test]
fn nothing_said_is_the_default() {
    let settings = file::parse("a", "# nothing\n").unwrap().settle().unwrap();
    assert_eq!(settings.target.uri, "http://localhost:4318/v1/metrics");
    assert_eq!(settings.interval, Duration::from_secs(10));
    assert_eq!(settings.target.compression, Compression::Gzip);
    let history = settings.history.unwrap();
    assert_eq!(history.path.as_os_str(), "/run/crosstalk/agent.sock");
    assert_eq!(history.group, None);
}

#[test]
fn the_past_is_told_where_and_to_whom_one_says() {
    let file = file::parse("a", "history: {socket: /run/c.sock, group: wheel}").unwrap();
    let none = environment(&[("CROSSTALK_HISTORY_SOCKET", "none")]).unwrap();
    let history = file.clone().settle().unwrap().history.unwrap();
    assert_eq!(history.path.as_os_str(), "/run/c.sock");
    assert_eq!(history.group.as_deref(), Some("wheel"));
    assert_eq!(none.over(file).settle().unwrap().history, None);
}

#[test]
fn the_environment_covers_the_file_and_flags_cover_both() {
    let file = file::parse(
        "a",
        "interval: 20s\nexport: {endpoint: 'http://file:1', timeout: 3s}",
    );
    let env = environment(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318/"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("CROSSTALK_INTERVAL", "30s"),
    ]);
    let flags = Layer {
        interval: Some(Time(Duration::from_secs(40))),
        ..Layer::default()
    };
    let settings = flags
        .over(env.unwrap())
        .over(file.unwrap())
        .settle()
        .unwrap();
    assert_eq!(settings.interval, Duration::from_secs(40));
    assert_eq!(settings.target.uri, "http://env:4318/v1/metrics");
    assert_eq!(settings.target.timeout, Duration::from_millis(1500));
}

#[test]
fn variables_of_metrics_come_before_those_of_all_signals() {
    let layer = environment(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://metrics:4318/here",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Basic%20abc, tenant=one",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "tenant=two"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", ""),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "k8s.cluster.name=prod,deployment.environment.name=a%2Cb",
        ),
    ]);
    let settings = layer.unwrap().settle().unwrap();
    assert_eq!(settings.target.uri, "http://metrics:4318/here");
    assert_eq!(settings.target.headers["authorization"], "Basic abc");
    assert_eq!(settings.target.headers["tenant"], "two");
    assert_eq!(settings.target.protocol, Protocol::Http);
    assert_eq!(settings.resource["deployment.environment.name"], "a,b");
}

#[test]
fn events_go_where_metrics_go_unless_more_is_said() {
    let settle = |variables: &[(&str, &str)]| {
        let file = file::parse("a", "export: {endpoint: 'http://file:1', timeout: 3s}").unwrap();
        environment(variables).unwrap().over(file).settle().unwrap()
    };
    let plain = settle(&[]);
    let events = plain.event_target.unwrap();
    assert_eq!(plain.target.uri, "http://file:1/v1/metrics");
    assert_eq!(events.uri, "http://file:1/v1/logs");
    let apart = settle(&[
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4317"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "tenant=logs"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "tenant=all,more=1"),
    ]);
    let events = apart.event_target.unwrap();
    assert_eq!(events.uri, "http://logs:4317");
    assert_eq!(events.protocol, Protocol::Grpc);
    assert_eq!(events.headers["tenant"], "logs");
    assert_eq!(events.headers["more"], "1");
    // What the file says of both holds for both.
    assert_eq!(events.timeout, Duration::from_secs(3));
    assert_eq!(apart.target.uri, "http://file:1/v1/metrics");
    assert_eq!(apart.target.headers["tenant"], "all");
    let flags = Layer {
        events: Some(false),
        ..Layer::default()
    };
    let env = environment(&[("CROSSTALK_EVENTS", "true")]).unwrap();
    assert!(flags.over(env).settle().unwrap().event_target.is_none());
}

#[test]
fn a_wrong_variable_is_named_and_a_secret_is_not_said() {
    let error = environment(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")]).unwrap_err();
    expect!["environment variable OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is no value for it; give milliseconds, such as 10000"].assert_eq(&error.to_string());
    let error = environment(&[("OTEL_EXPORTER_OTLP_HEADERS", "s3cret")]).unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    let error = environment(&[("CROSSTALK_EVENTS", "yes")]).unwrap_err();
    expect![
        "environment variable CROSSTALK_EVENTS: `yes` is no value for it; give one of true, false"
    ]
    .assert_eq(&error.to_string());
    let error = environment(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).unwrap_err();
    expect!["environment variable OTEL_EXPORTER_OTLP_PROTOCOL: `http/json` is no value for it; give one of http/protobuf, grpc"].assert_eq(&error.to_string());
}

#[test]
fn temporality_is_ours_or_the_preference_of_opentelemetry_in_any_case() {
    let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    let told = |variables: &[_]| environment(variables).map(|layer| layer.temporality);
    for (text, expected) in [
        ("cumulative", Temporality::Cumulative),
        ("Delta", Temporality::Delta),
        ("LowMemory", Temporality::LowMemory),
    ] {
        assert_eq!(told(&[(name, text)]), Ok(Some(expected)));
    }
    let ours = ("CROSSTALK_TEMPORALITY", "delta");
    assert_eq!(
        told(&[(name, "cumulative"), ours]),
        Ok(Some(Temporality::Delta))
    );
    let error = environment(&[(name, "stateless")]).unwrap_err();
    expect!["environment variable OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: `stateless` is no value for it; give one of cumulative, delta, lowmemory"].assert_eq(&error.to_string());
    let file = file::parse("a", "temporality: lowmemory")
        .unwrap()
        .settle()
        .unwrap();
    assert_eq!(file.form.temporality, Temporality::LowMemory);
    assert_eq!(Layer::default().settle().unwrap().form, Form::default());
}

/// Each with its form, and as the table of the documentation has it.
#[test]
fn each_backend_has_the_form_that_is_documented() {
    let documented = include_str!("../../../docs/agent.md");
    for (name, [temporality, histograms, identity]) in [
        ("prometheus", ["cumulative", "explicit", "points"]),
        ("victoriametrics", ["cumulative", "exponential", "resource"]),
        ("mimir", ["cumulative", "exponential", "points"]),
        ("datadog", ["delta", "exponential", "points"]),
        ("dynatrace", ["delta", "explicit", "points"]),
        ("clickhouse", ["cumulative", "explicit", "resource"]),
    ] {
        let row = format!("| `{name}` | `{temporality}` | `{histograms}` | `{identity}` |");
        assert!(documented.contains(&row), "no {row} in docs/agent.md");
        let each =
            format!("temporality: {temporality}\nhistograms: {histograms}\nidentity: {identity}");
        let each = file::parse("a", &each).unwrap().settle().unwrap();
        let file = file::parse("a", &format!("backend: {name}")).unwrap();
        assert_eq!(file.settle().unwrap().form, each.form, "{name}");
        let env = environment(&[("CROSSTALK_BACKEND", name)]).unwrap();
        assert_eq!(env.settle().unwrap().form, each.form, "{name}");
    }
    let rows = documented
        .lines()
        .filter(|line| line.contains("from documentation |"));
    assert_eq!(rows.count(), 5, "only VictoriaMetrics was tried");
}

#[test]
fn what_a_backend_says_is_covered_by_whoever_says_it_alone() {
    let flags = Layer {
        backend: Some(Backend::Dynatrace),
        ..Layer::default()
    };
    let env = environment(&[(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
    )]);
    let file = file::parse("a", "histograms: exponential").unwrap();
    let form = flags.over(env.unwrap()).over(file).settle().unwrap().form;
    let expected = Form {
        temporality: Temporality::Cumulative,
        histograms: Histograms::Exponential,
        identity: Identity::Points,
    };
    assert_eq!(form, expected);
}

#[test]
fn identity_is_on_the_resource_unless_points_are_to_have_it() {
    let env = environment(&[("CROSSTALK_IDENTITY", "points")]).unwrap();
    let file = file::parse("a", "identity: resource").unwrap();
    let identity = |layer: Layer| layer.settle().unwrap().form.identity;
    assert_eq!(identity(file.clone()), Identity::Resource);
    assert_eq!(identity(env.over(file)), Identity::Points);
    assert_eq!(identity(Layer::default()), Identity::Resource);
}

#[test]
fn histograms_have_the_names_of_opentelemetry_too() {
    let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
    let explicit = (name, "explicit_bucket_histogram");
    let told = |variables: &[_]| environment(variables).map(|layer| layer.histograms);
    assert_eq!(told(&[explicit]), Ok(Some(Histograms::Explicit)));
    let ours = ("CROSSTALK_HISTOGRAMS", "exponential");
    assert_eq!(told(&[explicit, ours]), Ok(Some(Histograms::Exponential)));
    let error = environment(&[(name, "summary")]).unwrap_err();
    assert!(
        error.to_string().contains("explicit_bucket_histogram"),
        "{error}"
    );
}

/// The schema of a file, as it is published: UPDATE_EXPECT=1 writes it anew.
fn schema() -> Value {
    let mut schema = schemars::schema_for!(Layer);
    schema.insert("title".into(), "Settings of crosstalk agent".into());
    schema.into()
}

#[test]
fn the_published_schema_is_that_of_the_settings() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    expect_file!["../../../docs/agent.schema.json"].assert_eq(&text);
}

#[test]
fn files_that_are_read_have_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let documented = include_str!("../../../docs/agent.md");
    let (_, rest) = documented.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    for text in [include_str!("../../../deploy/agent.yaml"), example] {
        let read = file::parse("agent.yaml", text).and_then(Layer::settle);
        assert!(read.is_ok(), "{read:?}");
        let value: Value = serde_saphyr::from_str(text).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&value).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    for wrong in ["intervall: 1s", "detail: much", "limits:\n  series: many"] {
        let value: Value = serde_saphyr::from_str(wrong).unwrap();
        assert!(!validator.is_valid(&value), "{wrong}");
        assert!(file::parse("agent.yaml", wrong).is_err(), "{wrong}");
    }
}

/// Lines that a file may have, right ones and others.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ ]{0,4}(interval|limits|series|export|tls|ca_file|events|x): ?(10s|7|true|\\{\\}|\\[|~|[a-z\"']{0,5})",
        "\\PC{0,20}",
    ]
}

proptest! {
    /// Whatever a file holds, there are settings or one sentence about it.
    #[test]
    fn any_text_is_settings_or_an_error(lines in prop::collection::vec(line(), 0..8)) {
        let text = lines.join("\n");
        if let Err(error) = file::parse("agent.yaml", &text).and_then(Layer::settle) {
            let told = error.to_string();
            prop_assert!(!told.contains('\n'), "{told:?}");
        }
    }
}
