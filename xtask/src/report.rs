//! What the user sees of each step: what it is, how it came out, how long it took.

use std::process::ExitCode;
use std::time::Duration;

use crate::results::Tally;

/// Announces something that takes a while.
pub(crate) fn note(what: &str) {
    println!("    {what} …");
}

/// One finished step of the set-up.
pub(crate) fn step(what: &str, outcome: &str, took: Duration) {
    println!("setup: {what:<22} {outcome}  [{}]", seconds(took));
}

/// A duration as it is shown everywhere.
pub(crate) fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Lists what failed, ends with the sum alone on a line, and gives the exit code that belongs to it.
pub(crate) fn verdict(tally: &Tally) -> ExitCode {
    if tally.ran() == 0 {
        println!("\nno test ran");
    } else if tally.failed > 0 {
        println!("\nfailed:");
    }
    for failure in &tally.failures {
        println!("    {}", failure.what);
        for line in &failure.said {
            println!("        {line}");
        }
    }
    print!("\n{} passed, {} failed", tally.passed, tally.failed);
    match tally.unsupported.len() {
        0 => println!(),
        skipped => println!(", {skipped} skipped"),
    }
    if tally.failed == 0 && tally.ran() > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
