//! Where commands find a running agent.

use std::path::PathBuf;

use crate::history::SOCKET;

/// Where the agent listens, unless a flag says so.
const VARIABLE: &str = "CROSSTALK_HISTORY_SOCKET";

/// What the flag says, or else the environment, or else the default.
pub(super) fn path(flag: Option<&PathBuf>) -> PathBuf {
    let variable = || std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    flag.cloned()
        .or_else(|| variable().map(Into::into))
        .unwrap_or_else(|| SOCKET.into())
}
