//! Builds the kernel object, or takes the one that `CROSSTALK_EBPF_OBJECT` names.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

type Outcome<T> = Result<T, String>;

/// The kernel side has an own target, an own core and unstable options.
const TARGET: &str = "bpfel-unknown-none";
/// A linked toolchain for machines where rustup cannot fetch `rust-src`.
const FALLBACK: &str = "crosstalk-kernel";

/// With BTF, and 32-bit instructions, which all kernels from 5.1 on have: fewer, so that fewer are
/// to be fetched.
const RUSTFLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3"];

fn main() -> Outcome<()> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let programs = manifest.join("../agent-ebpf");
    for path in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", programs.join(path).display());
    }
    for name in ["CROSSTALK_EBPF_OBJECT", "CROSSTALK_KERNEL_TOOLCHAIN"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let object = match env::var_os("CROSSTALK_EBPF_OBJECT") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", Path::new(&path).display());
            PathBuf::from(path)
        }
        None => build(&programs, &out.join("kernel"))?,
    };
    fs::copy(&object, out.join("crosstalk-ebpf"))
        .map(drop)
        .map_err(|error| {
            format!(
                "cannot copy the kernel object {}: {error}",
                object.display()
            )
        })
}

fn build(programs: &Path, target: &Path) -> Outcome<PathBuf> {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", &toolchain(programs), "cargo", "build", "--release"]);
    cargo.args([
        "--package",
        "agent-ebpf",
        "--bin",
        "crosstalk-ebpf",
        "--features",
        "kernel",
    ]);
    cargo
        .args(["--target", TARGET, "-Zbuild-std=core", "--target-dir"])
        .arg(target);
    cargo.current_dir(programs);
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"));
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    if !status.success() {
        return Err(format!(
            "the kernel object was not built ({status}): run `cargo xtask setup`"
        ));
    }
    Ok(target.join(TARGET).join("release/crosstalk-ebpf"))
}

/// The toolchain that has the sources of `core`.
fn toolchain(programs: &Path) -> String {
    if let Ok(name) = env::var("CROSSTALK_KERNEL_TOOLCHAIN") {
        return name;
    }
    let Some(sysroot) = sysroot(programs) else {
        return FALLBACK.to_owned();
    };
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
    if sources.exists() {
        sysroot_name(&sysroot)
    } else {
        FALLBACK.to_owned()
    }
}

fn sysroot(programs: &Path) -> Option<String> {
    let rustc = env::var_os("RUSTC")?;
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(programs)
        .output()
        .ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// rustup names a toolchain as its folder.
fn sysroot_name(sysroot: &str) -> String {
    Path::new(sysroot).file_name().map_or_else(
        || FALLBACK.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn variable(name: &str) -> Outcome<String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
