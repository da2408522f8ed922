//! Runs `crosstalk report --json` and reads what it says.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::sys;

/// The binary under test.
pub fn binary() -> PathBuf {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/crosstalk").into();
    std::env::var_os("CROSSTALK_BIN").map_or_else(default, PathBuf::from)
}

/// A command that runs the binary under test, on its own: an agent tells nothing of the past unless
/// it is given a socket.
pub fn crosstalk(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.env("CROSSTALK_HISTORY_SOCKET", "none");
    command.args(args).stdin(Stdio::null());
    command
}

/// Bounds of the histogram's buckets are powers of this, the fourth root of two.
pub const BUCKET: f64 = 1.189_207_115;

/// A report whose interval has started.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
    log: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a report and waits until it says that its interval has started.
    pub fn start(args: &[&str]) -> Self {
        Self::start_where(args, None)
    }

    /// The same, with one more variable in its environment.
    pub fn start_where(args: &[&str], variable: Option<(&str, &str)>) -> Self {
        let mut child = crosstalk(&[&["report", "--json"], args].concat())
            .envs(variable)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let ready = wait_ready(&mut stderr);
        // Drained all along: a full pipe would block the agent.
        let log = std::thread::spawn(move || drain(stderr));
        let running = Self {
            child: Some(child),
            log: Some(log),
        };
        if let Err(said) = ready {
            panic!("the report ended before it was ready, saying:\n{said}");
        }
        running
    }

    /// How often its threads have slept and were woken up.
    pub fn wake_ups(&self) -> u64 {
        let child = self.child.as_ref().expect("runs until it is dropped");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id()));
        let tasks = tasks.expect("our own child");
        let statuses =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
        let count = |line: &str| {
            let count = line.strip_prefix("voluntary_ctxt_switches:")?;
            count.trim().parse::<u64>().ok()
        };
        statuses
            .filter_map(|status| status.lines().find_map(count))
            .sum()
    }

    /// Ends the interval now and reads the document.
    pub fn interrupt(self) -> Document {
        sys::signal(
            self.child.as_ref().expect("runs until it is dropped"),
            libc::SIGINT,
        )
        .expect("our own child");
        self.finish()
    }

    /// Waits for the end of the interval and reads the document.
    pub fn finish(mut self) -> Document {
        let child = self.child.take().expect("runs until it is dropped");
        let output = child.wait_with_output().expect("our own child");
        let said = self
            .log
            .take()
            .map(|log| log.join().unwrap_or_default())
            .unwrap_or_default();
        assert!(
            output.status.success(),
            "the report ended with {}, saying:\n{said}",
            output.status
        );
        Document::parse(&output.stdout)
    }

    /// Ends it the hard way and waits for it.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Fails only when it has ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn wait_ready(stderr: &mut BufReader<ChildStderr>) -> Result<(), String> {
    let mut said = String::new();
    let mut line = String::new();
    while stderr.read_line(&mut line).unwrap_or(0) > 0 {
        if line.starts_with("ready") {
            return Ok(());
        }
        said.push_str(&line);
        line.clear();
    }
    Err(said)
}

fn drain(mut stderr: BufReader<ChildStderr>) -> String {
    let mut said = Vec::new();
    let _ = stderr.read_to_end(&mut said);
    String::from_utf8_lossy(&said).into_owned()
}

/// The causes of a wait, by the names in the document.
pub const CAUSES: [&str; 8] = [
    "neighbor",
    "self",
    "kernel",
    "throttled",
    "steal",
    "irq",
    "idle",
    "unattributed",
];

/// The document that a report prints.
#[derive(Clone, Debug)]
pub struct Document(pub Value);

impl Document {
    /// Parses standard output, which must be one JSON document.
    pub fn parse(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        Self(
            serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("not one JSON document: {error}\n{text}")),
        )
    }

    /// All rows of entities (or of cgroups, with `--by cgroup`).
    pub fn entities(&self) -> &[Value] {
        self.0["entities"].as_array().expect("`entities` is a list")
    }

    /// All rows of blame.
    pub fn blame_rows(&self) -> &[Value] {
        self.0["blame"].as_array().expect("`blame` is a list")
    }

    /// Length of the interval in seconds.
    pub fn seconds(&self) -> f64 {
        number(&self.0["interval"]["seconds"]).expect("`interval.seconds` is a number")
    }

    /// The `cpu` part of the row with this cgroup path.
    pub fn cpu(&self, path: &str) -> &Value {
        let row = self
            .entities()
            .iter()
            .find(|row| row["cgroup"]["path"] == path);
        &row.unwrap_or_else(|| panic!("no row for {path} among {}", self.paths()))["cpu"]
    }

    /// A figure of a row's `cpu` part, in seconds; panics when it is unknown.
    pub fn figure(&self, path: &str, name: &str) -> f64 {
        number(&self.cpu(path)[name])
            .unwrap_or_else(|| panic!("{name} of {path} is {}", self.cpu(path)[name]))
    }

    /// One cause of a row's waits in seconds; unknown counts as nothing, as it then sits with another cause.
    pub fn cause(&self, path: &str, cause: &str) -> f64 {
        let causes = &self.cpu(path)["wait_by_cause_s"];
        let value = causes
            .get(cause)
            .unwrap_or_else(|| panic!("no cause {cause} in {causes}"));
        number(value).unwrap_or(0.0)
    }

    /// All waits of a row: the sum of their causes.
    pub fn wait(&self, path: &str) -> f64 {
        CAUSES.iter().map(|cause| self.cause(path, cause)).sum()
    }

    /// Seconds that a victim waited because of a culprit, by cgroup paths.
    pub fn blame(&self, victim: &str, culprit: &str) -> f64 {
        let rows = self.blame_rows().iter();
        let rows = rows.filter(|row| {
            row["resource"] == "cpu" && row["victim"] == victim && row["culprit"] == culprit
        });
        rows.filter_map(|row| number(&row["seconds"])).sum()
    }

    /// Blame of a victim on all culprits whose path starts so.
    pub fn blame_below(&self, victim: &str, prefix: &str) -> f64 {
        let below = |row: &&Value| {
            row["culprit"]
                .as_str()
                .is_some_and(|culprit| culprit.starts_with(prefix))
        };
        let rows = self
            .blame_rows()
            .iter()
            .filter(|row| row["victim"] == victim)
            .filter(below);
        rows.filter_map(|row| number(&row["seconds"])).sum()
    }

    /// A counter of the document's `accounting` part.
    pub fn accounting(&self, name: &str) -> f64 {
        number(&self.0["accounting"][name])
            .unwrap_or_else(|| panic!("accounting.{name} is missing"))
    }

    /// Waits that the kernel reports but that never were, in seconds, on the whole host.
    pub fn phantoms(&self) -> f64 {
        self.accounting("discarded_phantom_s")
    }

    /// A row and its blame, for messages.
    pub fn describe(&self, path: &str) -> String {
        let mut text = format!("{path}: {}", self.cpu(path));
        let _ = write!(text, "\n  accounting {}", self.0["accounting"]);
        for row in self.blame_rows().iter().filter(|row| row["victim"] == path) {
            let _ = write!(text, "\n  blame {row}");
        }
        text
    }

    fn paths(&self) -> String {
        let paths: Vec<&str> = self
            .entities()
            .iter()
            .filter_map(|row| row["cgroup"]["path"].as_str())
            .collect();
        format!("{} rows: {}", paths.len(), paths.join(" "))
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}
