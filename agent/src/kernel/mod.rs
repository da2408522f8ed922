//! The kernel side as the agent sees it: types, loading, attaching, reading maps.
//!
//! The only place that knows map names, and the only one with `unsafe`. Everything that a reading
//! needs is mapped before the first event, so that a reading takes no `bpf` system call; only the
//! list of waits in progress does.

pub mod block;
pub mod btf;
pub mod offsets;

pub mod load;
pub mod programs;
pub mod reader;
pub mod size;
pub mod waiting;

mod accounts;
mod clock;
mod cpu;
mod delays;
mod histograms;
mod image;
mod maps;
mod memory;
mod pairs;
mod slots;
mod step_down;
mod sums;
mod system;
mod tables;
mod verdict;

pub use maps::{Maps, MapsError};
pub use system::{monotonic, raise_memory_limit, visit_cpus};
pub use verdict::{Refusal, Verdict};
