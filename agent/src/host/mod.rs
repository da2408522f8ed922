//! The host: cgroup tree, who a cgroup is to people, counters and facts of the kernel, processes.
//!
//! Knows nothing of BPF. Every reader takes the root of the file system that it reads, so that a
//! test can build a tree of its own. What the kernel does not offer here is `None`; what should
//! be readable and is not, is an error. Names are bytes that a tenant chose: they reach people
//! only through [`text`].

pub mod cgroups;
pub mod counters;
pub mod cpus;
pub mod disks;
pub mod facts;
pub mod hierarchy;
pub mod identity;
pub mod io_figures;
pub mod mounts;
pub mod pressure;
pub mod privileges;
pub mod processes;
pub mod read;
pub mod refusal;
pub mod text;
pub mod virtualization;
