//! When episodes begin and end. All are starting values, chosen by reasoning.

use std::time::Duration;

/// Rules of episodes, beside the [`crate::signal::Thresholds`] of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// An episode begins with so much lost, as a part of what was wanted, 0 to 1 …
    pub severe_share: f64,
    /// … in each of so many seconds in a row,
    pub severe_seconds: usize,
    /// or with so much …
    pub lasting_share: f64,
    /// … in so many seconds …
    pub lasting_seconds: usize,
    /// … of the latest so many.
    pub window_seconds: usize,
    /// Less than this is calm: half of what begins an episode …
    pub calm_share: f64,
    /// … and so many calm seconds in a row end it.
    pub calm_seconds: usize,
    /// One that begins again so soon is the same episode.
    pub reopens_within: Duration,
    /// Who came so lately is not judged: it is starting.
    pub entity_warm_up: Duration,
    /// Nobody is judged so soon after the first reading.
    pub agent_warm_up: Duration,
    /// Who has not been seen for so long has no episode any more.
    pub silence: Duration,
    /// An episode that lasts is told of again each time this has passed.
    pub update_after: Duration,
    /// Beginnings and ends that are told of one victim in an hour, at most.
    pub events_per_hour: u32,
    /// Run time is compared with the contract over so long.
    pub contract_window: Duration,
    /// CPUs and disks are full from this part of their time on; waits for other CPUs are no saturation.
    pub full_share: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            severe_share: 0.25,
            severe_seconds: 3,
            lasting_share: 0.05,
            lasting_seconds: 8,
            window_seconds: 10,
            calm_share: 0.025,
            calm_seconds: 30,
            reopens_within: Duration::from_mins(5),
            entity_warm_up: Duration::from_secs(10),
            agent_warm_up: Duration::from_secs(30),
            silence: Duration::from_mins(3),
            update_after: Duration::from_mins(1),
            events_per_hour: 12,
            contract_window: Duration::from_secs(10),
            full_share: 0.9,
        }
    }
}
