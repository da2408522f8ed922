//! Slices as bytes: postcard, deflated.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{Malformed, slice::Slice};

/// No honest slices are longer, decoded.
const LONGEST: u64 = 64 << 20;

/// Bytes of some slices.
pub(super) fn pack(slices: &[Slice], compression: Compression) -> Result<Bytes, Malformed> {
    let plain = postcard::to_stdvec(slices).map_err(|_| Malformed)?;
    let mut deflated = DeflateEncoder::new(Vec::new(), compression);
    let written = deflated.write_all(&plain).and_then(|()| deflated.finish());
    let mut bytes = written.map_err(|_| Malformed)?;
    bytes.shrink_to_fit();
    Ok(bytes.into())
}

/// Slices of some bytes.
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<Slice>, Malformed> {
    let mut plain = Vec::new();
    let mut inflated = DeflateDecoder::new(bytes).take(LONGEST);
    inflated.read_to_end(&mut plain).map_err(|_| Malformed)?;
    postcard::from_bytes(&plain).map_err(|_| Malformed)
}
