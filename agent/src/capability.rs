//! What this host lets the agent observe: one verdict for each part, with reason and remedy.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// How a part of the observation fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It works.
    Active,
    /// This host does not have what it needs.
    Unsupported,
    /// It should work here, and does not.
    Broken,
    /// Not wanted, or not needed on this kernel.
    Off,
}

impl Status {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Unsupported => "unsupported",
            Status::Broken => "broken",
            Status::Off => "off",
        }
    }
}

/// One part of the observation on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name in JSON and in `doctor`.
    pub name: Cow<'static, str>,
    /// What it is for, in a few words.
    pub intent: Cow<'static, str>,
    /// Whether the core needs it.
    pub required: bool,
    /// How it fares.
    pub status: Status,
    /// What was found, or why it does not work; one line, safe to print.
    pub detail: String,
    /// What to do about it.
    pub remedy: Option<String>,
}
