//! Black-box tests of the `crosstalk` binary: what they need to stage a load of known shape, to read what the kernel
//! itself says about it, and to compare.
//!
//! The tests know nothing of the agent's internals: they run the binary that `CROSSTALK_BIN` names and read its JSON.
//! Everything that they create (cgroups, processes) goes away on drop, also when a test panics.

#![expect(
    clippy::missing_panics_doc,
    reason = "a test helper that panics is a failed test"
)]

pub mod accord;
pub mod agent;
pub mod capability;
pub mod certificates;
pub mod cgroup;
pub mod container;
pub mod disk;
pub mod events;
pub mod kubelet;
pub mod load;
mod logs;
pub mod metrics;
pub mod receiver;
pub mod report;
pub mod shape;
pub mod sink;
pub mod stage;
pub mod sys;
pub mod tally;
pub mod trace;
pub mod truth;
