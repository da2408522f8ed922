//! Measures what Crosstalk costs, and writes the figures beside their targets.
//!
//! A figure that misses its target is told and is no failure: machines differ, and are shared.

mod document;
mod figure;
mod machine;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::figure::Figure;
use self::machine::Machine;
use crate::cargo;
use crate::process;
use crate::report;
use crate::setup::Kit;
use crate::workspace::Workspace;

/// The benchmark of the agent's package.
const TARGET: &str = "cost";
/// Where the figures go.
const DOCUMENT: &str = "docs/performance.md";

/// How much is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Few and short rounds, to see that it works; the figures are printed and not written
    #[arg(long)]
    quick: bool,
}

/// Builds the benchmark, runs it with root's rights and writes what it found.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let start = Instant::now();
    let program = build(kit, workspace)?;
    let mut command = process::as_root(&program)?;
    if options.quick {
        command.arg("--quick");
    }
    let mut figures = Vec::new();
    let status = process::stream(&mut command, |line| {
        let figure = Figure::parse(line)?;
        println!("{figure}");
        figures.push(figure);
        Ok(())
    })?;
    process::check(&command, status)?;
    ensure!(!figures.is_empty(), "the benchmark told no figure");
    let missed = figures.iter().filter(|figure| figure.is_missed()).count();
    let took = report::seconds(start.elapsed());
    println!(
        "\n{} figures, {missed} miss their target  [{took}]",
        figures.len()
    );
    if !options.quick {
        let path = workspace.root.join(DOCUMENT);
        let text = document::render(&Machine::read()?, &figures);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {DOCUMENT}");
    }
    Ok(ExitCode::SUCCESS)
}

fn build(kit: &Kit, workspace: &Workspace) -> Result<PathBuf> {
    let mut command = kit.cargo(workspace);
    command.args([
        "bench",
        "--no-run",
        "--package",
        "crosstalk",
        "--bench",
        TARGET,
    ]);
    cargo::named(cargo::executables(&mut command)?, TARGET)
}
