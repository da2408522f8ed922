//! How cargo is called for the kernel object. Depends on nothing, so that a build script may include it as it is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the binary target.
pub(crate) const BINARY: &str = "crosstalk-ebpf";

const TARGET: &str = "bpfel-unknown-none";

/// Settings of an enclosing cargo that would leak into this build.
const INHERITED: [&str; 7] = [
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// One build of the kernel object.
pub(crate) struct Invocation<'a> {
    /// Top of the source tree.
    pub(crate) root: &'a Path,
    /// Build folder of its own: sharing one would lock out the enclosing cargo.
    pub(crate) target: &'a Path,
    /// A toolchain that rustup knows; the active one when absent.
    pub(crate) toolchain: Option<&'a str>,
}

impl Invocation<'_> {
    /// The command that builds it.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.program("cargo");
        command.current_dir(self.root);
        command.args([
            "build",
            "--release",
            "--package",
            "agent-ebpf",
            "--bin",
            BINARY,
            "--features",
            "kernel",
        ]);
        command
            .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
            .arg(self.target);
        for variable in INHERITED {
            command.env_remove(variable);
        }
        // The BPF target has no shipped `core`, and building one is unstable.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.env("CARGO_ENCODED_RUSTFLAGS", self.rustflags().join("\x1f"));
        // The verifier sees the whole program at once, so the compiler should as well.
        command
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            .env("CARGO_PROFILE_RELEASE_LTO", "fat")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_INCREMENTAL", "0");
        command
    }

    /// Where the object is after the command.
    pub(crate) fn object(&self) -> PathBuf {
        self.target.join(TARGET).join("release").join(BINARY)
    }

    fn program(&self, name: &str) -> Command {
        let Some(toolchain) = self.toolchain else {
            return Command::new(env::var_os(name.to_uppercase()).unwrap_or_else(|| name.into()));
        };
        let mut command = Command::new("rustup");
        command.args(["run", toolchain, name]);
        command
    }

    /// Debug information becomes BTF; its paths must not tell where the build ran.
    fn rustflags(&self) -> Vec<String> {
        let flags = [
            "-Dwarnings",
            "-Cdebuginfo=2",
            "-Clink-arg=--btf",
            "-Ctarget-cpu=v3",
        ];
        let mut flags = Vec::from(flags.map(str::to_owned));
        flags.push(remap(self.root, "/crosstalk"));
        if let Some(home) = cargo_home() {
            flags.push(remap(&home, "/cargo"));
        }
        if let Some(sysroot) = self.sysroot() {
            flags.push(remap(&sysroot.join("lib/rustlib/src/rust"), "/rust"));
        }
        flags
    }

    fn sysroot(&self) -> Option<PathBuf> {
        let output = self
            .program("rustc")
            .args(["--print", "sysroot"])
            .output()
            .ok()?;
        let sysroot = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| sysroot.trim().into())
    }
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}
