//! What fuzz targets call.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use prost::Message as _;

use super::{Error, Facts, kubelet, objects, pods_api, proto::pods::ListPodsResponse};
use crate::{entity::identify_with, host::text::display_path};

/// The answer to `/pods`.
pub fn kubelet(body: &[u8]) {
    check(&kubelet::facts(body));
}

/// The answer of the Pods API.
pub fn pods_api(body: &[u8]) {
    if let Ok(reply) = ListPodsResponse::decode(body) {
        check(&pods_api::pods(&reply.pods).map(|pods| objects::facts(&pods)));
    }
}

/// A path below the root of a hierarchy.
///
/// # Panics
/// Its entity lies elsewhere, or its text could disturb a terminal.
pub fn cgroup_path(bytes: &[u8]) {
    let path = OsStr::from_bytes(bytes);
    let identity = identify_with(&Facts::default(), path);
    let boundary = identity.boundary.as_bytes();
    assert!(bytes.starts_with(boundary) || boundary == b"/");
    let name = display_path(path);
    assert!(!name.chars().any(char::is_control), "{name:?}");
}

/// What is told has the forms that paths and names have.
fn check(facts: &Result<Facts, Error>) {
    let Ok(facts) = facts else { return };
    assert!(facts.containers.keys().all(|id| id.len() == 64));
    let requests = facts.containers.values().filter_map(|one| one.cpu_request);
    assert!({ requests }.all(f64::is_finite));
    assert!(facts.pods.keys().all(|uid| matches!(uid.len(), 32 | 36)));
}
