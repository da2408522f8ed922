//! How much is told of one victim: a flapping one does not flood a receiver.

use std::time::Duration;

use crate::signal::episodes::event::Untold;

const HOUR: Duration = Duration::from_hours(1);

/// What was told in the hour that goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    began: Duration,
    /// Beginnings, and ends that were told or are promised by a beginning.
    told: u32,
    untold: Untold,
}

impl Budget {
    pub(super) fn new(now: Duration) -> Budget {
        Budget {
            began: now,
            ..Budget::default()
        }
    }

    /// Whether a beginning may be told; its end may be, too, then.
    pub(super) fn takes(&mut self, most: u32) -> bool {
        let fits = self.told.saturating_add(2) <= most;
        self.told += if fits { 2 } else { 0 };
        fits
    }

    /// An episode was left out.
    pub(super) fn leave_out(&mut self, length: Duration) {
        self.untold.episodes = self.untold.episodes.saturating_add(1);
        self.untold.length = self.untold.length.saturating_add(length);
    }

    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= HOUR
    }

    /// What was left out.
    pub(super) fn untold(&self) -> Option<Untold> {
        Some(self.untold).filter(|untold| untold.episodes > 0)
    }

    /// The next hour, in which so many ends are promised.
    pub(super) fn renew(&mut self, now: Duration, promised: u32) {
        *self = Budget {
            told: promised,
            ..Budget::new(now)
        };
    }
}
