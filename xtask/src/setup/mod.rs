//! Finds or installs what a purpose needs. Safe to repeat: with everything there it only looks.

mod apt;
pub(crate) mod archive;
mod linker;
mod llvm;
mod qemu;
pub(crate) mod receivers;
mod rust_src;
mod tools;

use std::env;
use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;

pub(crate) use self::qemu::PROGRAM as QEMU;
pub(crate) use self::rust_src::{RustSrc, Toolchain};
use crate::report;
use crate::workspace::Workspace;

/// What a machine is prepared for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Building the binary.
    Build,
    /// Building and running it.
    Run,
    /// The whole test run, with virtual machines and licence checks.
    Test,
    /// Measuring, side by side with other tools.
    Bench,
    /// Fuzzing.
    Fuzz,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Build => "the build",
            Self::Run => "running",
            Self::Test => "the tests",
            Self::Bench => "the benchmarks",
            Self::Fuzz => "fuzzing",
        }
    }

    fn packages(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Build | Self::Run => &[],
            Self::Fuzz => &["g++"],
            Self::Test => &["stress-ng"],
            Self::Bench => &["bpftool", "fio", "libbpf-tools", "linux-perf", "stress-ng"],
        };
        let guests = if self.boots_guests() {
            GUEST_PACKAGES
        } else {
            &[]
        };
        [own, guests].concat()
    }

    fn boots_guests(self) -> bool {
        matches!(self, Self::Test | Self::Bench)
    }
}

/// Packages that the images of virtual machines are made with.
const GUEST_PACKAGES: &[&str] = &["busybox-static", "e2fsprogs", "kmod", "xz-utils", "zstd"];

/// What the machine offers after a set-up; every build starts from it.
pub(crate) struct Kit {
    /// Which toolchain compiles the kernel object.
    pub(crate) toolchain: Toolchain,
    path: OsString,
}

impl Kit {
    /// Cargo at the top of the tree, able to find the linker and the kernel object's toolchain.
    pub(crate) fn cargo(&self, workspace: &Workspace) -> Command {
        let mut command = self.cargo_anywhere();
        command.current_dir(&workspace.root);
        if let Some(name) = self.toolchain.name() {
            command.env("CROSSTALK_KERNEL_TOOLCHAIN", name);
        }
        command
    }

    fn cargo_anywhere(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.env("PATH", &self.path);
        command
    }

    /// The search path with cargo's and the workspace's own tools.
    pub(crate) fn path(&self) -> &OsString {
        &self.path
    }
}

/// Prepares the machine; each step prints one line.
pub(crate) fn prepare(
    workspace: &Workspace,
    purpose: Purpose,
    rust_src: Option<RustSrc>,
) -> Result<Kit> {
    let path = search_path(workspace)?;
    let toolchain = timed("rust-src", || rust_src::ensure(rust_src))?;
    let kit = Kit { toolchain, path };
    timed("bpf-linker", || linker::ensure(workspace, &kit))?;
    let packages = purpose.packages();
    if !packages.is_empty() {
        timed("packages", || apt::ensure(&packages, purpose.name()))?;
    }
    if purpose.boots_guests() {
        timed("qemu", || qemu::ensure(workspace, &kit))?;
    }
    if purpose == Purpose::Test {
        timed("Python and rotel", || receivers::from_pypi(workspace))?;
        timed("VictoriaMetrics", || receivers::victoria_metrics(workspace))?;
        timed("cargo-deny", || tools::cargo_deny(&kit))?;
    }
    Ok(kit)
}

/// Debian's toolchain beside the one in use, installed where the machine's package sources offer it.
pub(crate) fn debian_toolchain() -> Result<Option<Toolchain>> {
    Ok(rust_src::debian()?.map(|done| done.value))
}

/// Outcome of one step, as it is told to the user, with what later steps need of it.
struct Done<T> {
    value: T,
    outcome: String,
}

fn timed<T>(what: &str, step: impl FnOnce() -> Result<Done<T>>) -> Result<T> {
    let start = Instant::now();
    let done = step().with_context(|| format!("set-up of {what}"))?;
    report::step(what, &done.outcome, start.elapsed());
    Ok(done.value)
}

/// Our own tools come first: they are there only when the machine's are unsuitable.
fn search_path(workspace: &Workspace) -> Result<OsString> {
    let machine = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(Into::into)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let folders = std::iter::once(workspace.tools().join("bin"))
        .chain(env::split_paths(&machine))
        .chain(cargo_home.map(|home| home.join("bin")));
    env::join_paths(folders).context("a folder of PATH cannot be part of a search path")
}
