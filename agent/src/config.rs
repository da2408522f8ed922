//! What the agent is told to do: from a file, the environment and flags, in that order of weight.
//!
//! Each source is a [`Layer`] of the same keys; the upper ones cover the lower ones, and what
//! nobody says has a default.

mod environment;
mod file;
mod form;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod layer;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::Uri;
use thiserror::Error;

pub use environment::from_environment;
pub use file::from_file;
pub use form::{Backend, Form, Histograms, Identity, Temporality};
pub use layer::{
    Compression, CulpritNames, Detail, Endpoint, Export, History, Layer, Most, Protocol, Time, Tls,
};

use crate::{
    history::{SOCKET, Socket},
    names::KubeletAccess,
    otlp::{ledger::Limits, registry::Tier},
};

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(10);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Series beyond those that everybody has, where everybody is to have more.
const DETAILS_OF_ALL: usize = 8_000;
/// A run takes two seconds, and a reading before and after.
const LEAST_CANARY: Duration = Duration::from_secs(10);
const HTTP_ENDPOINT: &str = "http://localhost:4318";
const GRPC_ENDPOINT: &str = "http://localhost:4317";
/// In place of a path: the agent keeps no history.
const NO_SOCKET: &str = "none";
/// Where a collector takes metrics over HTTP.
const METRICS_PATH: &str = "v1/metrics";
/// Where it takes events.
const EVENTS_PATH: &str = "v1/logs";

/// Why a configuration cannot be used: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {what}; {remedy}")]
pub struct ConfigError {
    /// The file and line, the variable, or the key.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// Everything that the agent needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Between exports.
    pub interval: Duration,
    /// How long the end may take.
    pub shutdown_timeout: Duration,
    /// How much is told.
    pub limits: Limits,
    /// Attributes of all Resources.
    pub resource: BTreeMap<String, String>,
    /// The name of the agent's own service.
    pub service_name: Option<String>,
    /// The kubelet to ask for names.
    pub kubelet: Option<KubeletAccess>,
    /// Between runs of the canary; `None`: it does not run.
    pub canary: Option<Duration>,
    /// How much of culprits' names is told.
    pub culprit_names: CulpritNames,
    /// The form in which metrics are told.
    pub form: Form,
    /// Where the past is told, if anywhere.
    pub history: Option<Socket>,
    /// How metrics are sent.
    pub target: Target,
    /// How events are sent; `None`: not at all.
    pub event_target: Option<Target>,
}

/// Where metrics or events are sent to, and how.
#[derive(Clone, Debug)]
pub struct Target {
    /// The whole address.
    pub uri: Uri,
    /// How requests are made.
    pub protocol: Protocol,
    /// Whether they are compressed.
    pub compression: Compression,
    /// Sent with each request. Secret.
    pub headers: BTreeMap<String, String>,
    /// For one request, from the connection to the end of the answer.
    pub timeout: Duration,
    /// Certificates.
    pub tls: TlsFiles,
}

/// PEM files, read anew with each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to trust; `None`: whom the host trusts.
    pub ca: Option<PathBuf>,
    /// The certificate and key to show.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Layer {
    /// The settings that layers amount to.
    pub fn settle(self) -> Result<Settings, ConfigError> {
        let limits = Limits::default();
        let (calm, affected, details) = match self.detail.unwrap_or_default() {
            Detail::Affected => (Tier::All, Tier::Affected, limits.details),
            Detail::All => (Tier::Affected, Tier::Affected, DETAILS_OF_ALL),
            Detail::Extra => (Tier::Extra, Tier::Extra, DETAILS_OF_ALL),
        };
        let form = self.backend.map(Backend::form).unwrap_or_default();
        let time = |time: Option<Time>, default| time.map_or(default, |Time(time)| time);
        let events = self.export_events.unwrap_or_else(|| self.export.clone());
        let has_events = self.events.unwrap_or(true);
        Ok(Settings {
            interval: time(self.interval, INTERVAL),
            shutdown_timeout: time(self.shutdown_timeout, SHUTDOWN_TIMEOUT),
            limits: Limits {
                series: self.limits.series.unwrap_or(limits.series),
                details: self.limits.details.unwrap_or(details),
                culprits: self.limits.culprits.unwrap_or(limits.culprits),
                calm,
                affected,
            },
            resource: self.resource,
            service_name: self.service_name,
            kubelet: self.kubelet.map(kubelet).transpose()?,
            canary: self.canary.map(canary).transpose()?,
            culprit_names: self.culprit_names.unwrap_or_default(),
            form: Form {
                temporality: self.temporality.unwrap_or(form.temporality),
                histograms: self.histograms.unwrap_or(form.histograms),
                identity: self.identity.unwrap_or(form.identity),
            },
            history: self.history.settle(),
            target: self.export.settle(METRICS_PATH)?,
            event_target: has_events.then(|| events.settle(EVENTS_PATH)).transpose()?,
        })
    }
}

impl History {
    fn settle(self) -> Option<Socket> {
        let path = self.socket.unwrap_or_else(|| SOCKET.into());
        let group = self.group;
        (path.as_os_str() != NO_SOCKET).then_some(Socket { path, group })
    }
}

impl Export {
    fn settle(self, path: &str) -> Result<Target, ConfigError> {
        let protocol = self.protocol.unwrap_or_default();
        let endpoint = self.endpoint.unwrap_or_else(|| {
            Endpoint::Base(match protocol {
                Protocol::Http => HTTP_ENDPOINT.into(),
                Protocol::Grpc => GRPC_ENDPOINT.into(),
            })
        });
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        Ok(Target {
            uri: address(&endpoint, protocol, path)?,
            protocol,
            compression: self.compression.unwrap_or_default(),
            headers: self.headers,
            timeout: self.timeout.map_or(TIMEOUT, |Time(time)| time),
            tls: TlsFiles {
                ca: self.tls.ca_file,
                identity: match (self.tls.cert_file, self.tls.key_file) {
                    (Some(certificate), Some(key)) => Some((certificate, key)),
                    (None, None) => None,
                    (one, _) => return Err(half_an_identity(one.is_some())),
                },
            },
        })
    }
}

fn canary(Time(every): Time) -> Result<Duration, ConfigError> {
    if every >= LEAST_CANARY {
        return Ok(every);
    }
    Err(ConfigError {
        place: "canary".into(),
        what: format!("`{}` is too often", humantime::format_duration(every)),
        remedy: "give 10s or more, such as 1h".into(),
    })
}

fn kubelet(url: String) -> Result<KubeletAccess, ConfigError> {
    KubeletAccess::in_cluster(url).map_err(|what| ConfigError {
        place: "kubelet".into(),
        what,
        remedy: "give one such as https://10.0.0.7:10250".into(),
    })
}

fn address(endpoint: &Endpoint, protocol: Protocol, path: &str) -> Result<Uri, ConfigError> {
    let text = match (endpoint, protocol) {
        (Endpoint::Base(base), Protocol::Http) => {
            format!("{}/{path}", base.trim_end_matches('/'))
        }
        (Endpoint::Base(text) | Endpoint::Exact(text), _) => text.clone(),
    };
    let uri: Option<Uri> = text.parse().ok();
    let usable = uri.filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    });
    usable.ok_or_else(|| ConfigError {
        place: "export.endpoint".into(),
        what: format!("`{text}` is no address"),
        remedy: "give one such as http://collector:4318 or https://collector:4317".into(),
    })
}

/// The value is not said: it may be a secret.
fn check_header(name: &str, value: &str) -> Result<(), ConfigError> {
    let is_name = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
    if is_name && value.is_ascii() && http::HeaderValue::from_str(value).is_ok() {
        return Ok(());
    }
    Err(ConfigError {
        place: "export.headers".into(),
        what: format!("`{name}` has a name or a value that no header can have"),
        remedy: "use visible ASCII characters".into(),
    })
}

fn half_an_identity(has_certificate: bool) -> ConfigError {
    let (there, lacking) = if has_certificate {
        ("cert_file", "key_file")
    } else {
        ("key_file", "cert_file")
    };
    ConfigError {
        place: format!("export.tls.{there}"),
        what: format!("it is set without `{lacking}`"),
        remedy: "set both, or neither".into(),
    }
}
