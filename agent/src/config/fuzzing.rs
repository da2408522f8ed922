//! What fuzz targets call.

use super::file::parse;

/// The bytes of a file.
///
/// # Panics
/// An error does not say where it is and what to do.
pub fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = parse("agent.yaml", text).and_then(super::Layer::settle) {
        assert!(!error.place.is_empty() && !error.remedy.is_empty());
    }
}
