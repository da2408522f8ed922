//! Programs from the Rust registry that the checks use.

use anyhow::Result;

use super::{Done, Kit};
use crate::process;
use crate::report;

const DENY_VERSION: &str = "0.20.2";

/// Finds or builds `cargo-deny`; any version that is there will do.
pub(super) fn cargo_deny(kit: &Kit) -> Result<Done<()>> {
    if let Some(found) = process::find("cargo-deny", kit.path()) {
        return Ok(Done {
            value: (),
            outcome: format!("found: {}", found.display()),
        });
    }
    report::note(&format!(
        "building cargo-deny {DENY_VERSION}: about two minutes on two cores"
    ));
    let mut command = kit.cargo_anywhere();
    // Optimised it takes three times as long to build, and it runs for a second.
    process::run(command.args([
        "install",
        "cargo-deny",
        "--version",
        DENY_VERSION,
        "--locked",
        "--debug",
    ]))?;
    Ok(Done {
        value: (),
        outcome: format!("installed {DENY_VERSION}"),
    })
}
