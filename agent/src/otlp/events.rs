//! Events: episodes as log records of OTLP, each with the Resource of its victim.

mod queue;
mod sentence;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use ring::digest;

pub use queue::{Queue, Waiting};

use crate::{
    otlp::{
        culprit::{self, Naming},
        encode,
        registry::{
            CLASS, CULPRIT_KIND, CULPRIT_NAME, CULPRIT_NAMESPACE, DEVICE, RESOURCE, SCOPE,
            SCOPE_VERSION,
        },
        resource::Host,
    },
    signal::{
        Thresholds,
        episodes::{Episode, Event, Rules, Untold, Victim, What},
    },
};

/// Joins the events of one episode.
const ID: &str = "crosstalk.episode.id";

/// Writes events.
#[derive(Debug)]
pub struct Writer {
    host: Host,
    naming: Naming,
    rules: Vec<KeyValue>,
}

impl Writer {
    /// For episodes by these rules.
    pub fn new(host: Host, naming: Naming, rules: &Rules, thresholds: &Thresholds) -> Writer {
        Writer {
            host,
            naming,
            rules: vec![
                number("crosstalk.threshold.severe", rules.severe_share),
                number("crosstalk.threshold.lasting", rules.lasting_share),
                number("crosstalk.threshold.calm", rules.calm_share),
                text("crosstalk.rules.hash", &hash(rules, thresholds)),
            ],
        }
    }

    /// One event.
    pub fn write(&self, event: &Event) -> ResourceLogs {
        let resource = match &event.victim {
            Victim::Host => self.host.itself(),
            Victim::Entity(row) => self.host.entity(row),
        };
        ResourceLogs {
            resource: Some(encode::of(&resource)),
            scope_logs: vec![ScopeLogs {
                scope: Some(InstrumentationScope {
                    name: SCOPE.into(),
                    version: SCOPE_VERSION.into(),
                    ..InstrumentationScope::default()
                }),
                log_records: vec![self.record(event)],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }
    }

    fn record(&self, event: &Event) -> LogRecord {
        let severity = match event.what {
            What::Started(_) => SeverityNumber::Warn,
            What::Updated(_) | What::Ended(..) | What::Untold(_) => SeverityNumber::Info,
        };
        let at = unix_ns(event.at);
        LogRecord {
            time_unix_nano: at,
            observed_time_unix_nano: at,
            severity_number: severity.into(),
            severity_text: match severity {
                SeverityNumber::Warn => "WARN".into(),
                _ => "INFO".into(),
            },
            body: Some(AnyValue {
                value: Some(Value::StringValue(sentence::of(event, &self.naming))),
            }),
            attributes: self.attributes(event),
            event_name: name(event),
            ..LogRecord::default()
        }
    }

    fn attributes(&self, event: &Event) -> Vec<KeyValue> {
        let mut attributes = match &event.what {
            What::Started(episode) | What::Updated(episode) => self.of_episode(episode, event),
            What::Ended(episode, reason) => {
                let mut attributes = self.of_episode(episode, event);
                attributes.push(text("crosstalk.episode.end_reason", reason.name()));
                attributes
            }
            What::Untold(untold) => of_untold(untold),
        };
        attributes.extend(self.rules.iter().cloned());
        attributes
    }

    fn of_episode(&self, episode: &Episode, event: &Event) -> Vec<KeyValue> {
        let mut attributes = vec![
            text(ID, &episode.id.to_string()),
            integer("crosstalk.episode.openings", episode.openings.into()),
            number("crosstalk.episode.duration", episode.length.as_secs_f64()),
            text("crosstalk.episode.severity", episode.severity.name()),
            text(RESOURCE, episode.resource.name()),
            number("crosstalk.lost.share", episode.loss.share()),
            number("crosstalk.lost.time", episode.loss.lost_ns as f64 / 1e9),
        ];
        attributes.extend(episode.device.as_ref().map(|device| text(DEVICE, device)));
        let class = class_of(&event.victim, episode.class);
        attributes.extend(class.map(|class| text(CLASS, class)));
        attributes.extend(self.culprits(episode));
        attributes
    }

    /// One list for each attribute of culprits; what is not told of one of them is empty.
    fn culprits(&self, episode: &Episode) -> Vec<KeyValue> {
        let culprits = &episode.culprits;
        if culprits.is_empty() {
            let neighbors = i64::try_from(episode.neighbors).unwrap_or(i64::MAX);
            return vec![integer("crosstalk.culprit.crowd", neighbors)];
        }
        let named: Vec<_> = culprits
            .iter()
            .map(|culprit| self.naming.attributes(&culprit.who))
            .collect();
        let list = |key: &'static str| {
            let value = |of: &Vec<(&'static str, String)>| {
                let value = of.iter().find(|(name, _)| *name == key);
                value.map_or(String::new(), |(_, value)| value.clone())
            };
            let values: Vec<String> = named.iter().map(value).collect();
            let is_told = values.iter().any(|value| !value.is_empty());
            let values = values.into_iter().map(Value::StringValue);
            is_told.then(|| array(key, values.collect()))
        };
        let shares = culprits.iter().map(|one| Value::DoubleValue(one.share));
        [CULPRIT_KIND, CULPRIT_NAME, CULPRIT_NAMESPACE]
            .into_iter()
            .filter_map(list)
            .chain([array("crosstalk.culprit.share", shares.collect())])
            .collect()
    }
}

/// The value of [`CLASS`].
pub(in crate::otlp) fn class_of(
    victim: &Victim,
    class: Option<crate::signal::Class>,
) -> Option<&'static str> {
    match victim {
        Victim::Host => Some("saturation"),
        Victim::Entity(_) => class.map(crate::signal::Class::name),
    }
}

fn of_untold(untold: &Untold) -> Vec<KeyValue> {
    vec![
        integer("crosstalk.episodes.untold", untold.episodes.into()),
        number("crosstalk.episode.duration", untold.length.as_secs_f64()),
    ]
}

fn name(event: &Event) -> String {
    let kind = match event.victim {
        Victim::Host => "saturation",
        Victim::Entity(_) => "interference",
    };
    let phase = match event.what {
        What::Started(_) => "started",
        What::Updated(_) => "updated",
        What::Ended(..) => "ended",
        What::Untold(_) => "untold",
    };
    format!("crosstalk.{kind}.{phase}")
}

/// Tells apart events by different rules.
fn hash(rules: &Rules, thresholds: &Thresholds) -> String {
    let all = format!("{rules:?} {thresholds:?}");
    let digest = digest::digest(&digest::SHA256, all.as_bytes());
    culprit::digits(digest.as_ref())
}

fn unix_ns(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: f64) -> KeyValue {
    pair(key, Value::DoubleValue(value))
}

fn integer(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

fn array(key: &str, values: Vec<Value>) -> KeyValue {
    let values = values
        .into_iter()
        .map(|value| AnyValue { value: Some(value) });
    let values = values.collect();
    pair(key, Value::ArrayValue(ArrayValue { values }))
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
