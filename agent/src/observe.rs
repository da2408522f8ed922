//! Observing a host: attaches the kernel programs and takes samples.

use std::path::PathBuf;

use thiserror::Error;

use crate::{
    capability::Capability,
    host::{facts::HostFacts, hierarchy::Hierarchy},
    sample::{CgroupId, Sample},
};

/// Why the core does not run, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// This process may not load the programs.
    Privilege,
    /// This kernel lacks what the core needs.
    Unsupported,
    /// It should work, and does not.
    Broken,
}

/// Why there is nothing to observe. The message is one sentence that says what failed; the remedy
/// what to do.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct StartError {
    /// What kind of obstacle.
    pub obstacle: Obstacle,
    /// What failed, on which object.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// What was found out until then, the failed part included.
    pub capabilities: Vec<Capability>,
}

/// A reading that failed as a whole.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct SampleError(pub String);

/// Attached kernel programs and what else a sample is read from. Dropped, nothing is left behind.
#[derive(Debug)]
pub struct Observer {}

impl Observer {
    /// Loads and attaches the programs.
    pub fn start() -> Result<Observer, StartError> {
        todo!()
    }

    /// The host.
    pub fn facts(&self) -> &HostFacts {
        todo!()
    }

    /// The cgroup hierarchy that owns `cpu`.
    pub fn hierarchy(&self) -> &Hierarchy {
        todo!()
    }

    /// A verdict for each part.
    pub fn capabilities(&self) -> &[Capability] {
        todo!()
    }

    /// Reads everything that a model is made of.
    pub fn sample(&mut self) -> Result<Sample, SampleError> {
        todo!()
    }

    /// The folder of a cgroup that exists, to list its processes.
    pub fn cgroup_folder(&self, id: CgroupId) -> Option<PathBuf> {
        let _ = id;
        todo!()
    }
}
