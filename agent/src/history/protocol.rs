//! What is said over the socket: length-delimited frames, one request, one answer.
//!
//! A request is a frame of JSON. The answer is a head in JSON, then, unless it refuses, the names
//! and so many packed slices, a frame each. The head begins with the version; whatever changes the
//! layout of slices changes it.

use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use super::{Malformed, Origin, Window, window::Extent};

/// The protocol and its version.
pub const PROTOCOL: &str = "crosstalk.history/2";

/// No honest request is longer.
pub(super) const LONGEST_REQUEST: usize = 1 << 10;
/// … and no frame of an answer: a whole store is shorter.
const LONGEST_ANSWER: usize = 16 << 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    protocol: String,
    pub(super) window: Window,
}

/// How an answer begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    protocol: String,
    pub(super) answer: Answer,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Nothing, for this reason.
    Refused(String),
    /// Nothing, for nothing of that time is remembered.
    Nothing(Origin),
    /// Names, and slices.
    Found {
        origin: Origin,
        extent: Extent,
        slices: usize,
    },
}

/// The version alone, which all versions begin with.
#[derive(Deserialize)]
struct Version {
    protocol: String,
}

/// A message that is none of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is of another version.
    #[error("it speaks `{0}`, and this `{PROTOCOL}`")]
    Version(String),
    /// It is no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Request {
    pub(super) fn new(window: Window) -> Request {
        Request {
            protocol: PROTOCOL.into(),
            window,
        }
    }

    pub(super) fn parse(frame: &[u8]) -> Result<Request, Unread> {
        parse(frame)
    }
}

impl Head {
    pub(super) fn new(answer: Answer) -> Head {
        Head {
            protocol: PROTOCOL.into(),
            answer,
        }
    }

    pub(super) fn parse(frame: &[u8]) -> Result<Head, Unread> {
        parse(frame)
    }
}

/// A message as a frame.
pub(super) fn frame(message: &impl Serialize) -> Result<Vec<u8>, Malformed> {
    serde_json::to_vec(message).map_err(|_| Malformed)
}

/// How frames of requests are read.
pub(super) fn requests() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(LONGEST_REQUEST)
        .new_codec()
}

/// How frames of answers are written and read.
pub(super) fn answers() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(LONGEST_ANSWER)
        .new_codec()
}

fn parse<'a, Message: Deserialize<'a>>(frame: &'a [u8]) -> Result<Message, Unread> {
    let version: Version = serde_json::from_slice(frame).map_err(|_| Malformed)?;
    if version.protocol != PROTOCOL {
        let begin = version.protocol.chars().take(64);
        return Err(Unread::Version(begin.collect()));
    }
    serde_json::from_slice(frame).map_err(|_| Malformed.into())
}
