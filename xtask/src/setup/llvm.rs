//! Which LLVM reads which LLVM's bitcode.

use std::fmt;

use anyhow::{Context, Result, bail};

/// Major version of the LLVM in the pinned Rust toolchain, and so of the linker's.
pub(crate) const MAJOR: u32 = 22;

/// Version of an LLVM, as far as it decides about bitcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads the version out of what `rustc -vV` and LLVM's `--version` print.
pub(crate) fn parse(text: &str) -> Result<Version> {
    let after = text
        .lines()
        .find_map(|line| line.split_once("LLVM version").map(|(_, after)| after));
    let mut numbers = after
        .unwrap_or_default()
        .trim_start_matches([':', ' '])
        .split('.')
        .map_while(leading_number);
    let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
        bail!("no LLVM version in `{}`", text.trim());
    };
    Ok(Version { major, minor })
}

fn leading_number(part: &str) -> Option<u32> {
    let end = part
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(part.len());
    part[..end].parse().ok()
}

/// Fails when a linker with one LLVM cannot read what a compiler with another wrote.
pub(crate) fn check(compiler: Version, linker: Version) -> Result<()> {
    if compiler.major != linker.major {
        bail!(
            "bpf-linker has LLVM {linker}, but rustc writes bitcode of LLVM {compiler}: both need the same major version"
        );
    }
    if linker < compiler {
        bail!(
            "bpf-linker has LLVM {linker}, which is older than rustc's {compiler} and would answer `Invalid record`"
        );
    }
    Ok(())
}

/// The LLVM of a `rustc`.
pub(crate) fn of_rustc(rustc: &mut std::process::Command) -> Result<Version> {
    let said = crate::process::capture(rustc.arg("-vV"))?;
    parse(&said).with_context(|| format!("`{}` did not tell its LLVM", crate::process::line(rustc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32) -> Version {
        Version { major, minor }
    }

    #[test]
    fn versions_are_read_from_rustc_and_from_llvm() {
        assert_eq!(
            parse("rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2\n").ok(),
            Some(version(22, 1))
        );
        assert_eq!(
            parse("Debian LLVM version 22.1.8\n  Optimized build.").ok(),
            Some(version(22, 1))
        );
        assert_eq!(parse("LLVM version 23.0git").ok(), Some(version(23, 0)));
        assert!(parse("LLVM version unknown").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn the_linker_must_be_of_the_same_major_and_not_older() {
        assert!(check(version(22, 1), version(22, 1)).is_ok());
        assert!(check(version(22, 1), version(22, 2)).is_ok());
        assert!(check(version(22, 1), version(22, 0)).is_err());
        assert!(check(version(22, 1), version(23, 0)).is_err());
        assert!(check(version(22, 1), version(21, 9)).is_err());
    }
}
