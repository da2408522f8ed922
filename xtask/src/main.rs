//! What cargo cannot say: sets the machine up, builds the kernel object, boots the kernels that the tests need, measures.
//!
//! Depends on no other package of the workspace, so that it can prepare a machine on which those do not build yet.

mod bench;
mod build;
mod cargo;
mod expected;
mod fuzz;
mod object;
mod process;
mod programs;
mod report;
mod results;
mod setup;
mod test;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::{Purpose, RustSrc};
use crate::workspace::Workspace;

/// Set-up, builds and tests of Crosstalk.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    /// Where the standard library's source for the kernel object comes from; by default what is there, else rustup, else Debian
    #[arg(long, global = true, value_enum)]
    rust_src_from: Option<RustSrc>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install what a purpose needs
    Setup {
        /// What the machine is prepared for
        #[arg(long = "for", value_enum, default_value = "build")]
        purpose: Purpose,
    },
    /// Build the kernel object and print its path, size and SHA-256
    Object {
        /// Copy the object to this path
        #[arg(long)]
        release_out: Option<PathBuf>,
        /// Build twice from nothing and compare byte by byte
        #[arg(long)]
        check_reproducible: bool,
    },
    /// Build the release binary
    Build,
    /// Set up, build, and run `crosstalk` with the given arguments, through sudo when not root
    Run {
        /// Arguments of `crosstalk`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Set up, and run every check and test
    Test {
        /// Run only tests whose name contains one of these words, and no checks
        #[arg(last = true)]
        filter: Vec<String>,
    },
    /// Run the kernel tests on Debian's kernels in virtual machines
    Vm(vm::Options),
    /// Set up, and look for words of others that it cannot bear
    Fuzz(fuzz::Options),
    /// Set up, measure what Crosstalk costs, and write the figures to docs/performance.md
    Bench(bench::Options),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let prepare = |purpose| setup::prepare(&workspace, purpose, cli.rust_src_from);
    match cli.command {
        Command::Setup { purpose } => prepare(purpose).map(|_| ExitCode::SUCCESS),
        Command::Object {
            release_out,
            check_reproducible,
        } => {
            let kit = prepare(Purpose::Build)?;
            object::command(&workspace, &kit, release_out.as_deref(), check_reproducible)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Build => {
            let binary = build::release(&prepare(Purpose::Build)?, &workspace)?;
            println!("{}", binary.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Test { filter } => test::run(&workspace, cli.rust_src_from, &filter),
        Command::Vm(options) => {
            let tally = vm::run(&prepare(Purpose::Test)?, &workspace, &options)?;
            Ok(report::verdict(&tally))
        }
        Command::Bench(options) => bench::run(&prepare(Purpose::Bench)?, &workspace, &options),
        Command::Fuzz(options) => fuzz::run(&prepare(Purpose::Fuzz)?, &workspace, &options),
        Command::Run { args } => build::run(&prepare(Purpose::Run)?, &workspace, &args),
    }
}
