//! `rotel`, a collector, which writes all that it gets into its log.

use std::process::Command;

use tempfile::TempDir;

use super::{Server, free_port, program, wait_until};
use crate::sink::Protocol;

/// A collector that takes both protocols.
#[derive(Debug)]
pub struct Rotel {
    server: Server,
    grpc: u16,
    http: u16,
}

impl Rotel {
    /// Starts it; the error is the capability that this machine lacks.
    pub fn start() -> Result<Self, String> {
        let command = Command::new(program("rotel")?);
        let folder = TempDir::new().expect("a folder");
        let (grpc, http) = (free_port(), free_port());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let args = [
            "start".to_owned(),
            "--exporter=blackhole".to_owned(),
            "--debug-log=metrics".to_owned(),
            "--debug-log-verbosity=detailed".to_owned(),
            format!("--otlp-grpc-endpoint=127.0.0.1:{grpc}"),
            format!("--otlp-http-endpoint=127.0.0.1:{http}"),
            format!("--pid-file={}", file("pid")),
            format!("--log-file={}", file("daemon.log")),
        ];
        let server = Server::start(command, folder, &args, &[grpc, http]);
        Ok(Self { server, grpc, http })
    }

    /// Where it listens.
    pub fn endpoint(&self, protocol: Protocol) -> String {
        let port = match protocol {
            Protocol::Grpc => self.grpc,
            Protocol::Http => self.http,
        };
        format!("http://127.0.0.1:{port}")
    }

    /// What it wrote once it has told of so many points; panics when there are more, or not as many.
    pub fn log_of(&self, points: u64) -> String {
        let told = || {
            let log = self.server.log();
            let is_point = |line: &&str| line.contains("DataPoints #");
            (log.lines().filter(is_point).count() as u64, log)
        };
        wait_until("all points in the collector's log", || told().0 >= points);
        let (count, log) = told();
        assert_eq!(count, points, "points in the collector's log");
        log
    }
}
