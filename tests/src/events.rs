//! What OTLP logs say: events, as a backend would keep them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Attributes of its Resource.
    pub resource: BTreeMap<String, Value>,
    /// Its name.
    pub name: String,
    /// Its severity.
    pub severity: String,
    /// When it was, nanoseconds of Unix time.
    pub at: u64,
    /// Its sentence.
    pub body: String,
    /// Its own attributes.
    pub attributes: BTreeMap<String, Value>,
}

impl Event {
    /// The cgroup of its victim.
    pub fn victim(&self) -> &str {
        text(&self.resource, "crosstalk.cgroup.path")
    }

    /// An attribute that is text.
    pub fn text(&self, key: &str) -> &str {
        text(&self.attributes, key)
    }

    /// An attribute that is a number.
    pub fn number(&self, key: &str) -> f64 {
        match self.attributes.get(key) {
            Some(Value::DoubleValue(number)) => *number,
            Some(Value::IntValue(number)) => *number as f64,
            other => panic!("{key} is no number: {other:?} in {self:?}"),
        }
    }

    /// An attribute that is a list of texts; empty without it.
    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(Value::ArrayValue(list)) = self.attributes.get(key) else {
            return Vec::new();
        };
        let values = list.values.iter().map(|value| match &value.value {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{key} holds {other:?}"),
        });
        values.collect()
    }
}

/// All events of requests, in their order.
pub fn events(requests: &[ExportLogsServiceRequest]) -> Vec<Event> {
    let all = requests.iter().flat_map(|request| &request.resource_logs);
    all.flat_map(|of| {
        let resource = of.resource.as_ref().expect("each has a Resource");
        let resource = attributes(&resource.attributes);
        let records = of.scope_logs.iter().flat_map(|scope| &scope.log_records);
        records.map(move |record| event(record, resource.clone()))
    })
    .collect()
}

fn event(record: &LogRecord, resource: BTreeMap<String, Value>) -> Event {
    let body = record.body.as_ref().and_then(|body| body.value.clone());
    let Some(Value::StringValue(body)) = body else {
        panic!("the body is no sentence: {record:?}");
    };
    Event {
        resource,
        name: record.event_name.clone(),
        severity: record.severity_text.clone(),
        at: record.time_unix_nano,
        body,
        attributes: attributes(&record.attributes),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    let pairs = pairs.iter().map(|pair| {
        let value = pair.value.as_ref().and_then(|value| value.value.clone());
        (pair.key.clone(), value.expect("each has a value"))
    });
    pairs.collect()
}

fn text<'a>(attributes: &'a BTreeMap<String, Value>, key: &str) -> &'a str {
    match attributes.get(key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is no text: {other:?} in {attributes:?}"),
    }
}
