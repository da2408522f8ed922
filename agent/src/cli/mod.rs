//! The command line: one module for each subcommand.
//!
//! Subcommands observe, and hand what they found to pure renderers. What a tenant chose reaches a
//! terminal only through [`crate::host::text`].

mod agent;
mod capability;
mod doctor;
mod exit;
mod health;
mod interrupt;
mod log;
mod output;
mod page;
mod report;
mod socket;
mod warm_up;

pub use exit::Exit;

use clap::{Parser, Subcommand};

use crate::canary::keeper;

/// Tells who is slowed down on this host, by what, and by whom.
#[derive(Debug, Parser)]
#[command(name = "crosstalk", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(report::Args),
    Doctor(doctor::Args),
    Agent(agent::Args),
    Health(health::Args),
    /// A process of the agent's canary
    #[command(hide = true)]
    Canary {
        #[command(subcommand)]
        role: keeper::Role,
    },
}

impl Cli {
    /// Does what was asked for. What went wrong has been said when it returns.
    pub fn run(self) -> Exit {
        log::install();
        let ran = match self.command {
            Command::Report(args) => report::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Agent(args) => agent::run(&args),
            Command::Health(args) => health::run(&args),
            Command::Canary { role } => keeper::play(&role).map(|()| Exit::Ran),
        };
        ran.unwrap_or_else(|error| exit::complain(&error))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
