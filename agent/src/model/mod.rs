//! One interval: what changed between two samples, by cgroup and by entity.
//!
//! Pure arithmetic: no IO, no clock, and it cannot fail. What could not be observed is `None`,
//! never 0. Causes add up to waits, blame adds up to the causes that it details, and entities add
//! up to the host.

pub mod accounting;
mod blame;
mod consecutive;
pub mod disk;
mod entitlement;
#[cfg(test)]
pub(crate) mod fixture;
pub mod histogram;
pub mod host;
pub mod identity;
pub mod labels;
mod names;
mod parties;
pub mod pressure;
mod rollup;
pub mod table;
#[cfg(test)]
mod tests;
mod unknown;
pub mod usage;

use std::{
    ffi::OsStr,
    time::{Duration, SystemTime},
};

pub use accounting::Accounting;
pub use consecutive::Consecutive;
pub(crate) use entitlement::ACTIVE_CPUS;
pub use host::HostUse;
pub use identity::{Identity, Key, Kind};
pub use labels::{Labels, Relation};
pub use table::{Blame, Resource, Row, Table, WaitingNow};
pub use unknown::Unknown;
pub use usage::{Usage, Waits};

use crate::{
    model::{
        disk::{DiskParts, Disks},
        entitlement::Entitlements,
        names::Names,
        parties::Parties,
        pressure::PressureUse,
        rollup::Parts,
    },
    sample::{Abilities, Sample, pressure::Pressures},
};

/// One interval.
#[derive(Clone, Debug)]
pub struct Model {
    /// Wall clock at its start, as it was then.
    pub start: SystemTime,
    /// Its length by the monotonic clock; steps of the wall clock do not matter.
    pub length: Duration,
    /// What the host lets the kernel programs observe.
    pub abilities: Abilities,
    /// All CPUs together.
    pub host: HostUse,
    /// Containers, services, sessions and what else people have names for.
    pub entities: Table,
    /// Single cgroups, and the kernel's families.
    pub cgroups: Table,
    /// Block devices; `None` where block I/O is not observed.
    pub disks: Option<Disks>,
    /// How complete the account is.
    pub accounting: Accounting,
    /// Pressure, by the kernel's count; `None` where it was not read.
    pub pressure: Option<PressureUse>,
    /// What could not be observed, with reasons.
    pub unknown: Vec<Unknown>,
}

impl Model {
    /// What happened between two samples; `identify` says to which entity a cgroup path belongs.
    ///
    /// An interval without length has no rows.
    pub fn new(before: &Sample, after: &Sample, identify: &dyn Fn(&OsStr) -> Identity) -> Model {
        Model::with(before, after, identify, &rollup::cgroups)
    }

    /// The same without rows of single cgroups, which takes a third less time.
    pub fn of_entities(
        before: &Sample,
        after: &Sample,
        identify: &dyn Fn(&OsStr) -> Identity,
    ) -> Model {
        Model::with(before, after, identify, &|_| Table::default())
    }

    fn with(
        before: &Sample,
        after: &Sample,
        identify: &dyn Fn(&OsStr) -> Identity,
        cgroups: &dyn Fn(&Parts<'_>) -> Table,
    ) -> Model {
        let length = after.monotonic.saturating_sub(before.monotonic);
        let parties = if length.is_zero() {
            Parties::default()
        } else {
            Parties::between(before, after)
        };
        let host = HostUse::between(before, after, length, &parties);
        let entitlements = Entitlements::new(before, after, &parties, &host);
        let names = Names::new(before, after, identify);
        let accounting = Accounting::between(&before.health, &after.health, &parties);
        let disk = before.disk.as_ref().zip(after.disk.as_ref());
        let disk = disk.filter(|_| !length.is_zero());
        let disk = disk.map(|(before, after)| DiskParts::between(before, after));
        let parts = Parts {
            parties: &parties,
            disk: disk.as_ref(),
            names: &names,
            entitlements: &entitlements,
            abilities: after.abilities,
        };
        Model {
            start: before.wall,
            length,
            abilities: after.abilities,
            entities: rollup::entities(&parts),
            cgroups: cgroups(&parts),
            unknown: unknown::all(after, &parts, &accounting),
            disks: disk.map(|disk| disk.disks),
            host,
            accounting,
            pressure: None,
        }
    }

    /// The same with the pressure of its interval.
    #[must_use]
    pub fn with_pressure(self, before: &Pressures, after: &Pressures) -> Model {
        Model {
            pressure: Some(PressureUse::between(before, after)),
            ..self
        }
    }

    /// The length in seconds.
    pub fn seconds(&self) -> f64 {
        self.length.as_secs_f64()
    }

    /// CPUs that so many nanoseconds are over the interval; `None` when it has no length.
    pub fn cpus(&self, ns: u64) -> Option<f64> {
        let length = self.length.as_nanos() as f64;
        (length > 0.0).then(|| ns as f64 / length)
    }
}
