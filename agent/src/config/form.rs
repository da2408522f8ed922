//! The form in which metrics are told, which is up to who receives them.

use serde::Deserialize;

/// The form in which metrics are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Since when sums and histograms count.
    pub temporality: Temporality,
    /// How histograms are told.
    pub histograms: Histograms,
    /// Where it is said whose a data point is.
    pub identity: Identity,
}

/// Since when sums and histograms count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Since a series began
    #[default]
    Cumulative,
    /// Since a receiver took them last
    Delta,
    /// Histograms since a receiver took them last, sums since a series began
    #[value(name = "lowmemory")]
    LowMemory,
}

/// How histograms are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Histograms {
    /// As exponential ones
    #[default]
    Exponential,
    /// With bounds at powers of two, for receivers that know no others
    Explicit,
}

/// Where it is said whose a data point is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// On its Resource
    #[default]
    Resource,
    /// On each point too, for receivers that drop attributes of Resources
    Points,
}

/// Who keeps the metrics: gives the form a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Prometheus
    Prometheus,
    /// VictoriaMetrics
    #[value(name = "victoriametrics")]
    VictoriaMetrics,
    /// Grafana Mimir
    Mimir,
    /// Datadog
    Datadog,
    /// Dynatrace
    Dynatrace,
    /// ClickHouse, through a collector
    #[value(name = "clickhouse")]
    ClickHouse,
}

impl Backend {
    /// The form that it takes and keeps best.
    pub fn form(self) -> Form {
        let (temporality, histograms, identity) = match self {
            // Exponential histograms are refused where native ones are not turned on.
            Backend::Prometheus => (
                Temporality::Cumulative,
                Histograms::Explicit,
                Identity::Points,
            ),
            Backend::VictoriaMetrics => (
                Temporality::Cumulative,
                Histograms::Exponential,
                Identity::Resource,
            ),
            Backend::Mimir => (
                Temporality::Cumulative,
                Histograms::Exponential,
                Identity::Points,
            ),
            Backend::Datadog => (
                Temporality::Delta,
                Histograms::Exponential,
                Identity::Points,
            ),
            // It drops the buckets of exponential histograms.
            Backend::Dynatrace => (Temporality::Delta, Histograms::Explicit, Identity::Points),
            Backend::ClickHouse => (
                Temporality::Cumulative,
                Histograms::Explicit,
                Identity::Resource,
            ),
        };
        Form {
            temporality,
            histograms,
            identity,
        }
    }
}
