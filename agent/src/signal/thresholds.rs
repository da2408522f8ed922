//! From where on something is said. All are starting values, chosen by reasoning.

/// Thresholds of signals over one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Neighbour wait that hurts, in CPUs.
    pub hurt_cpus: f64,
    /// … and as a part of run time and contention wait.
    pub hurt_share: f64,
    /// … with at least one wait over this, seconds; it snaps up to the bound of a bucket.
    pub objective_s: f64,
    /// Time that requests waited behind those of others on one disk, and that hurts, in seconds per
    /// second: requests wait at the same time, so it may exceed 1 …
    pub hurt_disk_rate: f64,
    /// … and as a part of all their time on that disk, with at least one request over
    /// `objective_s` among those that others held up.
    pub hurt_disk_share: f64,
    /// One wait of so many seconds is starvation.
    pub starved_s: f64,
    /// Run time over the entitlement, as a ratio, that is over the contract; of disks: time in
    /// service over that of the other.
    pub over_contract: f64,
    /// A culprit is named from this part of the victim's neighbour wait …
    pub culprit_share: f64,
    /// … and so many CPUs, or for disks seconds per second, of wait …
    pub culprit_cpus: f64,
    /// … and at most so many are.
    pub culprits: usize,
    /// Loss by one own cause worth a note, as a part of run time and loss …
    pub note_share: f64,
    /// … and in CPUs.
    pub note_cpus: f64,
    /// Time that a disk itself took is worth a note as this part of all time of requests …
    pub note_device_share: f64,
    /// … and in seconds per second, when one request of a hundred took longer than `objective_s`.
    pub note_device_rate: f64,
    /// Where `io.max` limits: `io.pressure` (some) worth a note, as a part of the interval …
    pub note_io_limit_pressure: f64,
    /// … when requests took no more than this part of it.
    pub note_io_limit_explained: f64,
    /// Below this part of the kernel's own run-queue delay the account is in doubt …
    pub coverage_doubt: f64,
    /// … and below this a calm verdict means nothing.
    pub coverage_blind: f64,
    /// Above this part of all waits without a cause the account is in doubt …
    pub unattributed_doubt: f64,
    /// … and above this a calm verdict means nothing.
    pub unattributed_blind: f64,
    /// Above this part of all blame without a name the culprits are in doubt.
    pub unnamed_doubt: f64,
    /// Interrupts over this part of the CPUs, where they are not accounted, are a doubt.
    pub interrupts_doubt: f64,
    /// Waits that are missing or unexplained matter from so many CPUs on.
    pub doubt_cpus: f64,
    /// Above this part of requests without a record, where their time went is in doubt.
    pub disk_records_doubt: f64,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            hurt_cpus: 0.020,
            hurt_share: 0.05,
            objective_s: 0.010,
            hurt_disk_rate: 0.020,
            hurt_disk_share: 0.05,
            starved_s: 5.0,
            over_contract: 1.1,
            culprit_share: 0.20,
            culprit_cpus: 0.010,
            culprits: 3,
            note_share: 0.05,
            note_cpus: 0.020,
            note_device_share: 0.50,
            note_device_rate: 0.20,
            note_io_limit_pressure: 0.20,
            note_io_limit_explained: 0.50,
            coverage_doubt: 0.99,
            coverage_blind: 0.80,
            unattributed_doubt: 0.05,
            unattributed_blind: 0.50,
            unnamed_doubt: 0.05,
            interrupts_doubt: 0.20,
            doubt_cpus: 0.020,
            disk_records_doubt: 0.01,
        }
    }
}
