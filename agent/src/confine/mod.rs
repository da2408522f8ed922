//! Gives up what an observer needs no more once its programs run.
//!
//! Four walls, each one for when another has a hole: no capabilities, no way to get new ones, few
//! system calls, and no writing to files. All threads that begin later live inside them; those that
//! began earlier would not, so this comes before any.

mod calls;
mod capabilities;
mod files;

use std::path::Path;

use caps::Capability;
use thiserror::Error;

/// What is still needed.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// A capability to keep.
    pub capability: Option<Capability>,
    /// A folder in which sockets may be made, and files removed.
    pub sockets: Option<&'a Path>,
    /// A folder in which folders may be removed.
    pub folders: Option<&'a Path>,
}

/// A wall that could not be built.
#[derive(Debug, Error)]
#[error("{what}: {why}")]
pub struct Gap {
    what: &'static str,
    why: String,
}

impl Gap {
    fn new(what: &'static str, why: &dyn ToString) -> Gap {
        Gap {
            what,
            why: why.to_string(),
        }
    }
}

/// Builds all walls that this host lets one build; the gaps that are left.
pub fn confine(needs: &Needs<'_>) -> Vec<Gap> {
    let files = files::keep_from_writing(needs);
    let capabilities = capabilities::drop_all_but(needs.capability);
    // The last: building the others takes calls that it forbids.
    let calls = calls::allow_few();
    let walls = [files, capabilities, calls];
    walls.into_iter().filter_map(Result::err).collect()
}

pub use capabilities::without_any;
