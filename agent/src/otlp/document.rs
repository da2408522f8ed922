//! `docs/metrics.md`, made from the registry.

use std::fmt::Write as _;

use crate::otlp::registry::{Kind, METRICS, Source, Tier};

const HEAD: &str = "\
# Metrics

What `crosstalk agent` exports over OTLP. Made from the registry in `agent/src/otlp/registry.rs`: \
after a change there run `UPDATE_EXPECT=1 cargo test -p crosstalk metrics_are_documented`.

Counters and histograms are cumulative by default. Histograms are exponential with scale 2, a bucket 19 % \
wide. A series begins at 0 with the interval in which there is something to count, so its first \
amount is an increase; one that a host cannot observe does not exist. When a container, service or \
cgroup is gone (some two minutes later, when it is sure not to come back), its series end with the \
flag \"no recorded value\".

With `temporality: delta` (see [the agent](agent.md#temporality)) a point of a counter or histogram \
has what came since the last one that the receiver took. There is none where nothing came, and \
neither a 0 at the beginning nor a flag at the end. Gauges are the same.

The agent's own metrics are made by OpenTelemetry's SDK: their series begin with the agent, without \
a 0 to begin with, and a delta of each is told at each interval, also where nothing came.

Who has a metric: *all* that have something to count; *affected*: who once lost 1 % of the CPU \
time it wanted or 10 ms/s to others, or waited 10 ms/s for disks, from then on (`detail: all` gives \
it to everybody); *extra*: with `detail: extra`.

Each entity has a Resource of its own: `host.name`, `host.id`, `crosstalk.entity.kind`, \
`crosstalk.entity.name`, `crosstalk.cgroup.path`, `service.instance.id`, and where they are known \
`container.id`, `container.runtime.name` and `k8s.pod.uid`. What is told of all of the host has \
the Resource of its root cgroup. All metrics are in development: names may change.

With `culprit_names` (see [the agent](agent.md)) other than `full`, `crosstalk.culprit.name` is a \
hash or absent, or `crosstalk.culprit.k8s.namespace.name` takes its place.

";

/// The document.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    text.push_str("| Metric | Kind, unit | Attributes | Who | |\n|---|---|---|---|---|\n");
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            Kind::Gauge => "gauge",
        };
        let attributes: Vec<String> = metric
            .attributes
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let who = match metric.tier {
            _ if matches!(metric.source, Source::Agent(_)) => "the agent",
            _ if matches!(metric.source, Source::Host(_)) => "the host",
            Tier::All => "all",
            Tier::Affected => "affected",
            Tier::Extra => "extra",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {kind}, {} | {} | {who} | {} |",
            metric.name,
            metric.unit,
            attributes.join(", "),
            metric.description,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn metrics_are_documented() {
        expect_file!["../../../docs/metrics.md"].assert_eq(&markdown());
    }

    #[test]
    fn names_are_unique_and_all_is_said() {
        let names: std::collections::BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("crosstalk."), "{}", metric.name);
            assert!(metric.description.ends_with('.'), "{}", metric.name);
        }
    }
}
