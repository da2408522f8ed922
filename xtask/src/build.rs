//! The release binary, and running it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;
use crate::process;
use crate::setup::Kit;
use crate::workspace::Workspace;

/// Builds `crosstalk` for release and returns its path.
pub(crate) fn release(kit: &Kit, workspace: &Workspace) -> Result<PathBuf> {
    let found = cargo::executables(kit.cargo(workspace).args([
        "build",
        "--release",
        "--package",
        "crosstalk",
    ]))?;
    cargo::named(found, "crosstalk")
}

/// Builds `crosstalk` and runs it with root's rights; its exit code is the result.
pub(crate) fn run(kit: &Kit, workspace: &Workspace, args: &[OsString]) -> Result<ExitCode> {
    let binary = release(kit, workspace)?;
    if !process::is_root()? {
        println!("crosstalk loads kernel programs, which needs root: running it through sudo");
    }
    let mut command = process::as_root(&binary)?;
    let status = command
        .args(args)
        .status()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
