//! Titles of the tables, and units, each written once.

/// bpf_stats of the programs.
pub(crate) const KERNEL: &str = "Kernel programs";
/// Unknown shares.
pub(crate) const TRUTH: &str = "Waits whose cause or culprit is not known";
/// The agent.
pub(crate) const USERSPACE: &str = "The agent itself";
/// Paired runs.
pub(crate) const SLOWDOWN: &str = "Slowdown of other programs";

/// A share in hundredths.
pub(crate) const PER_CENT: &str = "%";
/// To export.
pub(crate) const SERIES: &str = "series";
/// Of memory.
pub(crate) const MIB: &str = "MiB";
/// Of one run of a program, or one switch.
pub(crate) const NS: &str = "ns";
