//! What the user sees of each step: what it is, how it came out, how long it took.

use std::time::Duration;

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
