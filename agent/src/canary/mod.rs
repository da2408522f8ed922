//! A known disturbance, to see whether it is told as it was.
//!
//! Two processes in cgroups of their own share a CPU for two seconds. One of them reads, while it is
//! running, how long the other ran meanwhile: that is what it waited for it, by the kernel's account
//! of CPU time. What the programs say of the two is compared with that.
//!
//! The processes exist before the agent gives up its privileges, see [`keeper`], and wait.

pub mod keeper;

use std::{
    ffi::{OsStr, OsString},
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    rc::Rc,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use agent_ebpf::cause::Cause;
use thiserror::Error;

use crate::{
    host::{
        hierarchy::{self, Controller},
        read,
    },
    model::{Identity, Kind, Labels, Model, Resource, Row},
    sample::Sample,
};

/// How the names of both cgroups begin.
const PREFIX: &str = "crosstalk-canary-";

/// What the run was by the kernel's account and by ours, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How long the other one ran while this one could have.
    pub expected_ns: u64,
    /// How long this one waited for the other.
    pub measured_ns: u64,
    /// Stolen time and interrupts of this one's waits: they count as the other's run time where the
    /// kernel does not tell them apart.
    pub uncertain_ns: u64,
}

impl Outcome {
    /// Whether the two agree within 3 %; `None` where the processes ran too little to tell.
    pub fn agrees(&self) -> Option<bool> {
        const LEAST_NS: u64 = 10_000_000;
        const PART: u64 = 33;
        let apart = self.expected_ns.abs_diff(self.measured_ns);
        (self.expected_ns >= LEAST_NS)
            .then_some(apart <= self.expected_ns / PART + self.uncertain_ns)
    }
}

/// Why there is no canary.
#[derive(Debug, Error)]
pub enum Error {
    /// The hierarchy is not known.
    #[error(transparent)]
    Hierarchy(#[from] hierarchy::Error),
    /// Its own cgroup cannot be told.
    #[error(transparent)]
    Read(#[from] read::Error),
    /// Its own cgroup is not below the mount.
    #[error("the agent's own cgroup is not to be seen below {}: mount the host's cgroups there", .0.display())]
    Hidden(PathBuf),
    /// A process or its cgroup could not be made.
    #[error("cannot make two cgroups in {}: {source}; the folder must be writable when the agent starts", .folder.display())]
    Keeper {
        /// Where.
        folder: PathBuf,
        /// What the kernel or the process said.
        source: io::Error,
    },
}

/// The processes that wait for a run, ended with this handle.
#[derive(Debug)]
pub struct Keeper {
    process: Child,
    orders: Option<ChildStdin>,
    answers: Option<BufReader<ChildStdout>>,
}

impl Keeper {
    /// Starts them, in cgroups below the agent's own. To be called while the agent may do that.
    pub fn start() -> Result<Keeper, Error> {
        let hierarchy = hierarchy::find(Path::new("/proc"), Controller::Cpu)?;
        let folder = hierarchy
            .own_folder()?
            .ok_or_else(|| Error::Hidden(hierarchy.mount.clone()))?;
        let failed = |source| Error::Keeper {
            folder: folder.clone(),
            source,
        };
        let mut process = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["canary", "keep"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let orders = process.stdin.take();
        let mut answers = process.stdout.take().map(BufReader::new);
        let mut line = String::new();
        if let Some(answers) = &mut answers {
            answers.read_line(&mut line).map_err(failed)?;
        }
        let keeper = Keeper {
            process,
            orders,
            answers,
        };
        match line.trim() {
            keeper::READY => Ok(keeper),
            "" => Err(failed(io::Error::other("the process for it ended"))),
            said => Err(failed(io::Error::other(said.to_owned()))),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Without orders it removes the cgroups and ends.
        self.orders = None;
        let _ = self.process.wait();
    }
}

/// A path without the cgroups of a canary: what happens there is the business of the cgroup above.
pub fn without(path: &OsStr) -> &OsStr {
    let whole = Path::new(path);
    let is_canary = whole
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    match whole.parent() {
        Some(above) if is_canary => above.as_os_str(),
        _ => path,
    }
}

/// Runs every so often, and compares.
#[derive(Debug)]
pub struct Canary {
    every: Duration,
    orders: Sender<()>,
    answers: Receiver<Option<u64>>,
    /// Its cgroups' names.
    names: [OsString; 2],
    state: State,
}

#[derive(Debug)]
enum State {
    /// Until then, by the monotonic clock.
    Idle { until: Duration },
    /// Since this sample.
    Running { since: Rc<Sample> },
    /// It is over, and the next sample has all of it.
    Over { since: Rc<Sample>, expected_ns: u64 },
}

impl Canary {
    /// The first run is `every` from `now` on. Starts a thread, which lives under what restrictions
    /// there are by now.
    pub fn new(mut keeper: Keeper, every: Duration, now: Duration) -> io::Result<Canary> {
        let id = keeper.process.id();
        let names = [keeper::VICTIM, keeper::AGGRESSOR].map(|role| keeper::cgroup(id, role).into());
        let (orders, ordered) = channel::<()>();
        let (answer, answers) = channel();
        let run = move || {
            while ordered.recv().is_ok() {
                if answer.send(keeper.run()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("canary".into()).spawn(run)?;
        Ok(Canary {
            every,
            orders,
            answers,
            names,
            state: State::Idle { until: now + every },
        })
    }

    /// After each sample: begins a run when it is due, and tells how one went.
    pub fn step(&mut self, latest: &Rc<Sample>) -> Option<Outcome> {
        let now = latest.monotonic;
        let idle = State::Idle {
            until: now + self.every,
        };
        match std::mem::replace(&mut self.state, idle) {
            State::Idle { until } if now < until => self.state = State::Idle { until },
            State::Idle { .. } => {
                let since = Rc::clone(latest);
                if self.orders.send(()).is_ok() {
                    self.state = State::Running { since };
                }
            }
            State::Running { since } => match self.answers.try_recv() {
                Ok(Some(expected_ns)) => self.state = State::Over { since, expected_ns },
                Ok(None) => tracing::warn!("the canary could not run"),
                Err(std::sync::mpsc::TryRecvError::Empty) => self.state = State::Running { since },
                Err(std::sync::mpsc::TryRecvError::Disconnected) => {}
            },
            State::Over { since, expected_ns } => {
                return Some(self.compare(&since, latest, expected_ns));
            }
        }
        None
    }

    fn compare(&self, before: &Sample, after: &Sample, expected_ns: u64) -> Outcome {
        let identify = |path: &OsStr| -> Identity {
            let is_own = self.names.iter().any(|name| ends_with(path, name));
            let boundary = if is_own { path } else { OsStr::new("/") };
            Identity {
                kind: Kind::Cgroup,
                name: String::new(),
                boundary: boundary.to_owned(),
                labels: Labels::default(),
            }
        };
        told(
            &Model::of_entities(before, after, &identify),
            &self.names,
            expected_ns,
        )
    }
}

fn ends_with(path: &OsStr, name: &OsStr) -> bool {
    Path::new(path).file_name() == Some(name)
}

/// What a model of the run says.
fn told(model: &Model, names: &[OsString; 2], expected_ns: u64) -> Outcome {
    let mut outcome = Outcome {
        expected_ns,
        ..Outcome::default()
    };
    let rows = &model.entities.rows;
    let row = |name: &OsString| rows.iter().position(|row| ends_with(&row.path, name));
    let (Some(victim), Some(culprit)) = (row(&names[0]), row(&names[1])) else {
        return outcome;
    };
    let blame = model.entities.blame_of(victim, Resource::Cpu);
    let blame = blame.filter(|blame| blame.culprit == culprit);
    outcome.measured_ns = blame.map(|blame| blame.ns).sum();
    outcome.uncertain_ns = uncertain_ns(&rows[victim]);
    outcome
}

fn uncertain_ns(victim: &Row) -> u64 {
    let wait = victim.usage.as_ref().map(|usage| &usage.wait);
    let causes = [Cause::Steal, Cause::Irq];
    let ns = causes.map(|cause| wait.and_then(|wait| wait.get(cause)));
    ns.into_iter().flatten().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_cgroups_belong_to_the_one_above() {
        let without = |path: &str| without(OsStr::new(path)).to_owned();
        assert_eq!(
            without("/a.slice/b.service/crosstalk-canary-7-victim"),
            "/a.slice/b.service"
        );
        assert_eq!(without("/crosstalk-canary-7-aggressor"), "/");
        assert_eq!(
            without("/a.slice/crosstalk.service"),
            "/a.slice/crosstalk.service"
        );
        assert_eq!(without("/"), "/");
    }

    #[test]
    fn a_run_agrees_within_three_per_cent_and_what_is_not_known() {
        let outcome = |expected_ns, measured_ns, uncertain_ns| Outcome {
            expected_ns,
            measured_ns,
            uncertain_ns,
        };
        let second = 1_000_000_000;
        assert_eq!(outcome(second, second - 20_000_000, 0).agrees(), Some(true));
        assert_eq!(
            outcome(second, second + 40_000_000, 0).agrees(),
            Some(false)
        );
        let stolen = outcome(second, second - 60_000_000, 40_000_000);
        assert_eq!(stolen.agrees(), Some(true));
        assert_eq!(outcome(second, 0, 0).agrees(), Some(false));
        assert_eq!(outcome(5_000_000, 0, 0).agrees(), None);
    }
}
