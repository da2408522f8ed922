//! The standard library's source. No toolchain ships `core` for the BPF target, so the kernel object compiles its own.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::{Done, apt};
use crate::process;
use crate::report;

/// Name under which rustup knows the distribution's toolchain.
const LINKED_NAME: &str = "crosstalk-kernel";

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// Where the distribution's toolchain lives.
const DEBIAN_PREFIX: &str = "/usr";
/// Present in every complete copy of the source: build-std resolves the library's dependencies with it.
const MARKER: &str = "lib/rustlib/src/rust/library/Cargo.lock";

/// Where the source comes from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RustSrc {
    /// A component of the pinned toolchain.
    Rustup,
    /// Debian's packages, for a machine that cannot reach rustup's host.
    Debian,
}

/// The toolchain that compiles the kernel object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that compiles everything else.
    Pinned,
    /// The distribution's, linked into rustup.
    Linked,
}

impl Toolchain {
    /// What rustup calls it; the pinned one needs no name.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Pinned => None,
            Self::Linked => Some(LINKED_NAME),
        }
    }
}

/// `rustc` of a toolchain.
pub(super) fn rustc(toolchain: Toolchain) -> Command {
    let Some(name) = toolchain.name() else {
        return Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    };
    let mut command = Command::new("rustup");
    command.args(["run", name, "rustc"]);
    command
}

/// Finds the source, or gets it from where the user says, or from rustup, or from Debian.
pub(super) fn ensure(from: Option<RustSrc>) -> Result<Done<Toolchain>> {
    match from {
        Some(RustSrc::Rustup) => from_rustup(),
        Some(RustSrc::Debian) => from_debian(),
        None if present(Toolchain::Pinned) => Ok(done(Toolchain::Pinned, "found")),
        None if present(Toolchain::Linked) => Ok(done(Toolchain::Linked, "found")),
        None => anywhere(),
    }
}

fn anywhere() -> Result<Done<Toolchain>> {
    let from_rustup = match from_rustup() {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    report::note(&format!("{from_rustup:#}; trying Debian's packages"));
    from_debian()
        .with_context(|| format!("rustup could not provide rust-src either ({from_rustup:#})"))
}

fn from_rustup() -> Result<Done<Toolchain>> {
    if present(Toolchain::Pinned) {
        return Ok(done(Toolchain::Pinned, "found"));
    }
    report::note("rustup component add rust-src");
    process::run(Command::new("rustup").args(["component", "add", "rust-src"]))?;
    if !present(Toolchain::Pinned) {
        bail!("rustup added rust-src, but {MARKER} is not in the toolchain");
    }
    Ok(done(Toolchain::Pinned, "installed"))
}

/// Debian's toolchain, where the machine's package sources offer it.
pub(super) fn debian() -> Result<Option<Done<Toolchain>>> {
    if !present(Toolchain::Linked) {
        apt::update_once()?;
        if !DEBIAN_PACKAGES
            .iter()
            .all(|package| apt::has_candidate(package))
        {
            return Ok(None);
        }
    }
    from_debian().map(Some)
}

fn from_debian() -> Result<Done<Toolchain>> {
    if present(Toolchain::Linked) {
        return Ok(done(Toolchain::Linked, "found"));
    }
    apt::ensure(
        &DEBIAN_PACKAGES,
        "compiling the kernel object without rustup's rust-src",
    )?;
    process::run(Command::new("rustup").args(["toolchain", "link", LINKED_NAME, DEBIAN_PREFIX]))?;
    if !present(Toolchain::Linked) {
        bail!(
            "{} are installed, but {DEBIAN_PREFIX}/{MARKER} is not there",
            DEBIAN_PACKAGES.join(", ")
        );
    }
    Ok(done(Toolchain::Linked, "installed"))
}

fn present(toolchain: Toolchain) -> bool {
    let sysroot = process::capture(rustc(toolchain).args(["--print", "sysroot"]));
    sysroot.is_ok_and(|sysroot| Path::new(sysroot.trim()).join(MARKER).exists())
}

fn done(toolchain: Toolchain, how: &str) -> Done<Toolchain> {
    let whose = match toolchain {
        Toolchain::Pinned => "the pinned toolchain".to_owned(),
        Toolchain::Linked => format!("Debian's, linked as `{LINKED_NAME}`"),
    };
    Done {
        value: toolchain,
        outcome: format!("{how}: {whose}"),
    }
}
