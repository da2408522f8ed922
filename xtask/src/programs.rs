//! The programs of a black-box test run: the binary under test, the tests, and the loads that they start.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::cargo::{self, Executable};
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Package of the black-box tests.
const PACKAGE: &str = "tests";
/// Its program that makes loads.
const LOADS: &str = "loads";
/// The benchmark of the agent's package.
pub(crate) const BENCHMARK: &str = "cost";

/// What a run needs.
pub(crate) struct Programs {
    /// `crosstalk`.
    pub(crate) crosstalk: PathBuf,
    /// The loads, once the tests have them.
    pub(crate) loads: Option<PathBuf>,
    /// The test programs.
    pub(crate) tests: Vec<Executable>,
}

/// Builds the programs for this machine, with the binary as it is released.
pub(crate) fn for_host(kit: &Kit, workspace: &Workspace) -> Result<Programs> {
    build(kit, workspace, &[])
}

/// Builds the programs so that they run on a machine that has nothing else.
pub(crate) fn for_guest(kit: &Kit, workspace: &Workspace) -> Result<Programs> {
    let mut programs = build(kit, workspace, &alone(workspace))?;
    programs.tests.retain(|test| needs_kernel(&test.target));
    ensure!(
        !programs.tests.is_empty(),
        "package `{PACKAGE}` has no test program named kernel_* or oracle_*"
    );
    Ok(programs)
}

/// Builds the benchmark so that it runs on a machine that has nothing else.
pub(crate) fn benchmark_for_guest(kit: &Kit, workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo_alone(kit, workspace);
    command
        .args(["bench", "--no-run", "--package", "crosstalk", "--bench"])
        .arg(BENCHMARK)
        .args(alone(workspace));
    cargo::named(cargo::executables(&mut command)?, BENCHMARK)
}

/// Options, and not variables: those would reach the kernel object's build too.
fn alone(workspace: &Workspace) -> Vec<String> {
    let folder = workspace.target.join("vm/build").display().to_string();
    let triple = cargo::triple();
    let linking = format!("target.{triple}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    let options = ["--target", &triple, "--target-dir", &folder];
    let mut options: Vec<String> = options.map(str::to_owned).into();
    let size = [cargo::WITHOUT_LTO, "profile.release.strip=\"debuginfo\""];
    for setting in [&linking, size[0], size[1]] {
        options.extend(["--config".to_owned(), setting.to_owned()]);
    }
    options
}

/// Cargo without the caller's own flags.
fn cargo_alone(kit: &Kit, workspace: &Workspace) -> Command {
    let mut command = kit.cargo(workspace);
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// Whether a test program is about the kernel, and so runs on each of them.
fn needs_kernel(test: &str) -> bool {
    test.starts_with("kernel_") || test.starts_with("oracle_")
}

/// The binary with these options. The tests are those of a guest everywhere: three dozen programs
/// are dear to build twice.
fn build(kit: &Kit, workspace: &Workspace, options: &[String]) -> Result<Programs> {
    let cargo = |args: &[&str], options: &[String]| {
        let mut command = cargo_alone(kit, workspace);
        command.args(args).arg("--release").args(options);
        cargo::executables(&mut command)
    };
    let crosstalk = cargo(&["build", "--package", "crosstalk"], options)?;
    let tests = [
        "test",
        "--no-run",
        "--tests",
        "--bins",
        "--package",
        PACKAGE,
    ];
    let mut built = cargo(&tests, &alone(workspace))?;
    // A program with its own unit tests is built twice; the test of it has the same name but lies in `deps`.
    let position = built
        .iter()
        .position(|program| program.target == LOADS && !program.is_test);
    let loads = position.map(|position| built.swap_remove(position).path);
    built.retain(|program| program.is_test);
    built.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(Programs {
        crosstalk: cargo::named(crosstalk, "crosstalk")?,
        loads,
        tests: built,
    })
}
