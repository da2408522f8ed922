//! Packages of Debian and Ubuntu: only what lacks is installed, and nothing is ever removed.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Once;

use anyhow::{Context, Result, bail};

use super::Done;
use crate::process;
use crate::report;

/// Installs those packages that are not there; `purpose` tells the user why.
pub(super) fn ensure(packages: &[&str], purpose: &str) -> Result<Done<()>> {
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(Done {
            value: (),
            outcome: format!("found: {}", packages.join(" ")),
        });
    }
    report::note(&format!("installing for {purpose}: {}", missing.join(" ")));
    update_once()?;
    install(&missing)?;
    Ok(Done {
        value: (),
        outcome: format!("installed: {}", missing.join(" ")),
    })
}

fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    // dpkg-query exits with 1 when it knows nothing of one of them, and still lists the others.
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${Package} ${db:Status-Status}\n"])
        .args(packages)
        .output();
    let output = output.with_context(|| {
        format!(
            "no dpkg-query: this set-up installs packages on Debian and Ubuntu only; elsewhere install by hand what matches {}",
            packages.join(" ")
        )
    })?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed: HashSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    Ok(packages
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect())
}

/// Fetches the package lists, at most once a run.
pub(crate) fn update_once() -> Result<()> {
    static UPDATED: Once = Once::new();
    let mut outcome = Ok(());
    UPDATED.call_once(|| outcome = update());
    outcome
}

fn update() -> Result<()> {
    let updated = process::run(apt_get()?.arg("update"));
    if let Err(error) = updated {
        // One dead third-party source must not stop an installation from the others.
        println!("    {error:#}; going on with the package lists that are there");
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    // Without --no-remove a conflict could take away the user's own programs.
    let options = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    let Err(error) = process::run(apt_get()?.args(options).args(packages)) else {
        return Ok(());
    };
    let unknown: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !has_candidate(package))
        .collect();
    if unknown.is_empty() {
        return Err(error);
    }
    bail!(
        "the machine's package sources do not offer {}: add a source that does, then run this again",
        unknown.join(", ")
    );
}

/// Whether the machine's package sources offer a package.
pub(super) fn has_candidate(package: &str) -> bool {
    candidate(package).is_some()
}

/// The version of a package that the machine's package sources offer.
pub(super) fn candidate(package: &str) -> Option<String> {
    let policy =
        process::capture(Command::new("apt-cache").args(["policy", package])).unwrap_or_default();
    let version = policy
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

fn apt_get() -> Result<Command> {
    let mut command = process::as_root("env")?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=1"]);
    command.args([
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "DPkg::Lock::Timeout=600",
        "-o",
        "Acquire::Retries=3",
    ]);
    Ok(command)
}
