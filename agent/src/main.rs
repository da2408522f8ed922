//! The command `crosstalk`.

use std::process::ExitCode;

use clap::Parser as _;
use crosstalk::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().into()
}
