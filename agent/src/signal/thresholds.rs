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
    /// One wait of so many seconds is starvation.
    pub starved_s: f64,
    /// Run time over the entitlement, as a ratio, that is over the contract.
    pub over_contract: f64,
    /// A culprit is named from this part of the victim's neighbour wait …
    pub culprit_share: f64,
    /// … and so many CPUs of wait …
    pub culprit_cpus: f64,
    /// … and at most so many are.
    pub culprits: usize,
    /// Loss by one own cause worth a note, as a part of run time and loss …
    pub note_share: f64,
    /// … and in CPUs.
    pub note_cpus: f64,
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
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            hurt_cpus: 0.020,
            hurt_share: 0.05,
            objective_s: 0.010,
            starved_s: 5.0,
            over_contract: 1.1,
            culprit_share: 0.20,
            culprit_cpus: 0.010,
            culprits: 3,
            note_share: 0.05,
            note_cpus: 0.020,
            coverage_doubt: 0.99,
            coverage_blind: 0.80,
            unattributed_doubt: 0.05,
            unattributed_blind: 0.50,
            unnamed_doubt: 0.05,
            interrupts_doubt: 0.20,
            doubt_cpus: 0.020,
        }
    }
}
