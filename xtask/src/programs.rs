//! The programs of a black-box test run: the binary under test, the tests, and the loads that they start.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, Executable};
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Package of the black-box tests.
const PACKAGE: &str = "tests";
/// Its program that makes loads.
const LOADS: &str = "loads";
/// The only one whose kernels are booted.
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

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
    build(|| kit.cargo(workspace))
}

/// Builds the programs so that they run on a machine that has nothing else.
pub(crate) fn for_guest(kit: &Kit, workspace: &Workspace) -> Result<Programs> {
    let mut programs = build(|| {
        let mut command = kit.cargo(workspace);
        // A folder of its own: other flags would otherwise rebuild the ordinary programs each time.
        command
            .env("CARGO_TARGET_DIR", workspace.target.join("vm/build"))
            .env("CARGO_BUILD_TARGET", GUEST_TARGET);
        command
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
        command
    })?;
    programs.tests.retain(|test| needs_kernel(&test.target));
    ensure!(
        !programs.tests.is_empty(),
        "package `{PACKAGE}` has no test program named kernel_* or oracle_*"
    );
    Ok(programs)
}

/// Whether a test program is about the kernel, and so runs on each of them.
fn needs_kernel(test: &str) -> bool {
    test.starts_with("kernel_") || test.starts_with("oracle_")
}

fn build(cargo: impl Fn() -> Command) -> Result<Programs> {
    let binary =
        cargo::executables(cargo().args(["build", "--release", "--package", "crosstalk"]))?;
    let crosstalk = cargo::named(binary, "crosstalk").context("package `crosstalk`")?;
    let mut built = cargo::executables(cargo().args([
        "test",
        "--no-run",
        "--release",
        "--tests",
        "--bins",
        "--package",
        PACKAGE,
    ]))?;
    // A program with its own unit tests is built twice; the test of it has the same name but lies in `deps`.
    let position = built
        .iter()
        .position(|program| program.target == LOADS && !program.is_test);
    let loads = position.map(|position| built.swap_remove(position).path);
    built.retain(|program| program.is_test);
    built.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(Programs {
        crosstalk,
        loads,
        tests: built,
    })
}
