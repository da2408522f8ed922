//! Python's `opentelemetry-proto`: another implementation of the messages.

use std::process::Command;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use super::program;

const DECODE: &str = "
import gzip, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

for path in sys.argv[1:]:
    with gzip.open(path) as file:
        print(json.dumps(MessageToDict(ExportMetricsServiceRequest.FromString(file.read()))))
";

/// Requests with metrics as OTLP JSON, from their bodies in gzip; the error is the capability that this machine lacks.
pub fn decode(bodies: &[Bytes]) -> Result<Vec<Value>, String> {
    let mut python = Command::new(program("python3")?);
    let folder = TempDir::new().expect("a folder");
    let paths: Vec<_> = (0..bodies.len())
        .map(|number| folder.path().join(number.to_string()))
        .collect();
    for (path, body) in paths.iter().zip(bodies) {
        std::fs::write(path, body).expect("a folder of our own");
    }
    let output = python.args(["-c", DECODE]).args(&paths).output();
    let output = output.expect("set-up has seen it start");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).expect("text");
    let requests = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    Ok(requests.collect())
}
