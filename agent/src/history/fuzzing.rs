//! What fuzz targets call.

use std::time::Duration;

use super::{
    dictionary::Values,
    protocol::{Head, Request},
    window::{Extent, Found},
};

/// What somebody says to the socket.
pub fn request(frame: &[u8]) {
    let _ = Request::parse(frame);
}

/// The frames of an answer, of equal length: its head, names and one slice.
pub fn answer(frames: &[u8]) {
    let (head, rest) = frames.split_at(frames.len() / 3);
    let (names, slice) = rest.split_at(rest.len() / 2);
    let _ = Head::parse(head);
    if let Ok(names) = Values::decode(names) {
        let slices = vec![slice.to_vec().into()];
        let found = Found {
            extent: Extent {
                to: Duration::MAX,
                ..Extent::NONE
            },
            names,
            slices,
        };
        let _ = found.model();
    }
}
