//! A running `loads` process, held at a gate before its work and after it.
//!
//! At both gates all its threads sleep, so what the kernel says about them can be read at rest.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::capability::test_cpu;
use crate::cgroup::Cgroup;
use crate::shape::{Mode, Shape};
use crate::tally::Tally;

/// Between the directories of a load's cgroup in several hierarchies; makers of containers use most other characters.
pub const CGROUP_SEPARATOR: &str = "\n";

/// How the threads of a load are scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The ordinary class.
    #[default]
    Other,
    /// The lowest class of the fair scheduler.
    Idle,
    /// Real time, first in first out.
    Fifo,
}

impl Policy {
    /// The word by which `loads` knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Idle => "idle",
            Self::Fifo => "fifo",
        }
    }
}

/// What to start, where.
#[derive(Clone, Debug)]
pub struct Plan {
    shape: Shape,
    cgroup: Cgroup,
    cpus: Vec<usize>,
    policy: Policy,
}

impl Plan {
    /// A load in a cgroup.
    pub fn new(shape: Shape, cgroup: &Cgroup) -> Self {
        Self {
            shape,
            cgroup: cgroup.clone(),
            cpus: Vec::new(),
            policy: Policy::default(),
        }
    }

    /// Pins its threads to these CPUs (by default they run anywhere).
    #[must_use]
    pub fn on(mut self, cpus: &[usize]) -> Self {
        self.cpus = cpus.to_vec();
        self
    }

    /// Sets the scheduling policy of its threads.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Starts it and waits until all its threads sleep at the first gate; the error is what the load said.
    pub fn start(self) -> Result<Load, String> {
        let cpus: Vec<String> = self.cpus.iter().map(ToString::to_string).collect();
        let dirs: Vec<String> = self
            .cgroup
            .dirs()
            .map(|dir| dir.display().to_string())
            .collect();
        let mut child = Command::new(program())
            .args([
                dirs.join(CGROUP_SEPARATOR),
                cpus.join(","),
                self.policy.name().to_owned(),
            ])
            .arg(self.shape.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program().display()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        let mut load = Load {
            child,
            stdin,
            stdout,
            cgroup: self.cgroup,
            said: None,
        };
        load.expect_line("parked")?;
        Ok(load)
    }
}

/// One thread that is staged to burn the CPU of loads on a single one, for so long.
pub fn spinner(cgroup: &Cgroup, time: Duration) -> Load {
    Plan::new(Shape::new(Mode::Spin).wall(time), cgroup)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts")
}

/// A load that is staged, running or at rest again. Dropped, it is ended and waited for.
#[derive(Debug)]
pub struct Load {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    cgroup: Cgroup,
    /// What it said when it was done.
    said: Option<String>,
}

impl Load {
    /// The cgroup that it runs in.
    pub const fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Opens the first gate.
    pub fn go(&mut self) {
        self.say("go");
    }

    /// Tells a load without a limit to end its work.
    pub fn stop(&mut self) {
        self.say("stop");
    }

    /// Waits until the work is done; returns what the load has to say about it, if anything.
    pub fn wait_done(&mut self) -> Result<String, String> {
        if self.said.is_none() {
            self.said = Some(self.expect_line("done")?);
        }
        Ok(self.said.clone().unwrap_or_default())
    }

    /// The same, for a load that reads or writes.
    pub fn tally(&mut self) -> Tally {
        let said = self.wait_done().and_then(|said| said.parse());
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    fn say(&mut self, word: &str) {
        let stdin = self.stdin.as_mut().expect("open until the load is dropped");
        writeln!(stdin, "{word}").expect("the load reads its standard input until it is dropped");
    }

    fn expect_line(&mut self, word: &str) -> Result<String, String> {
        let mut line = String::new();
        let stdout = self
            .stdout
            .as_mut()
            .expect("open until the load is dropped");
        stdout
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(format!("the load said {line:?} instead of {word:?}")),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Its children end when their standard input closes, so it must go in order, unless it is still at work.
        self.stdin.take();
        self.stdout.take();
        if let Err(error) = self.child.wait() {
            eprintln!("could not wait for a load: {error}");
        }
    }
}

fn program() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().ok()?;
        let mut folders = test
            .ancestors()
            .skip(1)
            .take(2)
            .map(|dir| dir.join("loads"));
        folders.find(|path| path.exists())
    };
    std::env::var_os("CROSSTALK_LOADS")
        .map(PathBuf::from)
        .or_else(beside)
        .unwrap_or_else(|| "loads".into())
}
