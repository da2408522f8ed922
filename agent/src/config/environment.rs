//! The environment: the variables that OpenTelemetry specifies, and few of our own.

use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, time::Duration};

use clap::ValueEnum;

use super::{
    Compression, ConfigError, Endpoint, Export, Histograms, Layer, Protocol, Temporality, Time, Tls,
};

const OTLP: &str = "OTEL_EXPORTER_OTLP";

/// What the environment says; `get` is [`std::env::var`], or a table in tests.
pub fn from_environment(get: &dyn Fn(&str) -> Option<String>) -> Result<Layer, ConfigError> {
    let env = Environment { get };
    let mut layer = Layer {
        interval: match env.one("CROSSTALK_INTERVAL") {
            None => env.milliseconds("OTEL_METRIC_EXPORT_INTERVAL")?,
            Some(text) => Some(time("CROSSTALK_INTERVAL", &text)?),
        },
        shutdown_timeout: env
            .one("CROSSTALK_SHUTDOWN_TIMEOUT")
            .map(|text| time("CROSSTALK_SHUTDOWN_TIMEOUT", &text))
            .transpose()?,
        canary: env
            .one("CROSSTALK_CANARY")
            .map(|text| time("CROSSTALK_CANARY", &text))
            .transpose()?,
        detail: env.choice("CROSSTALK_DETAIL")?,
        resource: env.pairs("OTEL_RESOURCE_ATTRIBUTES")?,
        service_name: env.one("OTEL_SERVICE_NAME"),
        kubelet: env.one("CROSSTALK_KUBELET"),
        ..Layer::default()
    };
    layer.limits.series = env.number("CROSSTALK_MAX_SERIES")?;
    layer.limits.details = env.number("CROSSTALK_MAX_DETAILS")?;
    layer.limits.culprits = env.number("CROSSTALK_MAX_CULPRITS")?;
    layer.events = env.choice::<Switch>("CROSSTALK_EVENTS")?.map(Switch::is_on);
    layer.backend = env.choice("CROSSTALK_BACKEND")?;
    layer.temporality = env.temporality()?;
    layer.histograms = env.histograms()?;
    layer.identity = env.choice("CROSSTALK_IDENTITY")?;
    layer.culprit_names = env.choice("CROSSTALK_CULPRIT_NAMES")?;
    layer.history.socket = env.one("CROSSTALK_HISTORY_SOCKET").map(Into::into);
    layer.history.group = env.one("CROSSTALK_HISTORY_GROUP");
    layer.export = env.export("METRICS")?;
    let events = env.export("LOGS")?;
    layer.export_events = Some(events).filter(|events| *events != layer.export);
    Ok(layer)
}

/// A word for `true` or `false`.
#[derive(Clone, Copy, ValueEnum)]
enum Switch {
    True,
    False,
}

impl Switch {
    fn is_on(self) -> bool {
        matches!(self, Switch::True)
    }
}

struct Environment<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    /// An empty variable is one that is not set, says the specification.
    fn one(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    /// How one signal is sent: its own variables come before those of all signals.
    fn export(&self, signal: &str) -> Result<Export, ConfigError> {
        let own = |name: &str| format!("{OTLP}_{signal}_{name}");
        let mut headers = self.pairs(&of_all("HEADERS"))?;
        headers.extend(self.pairs(&own("HEADERS"))?);
        let file = |name: &str| {
            let path = self.one(&own(name)).or_else(|| self.one(&of_all(name)));
            path.map(Into::into)
        };
        Ok(Export {
            endpoint: self
                .one(&own("ENDPOINT"))
                .map(Endpoint::Exact)
                .or_else(|| self.one(&of_all("ENDPOINT")).map(Endpoint::Base)),
            protocol: first("PROTOCOL", own, |name| self.choice::<Protocol>(name))?,
            compression: first("COMPRESSION", own, |name| self.choice::<Compression>(name))?,
            timeout: first("TIMEOUT", own, |name| self.milliseconds(name))?,
            headers,
            tls: Tls {
                ca_file: file("CERTIFICATE"),
                cert_file: file("CLIENT_CERTIFICATE"),
                key_file: file("CLIENT_KEY"),
            },
        })
    }

    /// Ours, or else the preference of OpenTelemetry, whose case is no matter.
    fn temporality(&self) -> Result<Option<Temporality>, ConfigError> {
        let name = of_metrics("TEMPORALITY_PREFERENCE");
        match self.choice("CROSSTALK_TEMPORALITY")? {
            Some(ours) => Ok(Some(ours)),
            None => self.choose(&name, true),
        }
    }

    /// Ours, or else by the names that OpenTelemetry gives aggregations.
    fn histograms(&self) -> Result<Option<Histograms>, ConfigError> {
        let ours = self.choice("CROSSTALK_HISTOGRAMS")?;
        let name = of_metrics("DEFAULT_HISTOGRAM_AGGREGATION");
        let Some(text) = self.one(&name).filter(|_| ours.is_none()) else {
            return Ok(ours);
        };
        match text.to_ascii_lowercase().as_str() {
            "base2_exponential_bucket_histogram" => Ok(Some(Histograms::Exponential)),
            "explicit_bucket_histogram" => Ok(Some(Histograms::Explicit)),
            _ => {
                let remedy = "give base2_exponential_bucket_histogram or explicit_bucket_histogram";
                Err(wrong(&name, &text, remedy))
            }
        }
    }

    fn milliseconds(&self, name: &str) -> Result<Option<Time>, ConfigError> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        match text.parse().ok().filter(|ms| *ms > 0) {
            Some(ms) => Ok(Some(Time(Duration::from_millis(ms)))),
            None => Err(wrong(name, &text, "give milliseconds, such as 10000")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<usize>, ConfigError> {
        let text = self.one(name);
        let parse = |text: String| {
            text.parse()
                .map_err(|_| wrong(name, &text, "give a number"))
        };
        text.map(parse).transpose()
    }

    fn choice<T: ValueEnum>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        self.choose(name, false)
    }

    fn choose<T: ValueEnum>(&self, name: &str, any_case: bool) -> Result<Option<T>, ConfigError> {
        let parse = |text: String| {
            T::from_str(&text, any_case).map_err(|_| {
                let values = T::value_variants().iter().filter_map(T::to_possible_value);
                let names: Vec<String> = values.map(|value| value.get_name().into()).collect();
                wrong(name, &text, &format!("give one of {}", names.join(", ")))
            })
        };
        self.one(name).map(parse).transpose()
    }

    /// `key=value,…`, with `%` and two digits for special characters. Values are not said in
    /// errors: headers are secret.
    fn pairs(&self, name: &str) -> Result<BTreeMap<String, String>, ConfigError> {
        let text = self.one(name).unwrap_or_default();
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts
            .map(|part| pair(part).ok_or_else(|| unpaired(name)))
            .collect()
    }
}

/// The variable for one signal, or else that for all of them.
fn first<T>(
    name: &str,
    own: impl Fn(&str) -> String,
    read: impl Fn(&str) -> Result<Option<T>, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    match read(&own(name))? {
        Some(value) => Ok(Some(value)),
        None => read(&of_all(name)),
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    Some((key.trim().to_owned(), value.into_owned())).filter(|(key, _)| !key.is_empty())
}

fn time(name: &str, text: &str) -> Result<Time, ConfigError> {
    let time = Time::try_from(text.to_owned());
    time.map_err(|_| wrong(name, text, "give a time such as 10s or 1m30s"))
}

fn of_all(name: &str) -> String {
    format!("{OTLP}_{name}")
}

fn of_metrics(name: &str) -> String {
    format!("{OTLP}_METRICS_{name}")
}

fn wrong(name: &str, text: &str, remedy: &str) -> ConfigError {
    ConfigError {
        place: format!("environment variable {name}"),
        what: format!("`{text}` is no value for it"),
        remedy: remedy.into(),
    }
}

fn unpaired(name: &str) -> ConfigError {
    ConfigError {
        place: format!("environment variable {name}"),
        what: "it is no list of key=value".into(),
        remedy: "separate pairs by commas, and write special characters as % and two digits".into(),
    }
}
