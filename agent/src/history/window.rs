//! What was asked for, what of it is remembered, and one interval out of it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Malformed, Origin, dictionary::Values, packed::unpack};
use crate::model::{Consecutive, Model};

/// A time before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its start, before now.
    pub since: Duration,
    /// Its end, before now.
    pub until: Duration,
}

impl Window {
    /// Its length.
    pub fn length(&self) -> Duration {
        self.since.saturating_sub(self.until)
    }
}

/// What of a window there is, since the history began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The start, at the bound of a slice.
    pub(super) from: Duration,
    /// The end.
    pub(super) to: Duration,
    /// Whether it covers the window.
    pub whole: bool,
    /// Whether entities that lost less than 1 % are told together.
    pub others_together: bool,
}

/// An answer, as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) extent: Extent,
    pub(super) names: Values,
    pub(super) slices: Vec<Bytes>,
}

/// What happened.
#[derive(Clone, Debug)]
pub struct Past {
    /// Where.
    pub origin: Origin,
    /// How much of what was asked for.
    pub extent: Extent,
    /// All of it as one interval; `None` when nothing of it is remembered.
    pub model: Option<Model>,
}

impl Extent {
    /// Of nothing.
    pub(super) const NONE: Extent = Extent {
        from: Duration::ZERO,
        to: Duration::ZERO,
        whole: false,
        others_together: false,
    };
}

impl Found {
    /// The interval that it amounts to.
    pub(super) fn model(&self) -> Result<Option<Model>, Malformed> {
        let mut whole = Consecutive::default();
        for packed in &self.slices {
            for slice in unpack(packed)? {
                let middle = slice.from.saturating_add(slice.length() / 2);
                if (self.extent.from..self.extent.to).contains(&middle) {
                    whole.push(slice.model(&self.names)?);
                }
            }
        }
        Ok(whole.finish())
    }
}
