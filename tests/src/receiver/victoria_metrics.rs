//! VictoriaMetrics: a database for metrics with an OTLP receiver, and queries.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, free_port, program};

/// A database of its own.
#[derive(Debug)]
pub struct VictoriaMetrics {
    _server: Server,
    port: u16,
}

/// One series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, without the name.
    pub labels: BTreeMap<String, String>,
    /// Its value at that time.
    pub value: f64,
}

impl VictoriaMetrics {
    /// Starts it; the error is the capability that this machine lacks.
    pub fn start() -> Result<Self, String> {
        let command = Command::new(program("victoria-metrics")?);
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let data = folder.path().join("data");
        let args = [
            format!("-httpListenAddr=127.0.0.1:{port}"),
            format!("-storageDataPath={}", data.display()),
            "-opentelemetry.usePrometheusNaming".to_owned(),
            // What has just come is to be seen at once.
            "-search.latencyOffset=0s".to_owned(),
            "-memory.allowedPercent=5".to_owned(),
        ];
        let server = Server::start(command, folder, &args, &[port]);
        Ok(Self {
            _server: server,
            port,
        })
    }

    /// Where it takes OTLP over HTTP.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/opentelemetry", self.port)
    }

    /// What a query in MetricsQL gives at that time.
    pub fn query(&self, query: &str, at: SystemTime) -> Vec<Series> {
        let at = at.duration_since(UNIX_EPOCH).expect("after 1970");
        let at = at.as_secs_f64().to_string();
        let answer = self.get(
            "/api/v1/query",
            &[("query", query), ("time", &at), ("nocache", "1")],
        );
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array().expect("a list");
        series.iter().map(series_of).collect()
    }

    /// All values of each series that a selector matches, oldest first; `None`: there is no value any more.
    pub fn values(&self, selector: &str) -> Vec<Vec<Option<f64>>> {
        let lines = self.get("/api/v1/export", &[("match[]", selector)]);
        let values = lines.lines().map(|line| {
            let series: Value = serde_json::from_str(line).expect("JSON");
            let values = series["values"].as_array().expect("a list").iter();
            values.map(Value::as_f64).collect()
        });
        values.collect()
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        // What is still in memory is not searched.
        self.call("/internal/force_flush", &[]);
        self.call(path, parameters)
    }

    fn call(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut answer = ureq::get(&url)
            .query_pairs(parameters.iter().copied())
            .call()
            .unwrap_or_else(|error| panic!("{path} {parameters:?}: {error}"));
        let body = answer.body_mut().read_to_string();
        body.expect("text")
    }
}

fn series_of(series: &Value) -> Series {
    let labels = series["metric"].as_object().expect("an object").iter();
    let labels = labels.filter(|(name, _)| *name != "__name__");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Series {
        labels: labels
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        value: text(&series["value"][1]).parse().expect("a number"),
    }
}
