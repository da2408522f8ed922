//! Looks for words of others that Crosstalk cannot bear: builds the fuzz targets with libFuzzer's instrumentation, and
//! runs them for a while. What they find interesting is kept in the build folder, and is where the next run begins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::cargo::{self, Executable};
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Package of the targets.
const PACKAGE: &str = "fuzz";
/// Files of the kinds that targets read.
const SEEDS: &str = "tests/fuzz/seeds";
/// What libFuzzer is told by (SanitizerCoverage of LLVM), and panics of arithmetic.
const INSTRUMENTATION: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// What is run, and for how long.
#[derive(Args)]
pub(crate) struct Options {
    /// One target; all by default
    target: Option<String>,
    /// For each target
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// Builds and runs them.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut targets = build(kit, workspace)?;
    let wanted = |target: &Executable| {
        options
            .target
            .as_ref()
            .is_none_or(|name| target.target == *name)
    };
    let names: Vec<String> = targets.iter().map(|target| target.target.clone()).collect();
    targets.retain(wanted);
    ensure!(
        !targets.is_empty(),
        "there is no such target: give one of {}",
        names.join(", ")
    );
    for target in &targets {
        fuzz(workspace, target, options.seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn build(kit: &Kit, workspace: &Workspace) -> Result<Vec<Executable>> {
    let triple = cargo::triple();
    let flags = INSTRUMENTATION.map(|flag| format!("{flag:?}")).join(",");
    let mut command = kit.cargo(workspace);
    // Options and not variables: those would reach programs that run while it is built.
    command
        .args([
            "build",
            "--release",
            "--package",
            PACKAGE,
            "--features",
            "libfuzzer",
        ])
        .args(["--target", &triple, "--target-dir"])
        .arg(workspace.target.join("fuzz"))
        .args(["--config", &format!("target.{triple}.rustflags=[{flags}]")])
        .args(["--config", cargo::WITHOUT_LTO]);
    cargo::executables(&mut command)
}

fn fuzz(workspace: &Workspace, target: &Executable, seconds: u32) -> Result<()> {
    let name = &target.target;
    println!("{name}: {seconds} s …");
    let found = folder(&workspace.target.join("fuzz/found").join(name))?;
    let corpus = folder(&workspace.target.join("fuzz/corpus").join(name))?;
    let mut command = Command::new(&target.path);
    command.arg(&corpus);
    let seeds = workspace.root.join(SEEDS).join(name);
    if seeds.exists() {
        command.arg(seeds);
    }
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .args([
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-verbosity=0",
            "-print_final_stats=1",
        ]);
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", target.path.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        print!("{said}");
        bail!(
            "{name} fails: what it failed at is the newest file in {}; give that to {} to see it again",
            found.display(),
            target.path.display()
        );
    }
    let runs = said
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{name}: {} runs, none failed", runs.unwrap_or("?").trim());
    Ok(())
}

fn folder(path: &Path) -> Result<PathBuf> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    Ok(path.to_owned())
}
