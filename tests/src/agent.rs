//! Runs `crosstalk agent` and reads what it says about itself.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use crate::report::crosstalk;
use crate::sys;

/// An agent that observes.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log: Option<JoinHandle<String>>,
}

/// How an agent ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub status: ExitStatus,
    /// What it said since it was ready.
    pub log: String,
}

/// What it says to have exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Points that were taken.
    pub points: u64,
    /// Requests that were taken.
    pub requests: u64,
    /// Points that were rejected out of these.
    pub rejected: u64,
    /// Points of requests that were refused.
    pub refused: u64,
    /// Points that newer ones took the place of.
    pub superseded: u64,
    /// Requests that did not get through.
    pub failed: u64,
}

impl Agent {
    /// Starts an agent and waits until it observes.
    pub fn start(args: &[&str]) -> Self {
        Self::run(&mut crosstalk(&[&["agent"], args].concat()))
    }

    /// The same for a prepared command.
    pub fn run(command: &mut Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let (mut said, mut line) = (String::new(), String::new());
        while !line.starts_with("ready") {
            said.push_str(&line);
            line.clear();
            let length = stderr.read_line(&mut line).expect("text");
            assert!(length > 0, "the agent ended before it was ready: {said}");
        }
        // Drained all along: a full pipe would block the agent.
        let log = std::thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            said
        });
        Self {
            child,
            log: Some(log),
        }
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to read its settings anew.
    pub fn hang_up(&self) {
        sys::signal(&self.child, libc::SIGHUP).expect("our own child");
    }

    /// Ends it with SIGKILL and waits.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Ends it with SIGTERM and waits.
    pub fn terminate(mut self) -> Ended {
        sys::signal(&self.child, libc::SIGTERM).expect("our own child");
        let status = self.child.wait().expect("our own child");
        let log = self.log.take().expect("taken once").join();
        Ended {
            status,
            log: log.expect("it only reads"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last line, in numbers.
    pub fn exported(&self) -> Exported {
        assert!(self.status.success(), "{}: {}", self.status, self.log);
        let line = self.log.lines().find(|line| line.starts_with("exported "));
        let line = line.unwrap_or_else(|| panic!("no summary in {}", self.log));
        let numbers = line.split(|c: char| !c.is_ascii_digit());
        let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
        let [points, requests, rejected, refused, superseded, failed, _] = numbers[..] else {
            panic!("not seven numbers: {line}");
        };
        Exported {
            points,
            requests,
            rejected,
            refused,
            superseded,
            failed,
        }
    }
}
