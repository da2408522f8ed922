//! Builds the kernel object, or takes the one that `CROSSTALK_EBPF_OBJECT` names.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "../xtask/src/object/invocation.rs"]
mod invocation;

use invocation::Invocation;

type Outcome<T> = Result<T, String>;

/// A linked toolchain for machines where rustup cannot fetch `rust-src`.
const FALLBACK: &str = "crosstalk-kernel";

fn main() -> Outcome<()> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest.join("..");
    for path in [
        "agent-ebpf/src",
        "agent-ebpf/Cargo.toml",
        "xtask/src/object/invocation.rs",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    for name in ["CROSSTALK_EBPF_OBJECT", "CROSSTALK_KERNEL_TOOLCHAIN"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let object = match env::var_os("CROSSTALK_EBPF_OBJECT") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", Path::new(&path).display());
            PathBuf::from(path)
        }
        None => build(&root, &out.join("kernel"))?,
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

fn build(root: &Path, target: &Path) -> Outcome<PathBuf> {
    let toolchain = toolchain(root);
    let object = Invocation {
        root,
        target,
        toolchain: Some(&toolchain),
    };
    let status = object
        .command()
        .env_remove("CARGO")
        .status()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    if !status.success() {
        return Err(format!(
            "the kernel object was not built ({status}): run `cargo xtask setup`"
        ));
    }
    Ok(object.object())
}

/// The toolchain that has the sources of `core`.
fn toolchain(root: &Path) -> String {
    if let Ok(name) = env::var("CROSSTALK_KERNEL_TOOLCHAIN") {
        return name;
    }
    let Some(sysroot) = sysroot(root) else {
        return FALLBACK.to_owned();
    };
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core");
    if sources.exists() {
        sysroot_name(&sysroot)
    } else {
        FALLBACK.to_owned()
    }
}

fn sysroot(root: &Path) -> Option<String> {
    let rustc = env::var_os("RUSTC")?;
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .current_dir(root)
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
