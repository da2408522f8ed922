//! The emulator. Where the machine has none that is new enough, Debian's is unpacked into the build folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::archive::{self, Apt, Archive, Source};
use super::{Done, Kit, apt};
use crate::process;
use crate::report;
use crate::workspace::Workspace;

/// The program that boots kernels.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// Older ones lose a race with kernels that patch their own code (int3 oopses), and do not share counted time fairly
/// among a machine's CPUs.
const OLDEST: Version = (8, 2);
/// Suites with one that is new enough.
const SOURCES: [Source; 2] = [
    Source {
        archive: Archive::Main,
        suite: "trixie",
    },
    Source {
        archive: Archive::Security,
        suite: "trixie-security",
    },
];

/// Major and minor.
type Version = (u32, u32);

/// Finds the emulator, installs it, or unpacks it where the machine's package sources have only an older one or its
/// package would replace the user's own programs.
pub(super) fn ensure(workspace: &Workspace, kit: &Kit) -> Result<Done<()>> {
    if let Some(found) = process::find(PROGRAM, kit.path()) {
        match suits(&found) {
            Ok(version) => return Ok(done("found", &found, version)),
            Err(why) => println!("    {}: {why:#}", found.display()),
        }
    } else if is_offered()? {
        match apt::ensure(&[PACKAGE], "the tests") {
            Ok(installed) => return Ok(installed),
            Err(error) => println!("    {error:#}; unpacking it into the build folder instead"),
        }
    }
    report::note("fetching an emulator into the build folder");
    let program = unpack(&workspace.tools())?;
    let version = suits(&program)?;
    Ok(done("unpacked", &program, version))
}

fn done(how: &str, program: &Path, (major, minor): Version) -> Done<()> {
    Done {
        value: (),
        outcome: format!("{how}: {}, version {major}.{minor}", program.display()),
    }
}

/// Asks the program itself, which also shows that its libraries load.
fn suits(program: &Path) -> Result<Version> {
    let said = process::capture(Command::new(program).arg("--version"))?;
    let version = said
        .strip_prefix("QEMU emulator version ")
        .and_then(parse)
        .with_context(|| format!("what version is {:?}?", said.lines().next()))?;
    if version < OLDEST {
        let (major, minor) = OLDEST;
        bail!(
            "version {}.{} is too old, the tests need {major}.{minor} or newer",
            version.0,
            version.1
        );
    }
    Ok(version)
}

fn is_offered() -> Result<bool> {
    apt::update_once()?;
    Ok(apt::candidate(PACKAGE)
        .and_then(|version| parse(version.split_once(':').map_or(&*version, |(_, rest)| rest)))
        .is_some_and(|version| version >= OLDEST))
}

/// The first two numbers of a version.
fn parse(version: &str) -> Option<Version> {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// With all its libraries, the C library too: those of the machine may be of any age.
fn unpack(tools: &Path) -> Result<PathBuf> {
    let tree = tools.join("qemu");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot empty {}", tree.display()))?;
    }
    let apt = Apt::open(tools.join("apt"), &SOURCES)?;
    apt.unpack(&apt.with_dependencies(PACKAGE)?, &tree)?;
    let program = tools.join("bin").join(PROGRAM);
    let usr = tree.join("usr");
    let usr = usr.display();
    // It looks for its firmware where the package puts it.
    let firmware = format!("-L '{usr}/share/qemu' -L '{usr}/share/seabios'");
    archive::write_launcher(&program, &tree, PROGRAM, &firmware)?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse("10.0.13 (Debian 1:10.0.13+ds-0)"), Some((10, 0)));
        assert_eq!(parse("7.2+dfsg-7+deb12u18"), Some((7, 2)));
        assert!(parse("10.0") > Some(OLDEST) && parse("7.2") < Some(OLDEST));
        assert_eq!(parse("unknown"), None);
    }
}
