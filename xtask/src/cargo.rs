//! Cargo as a child: builds with machine-readable messages, of which the built programs are kept.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// A setting for what is linked dozens of times: that need not be the fastest.
pub(crate) const WITHOUT_LTO: &str = "profile.release.lto=\"off\"";

/// The target of programs for this kind of machine.
pub(crate) fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// A program that cargo built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// Name of the binary or test target.
    pub(crate) target: String,
    /// Folder of the package, where cargo itself would run its tests.
    pub(crate) package: PathBuf,
    /// Whether libtest drives it.
    pub(crate) is_test: bool,
    /// The file.
    pub(crate) path: PathBuf,
}

/// Runs `cargo build` or `cargo test --no-run` and returns what it built.
pub(crate) fn executables(command: &mut Command) -> Result<Vec<Executable>> {
    command.arg("--message-format=json-render-diagnostics");
    let mut found = Vec::new();
    let status = process::stream(command, |line| {
        found.extend(executable(line));
        Ok(())
    })?;
    process::check(command, status)?;
    Ok(found)
}

/// The one program of a name among those that a build produced.
pub(crate) fn named(found: Vec<Executable>, name: &str) -> Result<PathBuf> {
    let program = found
        .into_iter()
        .find(|executable| executable.target == name);
    program
        .map(|executable| executable.path)
        .with_context(|| format!("the build produced no program `{name}`"))
}

fn executable(message: &str) -> Option<Executable> {
    let message: Value = serde_json::from_str(message).ok()?;
    let text = |path: &str| message.pointer(path)?.as_str().map(str::to_owned);
    let mut package = PathBuf::from(text("/manifest_path")?);
    package.pop();
    Some(Executable {
        target: text("/target/name")?,
        package,
        is_test: message.pointer("/profile/test")?.as_bool()?,
        path: text("/executable")?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artifacts_with_a_program_count() {
        let program = r#"{"reason":"compiler-artifact","manifest_path":"/w/agent/Cargo.toml","target":{"name":"crosstalk"},"profile":{"test":false},"executable":"/t/crosstalk"}"#;
        let library = r#"{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"a"},"profile":{"test":true},"executable":null}"#;
        let expected = Executable {
            target: "crosstalk".into(),
            package: "/w/agent".into(),
            is_test: false,
            path: "/t/crosstalk".into(),
        };
        assert_eq!(executable(program), Some(expected));
        assert_eq!(executable(library), None);
        assert_eq!(executable("not json"), None);
    }
}
