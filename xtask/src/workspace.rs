//! Where the workspace and its build folder are.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folders everything else is found from.
pub(crate) struct Workspace {
    /// The top of the source tree.
    pub(crate) root: PathBuf,
    /// Cargo's build folder; downloads and logs live under it too.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Finds the tree that this very program belongs to.
    pub(crate) fn find() -> Result<Self> {
        // Cargo sets the variable at run time, which stays right when a built tree is moved.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .with_context(|| format!("{} has no parent folder", package.display()))?
            .to_owned();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |folder| root.join(folder));
        Ok(Self { root, target })
    }

    /// Where tools that replace an unsuitable one of the machine are installed.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}
