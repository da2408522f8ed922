//! The keys of a configuration, each of which may be absent.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Backend, Histograms, Identity, Temporality};

/// One source of settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Between exports.
    pub interval: Option<Time>,
    /// How long the end may take.
    pub shutdown_timeout: Option<Time>,
    /// For whom there are the costly metrics.
    pub detail: Option<Detail>,
    /// Bounds.
    pub limits: Most,
    /// Attributes of all Resources.
    pub resource: BTreeMap<String, String>,
    /// The name of the agent's own service.
    pub service_name: Option<String>,
    /// The kubelet to ask for names.
    pub kubelet: Option<String>,
    /// Between runs of the canary; absent: none.
    pub canary: Option<Time>,
    /// Whether events are sent.
    pub events: Option<bool>,
    /// How much of culprits' names is told.
    pub culprit_names: Option<CulpritNames>,
    /// Who keeps the metrics.
    pub backend: Option<Backend>,
    /// Since when sums and histograms count.
    pub temporality: Option<Temporality>,
    /// How histograms are told.
    pub histograms: Option<Histograms>,
    /// Where it is said whose a data point is.
    pub identity: Option<Identity>,
    /// What is told of the past.
    pub history: History,
    /// How metrics are sent, and events where nothing else is said.
    pub export: Export,
    /// How events are sent, as a whole, where that is not the same.
    #[serde(skip)]
    pub export_events: Option<Export>,
}

/// Bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Most {
    /// Series of all entities together.
    pub series: Option<usize>,
    /// Series of these that not everybody has, at most: histograms, disks, culprits.
    pub details: Option<usize>,
    /// Culprits with a series of their own, for each victim and resource.
    pub culprits: Option<usize>,
}

/// What is told of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// Where it is told: a path, or `none`.
    pub socket: Option<PathBuf>,
    /// Whom beside the agent's user.
    pub group: Option<String>,
}

/// How metrics or events are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Where to.
    pub endpoint: Option<Endpoint>,
    /// How requests are made.
    pub protocol: Option<Protocol>,
    /// Sent with each request.
    pub headers: BTreeMap<String, String>,
    /// Whether requests are compressed.
    pub compression: Option<Compression>,
    /// For one request.
    pub timeout: Option<Time>,
    /// Certificates.
    pub tls: Tls,
}

/// PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whom to trust.
    pub ca_file: Option<PathBuf>,
    /// Whom to be.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(from = "String")]
pub enum Endpoint {
    /// Of metrics and events: over HTTP the path of either is added.
    Base(String),
    /// Of one of them, as it is.
    Exact(String),
}

impl From<String> for Endpoint {
    fn from(base: String) -> Endpoint {
        Endpoint::Base(base)
    }
}

/// How requests are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Protocol {
    /// Protobuf over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    #[value(name = "http/protobuf")]
    Http,
    /// gRPC
    #[serde(rename = "grpc")]
    #[value(name = "grpc")]
    Grpc,
}

/// Whether requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// With gzip
    #[default]
    Gzip,
    /// Not at all
    None,
}

/// For whom there are the costly metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// For those who lost a noticeable time once
    #[default]
    Affected,
    /// For all
    All,
    /// For all, with queue and device time of disks apart
    Extra,
}

/// How much of culprits' names is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CulpritNames {
    /// All of it
    #[default]
    Full,
    /// The namespace in Kubernetes alone
    Namespace,
    /// A hash, the same until the host boots
    Hash,
    /// Nothing but what they are
    Kind,
}

/// A length of time, more than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Time, String> {
        humantime::parse_duration(&text)
            .ok()
            .filter(|time| !time.is_zero() && *time <= Duration::from_hours(24))
            .map(Time)
            .ok_or_else(|| format!("`{text}` is no length of time such as 10s or 1m30s, up to 24h"))
    }
}

impl Layer {
    /// This layer, and what it leaves open from the one below.
    #[must_use]
    pub fn over(self, below: Layer) -> Layer {
        Layer {
            interval: self.interval.or(below.interval),
            shutdown_timeout: self.shutdown_timeout.or(below.shutdown_timeout),
            detail: self.detail.or(below.detail),
            limits: Most {
                series: self.limits.series.or(below.limits.series),
                details: self.limits.details.or(below.limits.details),
                culprits: self.limits.culprits.or(below.limits.culprits),
            },
            resource: both(self.resource, below.resource),
            service_name: self.service_name.or(below.service_name),
            canary: self.canary.or(below.canary),
            kubelet: self.kubelet.or(below.kubelet),
            events: self.events.or(below.events),
            culprit_names: self.culprit_names.or(below.culprit_names),
            backend: self.backend.or(below.backend),
            temporality: self.temporality.or(below.temporality),
            histograms: self.histograms.or(below.histograms),
            identity: self.identity.or(below.identity),
            history: History {
                socket: self.history.socket.or(below.history.socket),
                group: self.history.group.or(below.history.group),
            },
            export_events: match (self.export_events, below.export_events) {
                (None, None) => None,
                (upper, lower) => {
                    let upper = upper.unwrap_or_else(|| self.export.clone());
                    Some(upper.over(lower.unwrap_or_else(|| below.export.clone())))
                }
            },
            export: self.export.over(below.export),
        }
    }
}

impl Export {
    fn over(self, below: Export) -> Export {
        Export {
            endpoint: self.endpoint.or(below.endpoint),
            protocol: self.protocol.or(below.protocol),
            headers: both(self.headers, below.headers),
            compression: self.compression.or(below.compression),
            timeout: self.timeout.or(below.timeout),
            tls: Tls {
                ca_file: self.tls.ca_file.or(below.tls.ca_file),
                cert_file: self.tls.cert_file.or(below.tls.cert_file),
                key_file: self.tls.key_file.or(below.tls.key_file),
            },
        }
    }
}

fn both(
    upper: BTreeMap<String, String>,
    mut lower: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    lower.extend(upper);
    lower
}
