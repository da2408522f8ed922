//! Capabilities in JSON, the same in every document.

use serde::Serialize;

use crate::capability;

/// One part of the observation.
#[derive(Serialize)]
pub(super) struct Capability<'a> {
    name: &'a str,
    status: &'static str,
    detail: &'a str,
    intent: &'a str,
    required: bool,
    remedy: Option<&'a str>,
}

impl Capability<'_> {
    pub(super) fn of(capability: &capability::Capability) -> Capability<'_> {
        Capability {
            name: &capability.name,
            status: capability.status.name(),
            detail: &capability.detail,
            intent: &capability.intent,
            required: capability.required,
            remedy: capability.remedy.as_deref(),
        }
    }
}
