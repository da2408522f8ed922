//! `bpf-linker`, built against the distribution's LLVM when no suitable one is there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::llvm::{self, Version};
use super::{Done, Kit, apt, rust_src};
use crate::process;
use crate::report;
use crate::workspace::Workspace;

const VERSION: &str = "0.13.0";

/// Finds a linker that reads the bitcode of the kernel object's compiler, or builds one.
pub(super) fn ensure(workspace: &Workspace, kit: &Kit) -> Result<Done<()>> {
    let compiler = llvm::of_rustc(&mut rust_src::rustc(kit.toolchain))?;
    let found = process::find("bpf-linker", kit.path());
    if let Some(linker) = &found {
        match suits(linker, compiler) {
            Ok(version) => return Ok(told(linker, "found", version, compiler)),
            Err(why) => println!("    {}: {why:#}", linker.display()),
        }
    }
    // An unsuitable one may serve the user's other projects, so it is not replaced.
    let root = found.map(|_| workspace.tools());
    install(kit, root.as_deref(), compiler)?;
    let linker = process::find("bpf-linker", kit.path())
        .context("bpf-linker was installed but is in no folder of PATH")?;
    let version = suits(&linker, compiler)?;
    Ok(told(&linker, "installed", version, compiler))
}

fn told(linker: &Path, how: &str, version: Version, compiler: Version) -> Done<()> {
    let outcome = format!(
        "{how}: {}, LLVM {version} (rustc has {compiler})",
        linker.display()
    );
    Done { value: (), outcome }
}

/// Asks the LLVM inside the linker itself, which also shows that its libraries load.
fn suits(linker: &Path, compiler: Version) -> Result<Version> {
    let said = process::capture(Command::new(linker).args([
        "--llvm-args=--version",
        "--output=/dev/null",
        "/dev/null",
    ]))?;
    let version = llvm::parse(&said)?;
    llvm::check(compiler, version)?;
    Ok(version)
}

fn install(kit: &Kit, root: Option<&Path>, compiler: Version) -> Result<()> {
    if process::find("cargo", kit.path()).is_none() {
        bail!("no cargo on PATH: install Rust with rustup first");
    }
    let prefix = llvm_prefix()?;
    check_llvm(&prefix, compiler)?;
    report::note(&format!(
        "building bpf-linker {VERSION}: about two minutes on two cores"
    ));
    let feature = format!("llvm-{}", llvm::MAJOR);
    let mut command = kit.cargo_anywhere();
    command.args([
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
        "--no-default-features",
        "--features",
        &feature,
    ]);
    if let Some(root) = root {
        command.arg("--force").arg("--root").arg(root);
    }
    process::run(command.env("LLVM_PREFIX", prefix))
}

/// The user's own LLVM when one is named, else the distribution's.
fn llvm_prefix() -> Result<PathBuf> {
    if let Some(prefix) = env::var_os("LLVM_PREFIX") {
        return Ok(prefix.into());
    }
    let llvm = format!("llvm-{}-dev", llvm::MAJOR);
    let polly = format!("libpolly-{}-dev", llvm::MAJOR);
    apt::ensure(&[&llvm, &polly, "libzstd-dev", "g++"], "building bpf-linker").with_context(|| {
        format!(
            "LLVM {} is needed: take it from LLVM's own package archive, or set LLVM_PREFIX to a folder that holds it",
            llvm::MAJOR
        )
    })?;
    Ok(format!("/usr/lib/llvm-{}", llvm::MAJOR).into())
}

fn check_llvm(prefix: &Path, compiler: Version) -> Result<()> {
    let config = prefix.join("bin/llvm-config");
    let said = process::capture(Command::new(&config).arg("--version"))?;
    let version = llvm::parse(&format!("LLVM version {said}"))?;
    llvm::check(compiler, version)
        .with_context(|| format!("the LLVM in {} does not suit", prefix.display()))
}
