//! The black-box tests on the machine's own kernel, as root.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Context;
use crate::cargo::Executable;
use crate::expected;
use crate::process;
use crate::programs::{self, Programs};
use crate::results::{self, Tally};
use crate::setup::receivers;

/// After this a test program hangs.
const LIMIT: Duration = Duration::from_mins(15);

pub(super) fn black_box(context: &Context<'_>) -> Result<Tally> {
    let programs = programs::for_host(&context.kit, context.workspace)?;
    let mut sum = Tally::default();
    for test in &programs.tests {
        sum += run(test, &programs, context)?;
    }
    // What this machine's kernel lacks is its own matter: the virtual machines have expectations.
    for one in sum.unsupported.clone() {
        let line = format!(
            "unsupported on this machine: {}: {}",
            one.test, one.capability
        );
        println!("{line}");
        if receivers::COMPLETE && expected::is_receiver(&one) {
            sum.fail(line);
        }
    }
    ensure!(
        sum.ran() > 0 || !context.filter.is_empty(),
        "no black-box test ran"
    );
    Ok(sum)
}

fn run(test: &Executable, programs: &Programs, context: &Context<'_>) -> Result<Tally> {
    println!("\n-- {}", test.target);
    let mut command = process::as_root("env")?;
    command.arg(variable("CROSSTALK_BIN", &programs.crosstalk));
    command.arg(variable(
        "CROSSTALK_RECEIVERS",
        &receivers::programs(context.workspace),
    ));
    command.args(
        programs
            .loads
            .iter()
            .map(|loads| variable("CROSSTALK_LOADS", loads)),
    );
    command.args([
        "RUST_BACKTRACE=1",
        "timeout",
        "--kill-after=5",
        &LIMIT.as_secs().to_string(),
    ]);
    // Tests that measure one machine disturb each other.
    command
        .arg(&test.path)
        .args(["--test-threads=1", "--nocapture"])
        .args(context.filter)
        .current_dir(&test.package);
    results::of(&mut command, &test.target)
}

fn variable(name: &str, value: &std::path::Path) -> std::ffi::OsString {
    let mut variable = std::ffi::OsString::from(format!("{name}="));
    variable.push(value);
    variable
}
