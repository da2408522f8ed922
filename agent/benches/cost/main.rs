//! What Crosstalk costs, measured on the kernel that runs here, side by side with an empty program
//! and with the tools that measure the same. Prints one line of JSON for each figure; progress goes to standard error.
//!
//! A figure is never a verdict here: `cargo xtask bench` writes them beside their targets. It needs
//! root, and removes what it makes.

mod cgroups;
mod child;
mod disk;
mod figure;
mod kernel;
mod observe;
mod programs;
mod slowdown;
mod storm;
mod tables;
mod targets;
mod truth;
mod userspace;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::figure::Plan;

/// Measures the cost of Crosstalk.
#[derive(Parser)]
struct Cli {
    /// Few and short rounds: to see that it works
    #[arg(long)]
    quick: bool,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Nanoseconds of the kernel programs
    Kernel {
        /// Under one load only
        load: Option<kernel::Load>,
    },
    /// Nanoseconds of the kernel program on block I/O, and how many requests it costs
    Disk,
    /// How many requests the programs on block I/O cost
    Requests,
    /// The same on a null_blk device
    NullRequests,
    /// How much slower other programs get
    Slowdown,
    /// CPU time and memory of the agent
    Userspace,
    /// Waits whose cause or culprit is not known
    Truth,
    /// Enters a cgroup and becomes another program
    #[command(hide = true)]
    Enter {
        cgroup: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Threads that sleep and wake until standard input ends
    #[command(hide = true)]
    Sleepers {
        cgroup: PathBuf,
        threads: u32,
        period_ms: u64,
    },
    /// Observes once a second, and tells what that took
    #[command(hide = true)]
    Observe { seconds: u64 },
    /// Observes once a second until standard input ends
    #[command(hide = true)]
    Watch,
    /// Reads maps made for so many CPUs
    #[command(hide = true)]
    Capacity { cpus: u32 },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let plan = if cli.quick { Plan::QUICK } else { Plan::FULL };
    match cli.part {
        None => everything(&plan),
        Some(Part::Kernel { load }) => kernel::measure(&plan, load),
        Some(Part::Disk) => {
            disk::measure(&plan)?;
            disk::compare(&plan)
        }
        Some(Part::Requests) => disk::compare(&plan),
        Some(Part::NullRequests) => disk::compare_null(&plan),
        Some(Part::Slowdown) => slowdown::measure(&plan),
        Some(Part::Userspace) => userspace::measure(&plan),
        Some(Part::Truth) => truth::measure(&plan),
        Some(Part::Enter { cgroup, command }) => cgroups::enter_and_become(&cgroup, &command),
        Some(Part::Sleepers {
            cgroup,
            threads,
            period_ms,
        }) => cgroups::sleep_in(&cgroup, threads, period_ms),
        Some(Part::Observe { seconds }) => observe::observe(seconds),
        Some(Part::Watch) => observe::watch(),
        Some(Part::Capacity { cpus }) => observe::capacity(cpus),
    }
}

fn everything(plan: &Plan) -> Result<()> {
    kernel::measure(plan, None)?;
    disk::measure(plan)?;
    truth::measure(plan)?;
    userspace::measure(plan)?;
    slowdown::measure(plan)?;
    disk::compare(plan)
}
