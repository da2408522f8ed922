//! The kernel object alone: for packagers, and to show that it builds reproducibly.

mod invocation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::invocation::Invocation;
use crate::process;
use crate::setup::{Kit, Toolchain};
use crate::workspace::Workspace;

/// Builds the object and prints what it is.
pub(crate) fn command(
    workspace: &Workspace,
    kit: &Kit,
    out: Option<&Path>,
    reproducible: bool,
) -> Result<()> {
    let object = build(workspace, kit, kit.toolchain)?;
    if reproducible {
        check_reproducible(workspace, kit, &object)?;
    }
    let shown = match out {
        Some(out) => {
            fs::copy(&object, out).with_context(|| {
                format!("cannot copy {} to {}", object.display(), out.display())
            })?;
            out
        }
        None => &object,
    };
    let size = fs::metadata(shown)
        .with_context(|| format!("cannot read {}", shown.display()))?
        .len();
    println!(
        "{}  {size} bytes  sha256 {}",
        shown.display(),
        sha256(shown)?
    );
    Ok(())
}

/// Builds the object with a toolchain and returns its path.
pub(crate) fn build(workspace: &Workspace, kit: &Kit, toolchain: Toolchain) -> Result<PathBuf> {
    build_in(workspace, kit, toolchain, &folder(workspace, toolchain))
}

fn folder(workspace: &Workspace, toolchain: Toolchain) -> PathBuf {
    // Two compilers in one folder would rebuild everything at each change between them.
    workspace
        .target
        .join("object")
        .join(toolchain.name().unwrap_or("pinned"))
}

fn build_in(
    workspace: &Workspace,
    kit: &Kit,
    toolchain: Toolchain,
    target: &Path,
) -> Result<PathBuf> {
    let invocation = Invocation {
        root: &workspace.root,
        target,
        toolchain: toolchain.name(),
    };
    process::run(invocation.command().env("PATH", kit.path()))?;
    Ok(invocation.object())
}

fn check_reproducible(workspace: &Workspace, kit: &Kit, first: &Path) -> Result<()> {
    let again = workspace.target.join("object/again");
    if again.exists() {
        fs::remove_dir_all(&again).with_context(|| format!("cannot empty {}", again.display()))?;
    }
    let second = build_in(workspace, kit, kit.toolchain, &again)?;
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    if read(first)? != read(&second)? {
        bail!(
            "two builds differ: compare {} with {}",
            first.display(),
            second.display()
        );
    }
    println!("two builds from nothing are the same, byte by byte");
    Ok(())
}

fn sha256(file: &Path) -> Result<String> {
    let said = process::capture(Command::new("sha256sum").arg(file))?;
    said.split_whitespace()
        .next()
        .map(str::to_owned)
        .context("sha256sum printed nothing")
}
