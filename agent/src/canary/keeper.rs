//! The processes of the canary. A keeper makes the cgroups, tells the two others when to begin, and
//! removes the cgroups when nobody gives orders any more, however the agent ended.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use caps::Capability;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::{Pid, read},
};

use super::{Keeper, PREFIX};
use crate::confine::{Needs, confine};

/// What the keeper says once all are there.
pub(super) const READY: &str = "ready";
/// What the victim says when the other is to begin.
const BEGIN: &str = "begin";
/// Who waits.
pub(super) const VICTIM: &str = "victim";
/// Whom it waits for.
pub(super) const AGGRESSOR: &str = "aggressor";
/// How long they share a CPU.
const LENGTH: Duration = Duration::from_secs(2);
/// Between looks at whether it is over.
const STEP: Duration = Duration::from_millis(1);
/// Others that want the CPU go first.
const NICE: libc::c_int = 19;

/// The name of a cgroup.
pub(super) fn cgroup(keeper: u32, role: &str) -> String {
    format!("{PREFIX}{keeper}-{role}")
}

impl Keeper {
    /// One run: how long the aggressor ran while the victim could have, nanoseconds; `None` where it
    /// did not come about.
    pub(super) fn run(&mut self) -> Option<u64> {
        self.orders.as_mut()?.write_all(b"run\n").ok()?;
        let mut line = String::new();
        self.answers.as_mut()?.read_line(&mut line).ok()?;
        line.trim().parse().ok()
    }
}

/// What one of the processes does.
#[derive(Debug, clap::Subcommand)]
pub enum Role {
    /// Makes the cgroups and starts the others
    Keep {
        /// Where
        folder: PathBuf,
    },
    /// Waits, and tells how long the other ran
    Victim {
        /// The other
        aggressor: i32,
    },
    /// Runs until it is told to stop
    Aggressor,
}

/// Does that until standard input ends.
pub fn play(role: &Role) -> Result<()> {
    match role {
        Role::Keep { folder } => {
            let stage = Stage::set(folder);
            if let Err(error) = &stage {
                // The agent says it: it knows where that is read.
                println!("{error:#}");
            }
            stage?.serve()
        }
        Role::Victim { aggressor } => wait(Pid::from_raw(*aggressor)),
        Role::Aggressor => disturb(),
    }
}

/// Both processes in their cgroups.
struct Stage {
    victim: Actor,
    aggressor: Actor,
}

struct Actor {
    folder: PathBuf,
    process: Child,
    orders: Option<ChildStdin>,
    answers: Option<BufReader<ChildStdout>>,
}

impl Stage {
    fn set(folder: &Path) -> Result<Stage> {
        let cpu = allowed_cpu(Pid::from_raw(0))?;
        let aggressor = Actor::start(folder, AGGRESSOR, &[], cpu)?;
        let id = aggressor.process.id().to_string();
        let victim = Actor::start(folder, VICTIM, &[&id], cpu)?;
        // Whoever owns the root of a hierarchy may not change it for that alone.
        let is_root = fs::metadata(folder)?.permissions().readonly();
        confine(&Needs {
            capability: is_root.then_some(Capability::CAP_DAC_OVERRIDE),
            sockets: None,
            folders: Some(folder),
        });
        println!("{READY}");
        Ok(Stage { victim, aggressor })
    }

    fn serve(mut self) -> Result<()> {
        for order in io::stdin().lines() {
            order?;
            println!("{}", self.run()?);
        }
        Ok(())
    }

    fn run(&mut self) -> Result<String> {
        self.victim.tell()?;
        ensure!(self.victim.answer()? == BEGIN, "the victim does not begin");
        self.aggressor.tell()?;
        let told = self.victim.answer()?;
        self.aggressor.tell()?;
        Ok(told)
    }
}

impl Actor {
    fn start(parent: &Path, role: &'static str, args: &[&str], cpu: CpuSet) -> Result<Actor> {
        let folder = parent.join(cgroup(std::process::id(), role));
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
        // A tenth of what others get. Where a cgroup has no weight, that of the one above holds.
        for (file, weight) in [("cpu.weight", "10"), ("cpu.shares", "102")] {
            let file = folder.join(file);
            if file.exists() {
                let _ = fs::write(file, weight);
            }
        }
        let process = Command::new(std::env::current_exe()?)
            .args(["canary", role])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = match process {
            Ok(process) => process,
            Err(error) => {
                let _ = fs::remove_dir(&folder);
                return Err(error).context("cannot start a process");
            }
        };
        let actor = Actor {
            orders: process.stdin.take(),
            answers: process.stdout.take().map(BufReader::new),
            folder,
            process,
        };
        let id = actor.process.id();
        fs::write(actor.folder.join("cgroup.procs"), id.to_string())
            .with_context(|| format!("cannot put a process into {}", actor.folder.display()))?;
        sched_setaffinity(Pid::from_raw(id.cast_signed()), &cpu)
            .context("cannot choose its CPU")?;
        Ok(actor)
    }

    fn tell(&mut self) -> Result<()> {
        let orders = self.orders.as_mut().context("it takes no orders")?;
        Ok(orders.write_all(b"\n")?)
    }

    fn answer(&mut self) -> Result<String> {
        let answers = self.answers.as_mut().context("it does not answer")?;
        let mut line = String::new();
        answers.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.process.wait();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// One CPU that a process may use: the last, for interrupts often go to the first.
fn allowed_cpu(process: Pid) -> Result<CpuSet> {
    let allowed = sched_getaffinity(process).context("cannot tell which CPUs there are")?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut cpu = CpuSet::new();
    cpu.set(last.context("there is no CPU to use")?)?;
    Ok(cpu)
}

fn settle_down() {
    // SAFETY: changes the weight of this process, and no memory.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    confine(&Needs {
        capability: None,
        sockets: None,
        folders: None,
    });
}

/// Runs all the time, and notes what the other ran: at both times this process runs, so that the
/// other one on this CPU does not.
fn wait(aggressor: Pid) -> Result<()> {
    settle_down();
    let clock = clock_getcpuclockid(aggressor)?;
    for order in io::stdin().lines() {
        order?;
        let before = Duration::from(clock_gettime(clock)?);
        println!("{BEGIN}");
        let start = Instant::now();
        while start.elapsed() < LENGTH {
            std::hint::spin_loop();
        }
        let ran = Duration::from(clock_gettime(clock)?).saturating_sub(before);
        // A CPU that went off-line lets both go anywhere.
        let own = sched_getaffinity(Pid::from_raw(0))?;
        let is_shared =
            own == allowed_cpu(Pid::from_raw(0))? && own == sched_getaffinity(aggressor)?;
        if is_shared {
            println!("{}", ran.as_nanos());
        } else {
            println!("the CPU is not shared");
        }
    }
    Ok(())
}

/// Runs from one order to the next. Orders are read one by one: what a buffer holds is not there to
/// be waited for.
fn disturb() -> Result<()> {
    settle_down();
    let input = io::stdin();
    while is_ordered(&input)? {
        while !is_ready(&input)? {
            let start = Instant::now();
            while start.elapsed() < STEP {
                std::hint::spin_loop();
            }
        }
        if !is_ordered(&input)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits for an order; `false` when there will be none.
fn is_ordered(input: &io::Stdin) -> Result<bool> {
    Ok(read(input.as_fd(), &mut [0u8; 1])? > 0)
}

fn is_ready(input: &io::Stdin) -> Result<bool> {
    let mut files = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut files, PollTimeout::ZERO)? > 0)
}
