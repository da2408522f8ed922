//! The environment: the variables that OpenTelemetry specifies, and few of our own.

use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, time::Duration};

use clap::ValueEnum;

use super::{Compression, ConfigError, Endpoint, Layer, Protocol, Time};

const OTLP: &str = "OTEL_EXPORTER_OTLP";

/// What the environment says; `get` is [`std::env::var`], or a table in tests.
pub fn from_environment(get: &dyn Fn(&str) -> Option<String>) -> Result<Layer, ConfigError> {
    let env = Environment { get };
    env.only("TEMPORALITY_PREFERENCE", "cumulative")?;
    env.only(
        "DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
    )?;
    let mut layer = Layer {
        interval: match env.one("CROSSTALK_INTERVAL") {
            None => env.milliseconds("OTEL_METRIC_EXPORT_INTERVAL")?,
            Some(text) => Some(time("CROSSTALK_INTERVAL", &text)?),
        },
        shutdown_timeout: env
            .one("CROSSTALK_SHUTDOWN_TIMEOUT")
            .map(|text| time("CROSSTALK_SHUTDOWN_TIMEOUT", &text))
            .transpose()?,
        detail: env.choice("CROSSTALK_DETAIL")?,
        resource: env.pairs("OTEL_RESOURCE_ATTRIBUTES")?,
        service_name: env.one("OTEL_SERVICE_NAME"),
        kubelet: env.one("CROSSTALK_KUBELET"),
        ..Layer::default()
    };
    layer.limits.series = env.number("CROSSTALK_MAX_SERIES")?;
    layer.limits.culprits = env.number("CROSSTALK_MAX_CULPRITS")?;
    let export = &mut layer.export;
    export.endpoint = env
        .one(&of_metrics("ENDPOINT"))
        .map(Endpoint::Exact)
        .or_else(|| env.one(&of_all("ENDPOINT")).map(Endpoint::Base));
    export.protocol = signal("PROTOCOL", |name| env.choice::<Protocol>(name))?;
    export.compression = signal("COMPRESSION", |name| env.choice::<Compression>(name))?;
    export.timeout = signal("TIMEOUT", |name| env.milliseconds(name))?;
    export.headers = env.pairs(&of_all("HEADERS"))?;
    export.headers.extend(env.pairs(&of_metrics("HEADERS"))?);
    let file = |name: &str| signal(name, |name| Ok(env.one(name).map(Into::into)));
    export.tls.ca_file = file("CERTIFICATE")?;
    export.tls.cert_file = file("CLIENT_CERTIFICATE")?;
    export.tls.key_file = file("CLIENT_KEY")?;
    Ok(layer)
}

struct Environment<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
}

impl Environment<'_> {
    /// An empty variable is one that is not set, says the specification.
    fn one(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.is_empty())
    }

    /// A choice that the agent does not offer: silence would leave a backend with what it cannot
    /// use.
    fn only(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        let name = of_metrics(name);
        match self.one(&name) {
            Some(text) if !text.eq_ignore_ascii_case(value) => {
                let remedy = format!("the agent has `{value}` only: unset the variable");
                Err(wrong(&name, &text, &remedy))
            }
            _ => Ok(()),
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
        let parse = |text: String| {
            T::from_str(&text, false).map_err(|_| {
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

/// The variable for metrics, or else that for all signals.
fn signal<T>(
    name: &str,
    read: impl Fn(&str) -> Result<Option<T>, ConfigError>,
) -> Result<Option<T>, ConfigError> {
    match read(&of_metrics(name))? {
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
