//! Measures what Crosstalk costs, and writes the figures beside their targets.
//!
//! A figure that misses its target is told and is no failure: machines differ, and are shared.

mod document;
mod figure;
mod guest;
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
use crate::programs::BENCHMARK;
use crate::report;
use crate::setup::Kit;
use crate::vm;
use crate::workspace::Workspace;

/// Where the figures go.
const DOCUMENT: &str = "docs/performance.md";

/// How much is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Few and short rounds, to see that it works; the figures are printed and not written
    #[arg(long)]
    quick: bool,
    /// Only what is measured in a virtual machine; the figures are printed and not written
    #[arg(long)]
    guest: bool,
}

/// Builds the benchmark, runs it with root's rights and writes what it found.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let start = Instant::now();
    // First, for it is short: what it lacks ends no long run.
    let mut of_guest = Vec::new();
    if vm::can_boot() {
        of_guest = guest::figures(kit, workspace, options.quick)?;
        for figure in &of_guest {
            println!("{figure}");
        }
    }
    let mut figures = Vec::new();
    if !options.guest {
        figures = on_this_machine(kit, workspace, options.quick)?;
    }
    figures.extend(of_guest);
    ensure!(!figures.is_empty(), "the benchmark told no figure");
    let missed = figures.iter().filter(|figure| figure.is_missed()).count();
    let took = report::seconds(start.elapsed());
    println!(
        "\n{} figures, {missed} miss their target  [{took}]",
        figures.len()
    );
    if !options.quick && !options.guest {
        let path = workspace.root.join(DOCUMENT);
        let text = document::render(&Machine::read()?, &figures);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {DOCUMENT}");
    }
    Ok(ExitCode::SUCCESS)
}

fn on_this_machine(kit: &Kit, workspace: &Workspace, quick: bool) -> Result<Vec<Figure>> {
    let mut command = process::as_root(build(kit, workspace)?)?;
    if quick {
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
    Ok(figures)
}

fn build(kit: &Kit, workspace: &Workspace) -> Result<PathBuf> {
    let mut command = kit.cargo(workspace);
    command.args([
        "bench",
        "--no-run",
        "--package",
        "crosstalk",
        "--bench",
        BENCHMARK,
    ]);
    cargo::named(cargo::executables(&mut command)?, BENCHMARK)
}
