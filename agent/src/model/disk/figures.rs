//! The kernel's own figures, each cgroup's without those of others.
//!
//! Version 2 adds what a cgroup did to all above it, so what it did itself is what is left
//! without the topmost of those below it that were read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    model::pressure::{self, stalled_since},
    sample::{
        CgroupId,
        disk::{DeviceId, Disk, DiskCgroup, DiskOwner, IoFigures, IoStat},
        pressure::Stalled,
    },
};

/// Paths are followed so far up.
const DEEPEST: usize = 64;

/// The kernel's own figures of a row, to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoUse {
    /// `io.stat` of its cgroups, of devices with requests that are not stacked.
    pub stat: Option<IoStat>,
    /// `io.pressure` of its cgroup, with all below it.
    pub pressure: Option<Stalled>,
    /// Whether `io.max` limits it, by itself or above it.
    pub limited: Option<bool>,
}

impl IoUse {
    /// Adds the figures of the interval that follows; what is unknown of either is unknown of both.
    pub(in crate::model) fn append(&mut self, next: &IoUse) {
        self.stat = self.stat.zip(next.stat).map(|(one, other)| sum(one, other));
        self.pressure = self
            .pressure
            .zip(next.pressure)
            .map(|(one, other)| pressure::together(one, other));
        self.limited = next.limited;
    }
}

/// How much one cgroup's `io.stat` grew.
#[derive(Clone, Copy)]
enum Growth {
    /// By so much.
    By(IoStat),
    /// It is not known.
    Unknown,
    /// It was not read at the end, for it had no requests in the interval.
    Unread,
}

/// Figures of an interval, by cgroup.
pub(in crate::model) struct Figures<'a> {
    before: &'a Disk,
    after: &'a Disk,
    growth: BTreeMap<CgroupId, Growth>,
    /// Sum of the topmost read cgroups below; `None` where one is unknown.
    below: BTreeMap<CgroupId, Option<IoStat>>,
}

impl<'a> Figures<'a> {
    pub(in crate::model) fn between(
        before: &'a Disk,
        after: &'a Disk,
        active: &BTreeSet<DiskOwner>,
    ) -> Figures<'a> {
        let mut figures = Figures {
            before,
            after,
            growth: BTreeMap::new(),
            below: BTreeMap::new(),
        };
        let ids: BTreeSet<CgroupId> = figures.ids().collect();
        for id in &ids {
            let growth = figures.grown(*id, active.contains(&DiskOwner::Cgroup(*id)));
            figures.growth.insert(*id, growth);
        }
        if after.recursive {
            for id in ids {
                figures.add_below(id);
            }
        }
        figures
    }

    /// All cgroups that anything is known of.
    pub(in crate::model) fn ids(&self) -> impl Iterator<Item = CgroupId> + use<'a> {
        let gone = |id: &&CgroupId| !self.after.cgroups.contains_key(id);
        let gone: Vec<CgroupId> = self.before.cgroups.keys().filter(gone).copied().collect();
        self.after.cgroups.keys().copied().chain(gone)
    }

    /// Of a row with these cgroups, of which one may be its boundary.
    pub(in crate::model) fn of(&self, cgroups: &[CgroupId], boundary: Option<CgroupId>) -> IoUse {
        IoUse {
            stat: self.stat(cgroups),
            pressure: boundary.and_then(|id| self.pressure(id)),
            limited: self.limited(cgroups),
        }
    }

    fn stat(&self, cgroups: &[CgroupId]) -> Option<IoStat> {
        let mut all = None;
        for id in cgroups {
            match self.growth.get(id) {
                Some(Growth::By(grown)) => {
                    let below = self.below.get(id).copied();
                    let own = less(*grown, below.unwrap_or(Some(IoStat::default()))?);
                    all = Some(sum(all.unwrap_or_default(), own));
                }
                Some(Growth::Unknown) => return None,
                Some(Growth::Unread) | None => {}
            }
        }
        all
    }

    fn pressure(&self, id: CgroupId) -> Option<Stalled> {
        let (first, last) = self.readings(id, |figures| figures.pressure.as_ref());
        let first = first.copied().or_else(|| self.began_at_0(id));
        stalled_since(first, last.copied())
    }

    fn limited(&self, cgroups: &[CgroupId]) -> Option<bool> {
        let mut limited = (!cgroups.is_empty()).then_some(false);
        for id in cgroups {
            match self.is_limited(*id) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => limited = None,
            }
        }
        limited
    }

    fn is_limited(&self, id: CgroupId) -> Option<bool> {
        let (mut limited, mut at_root) = (Some(false), false);
        for (id, cgroup) in self.path(id) {
            let (first, last) = self.readings(id, Some);
            let own = last.or(first).and_then(|figures| figures.limited);
            at_root = cgroup.parent.is_none();
            // The root of version 2 has no limits.
            match own.or((at_root && self.after.recursive).then_some(false)) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => limited = None,
            }
        }
        limited.filter(|_| at_root)
    }

    fn grown(&self, id: CgroupId, is_active: bool) -> Growth {
        let (first, last) = self.readings(id, |figures| figures.stat.as_ref());
        let none = BTreeMap::new();
        let growth = match (first, last) {
            (Some(first), Some(last)) => self.difference(first, last),
            (None, Some(last)) if self.is_new(id) => self.difference(&none, last),
            (_, None) if !is_active => return Growth::Unread,
            _ => None,
        };
        growth.map_or(Growth::Unknown, Growth::By)
    }

    /// Of devices whose requests are those of no other device: else they would count twice.
    fn difference(
        &self,
        first: &BTreeMap<DeviceId, IoStat>,
        last: &BTreeMap<DeviceId, IoStat>,
    ) -> Option<IoStat> {
        let counts = |device| {
            let device = self.after.devices.get(device);
            device.is_some_and(|device| !device.stacked)
        };
        let mut all = IoStat::default();
        let devices = first.keys().chain(last.keys()).collect::<BTreeSet<_>>();
        for device in devices.into_iter().filter(|device| counts(device)) {
            // A device is listed from the first request on.
            let of = |stat: &BTreeMap<DeviceId, IoStat>| stat.get(device).copied();
            let (first, last) = (of(first), of(last));
            let grown = grown(first.unwrap_or_default(), last.unwrap_or_default())?;
            all = sum(all, grown);
        }
        Some(all)
    }

    /// Adds a cgroup's growth to the nearest one above that was read.
    fn add_below(&mut self, id: CgroupId) {
        let part = match self.growth.get(&id) {
            Some(Growth::By(grown)) => Some(*grown),
            Some(Growth::Unknown) => None,
            Some(Growth::Unread) | None => return,
        };
        let is_read = |id| !matches!(self.growth.get(&id), Some(Growth::Unread) | None);
        let above = self.path(id).skip(1).find(|(id, _)| is_read(*id));
        if let Some((above, _)) = above {
            let below = self.below.entry(above).or_insert(Some(IoStat::default()));
            *below = below.zip(part).map(|(below, part)| sum(below, part));
        }
    }

    fn readings<T>(
        &self,
        id: CgroupId,
        part: fn(&'a IoFigures) -> Option<&'a T>,
    ) -> (Option<&'a T>, Option<&'a T>) {
        let of = |disk: &'a Disk| part(disk.cgroups.get(&id)?.figures.as_ref()?);
        (of(self.before), of(self.after))
    }

    /// Made during the interval; figures of those that were there before are missing.
    fn is_new(&self, id: CgroupId) -> bool {
        let is_new = |cgroup: &DiskCgroup| cgroup.is_new;
        let is_there = |disk: &Disk| disk.cgroups.contains_key(&id);
        self.after.cgroups.get(&id).is_some_and(is_new) && !is_there(self.before)
    }

    fn began_at_0(&self, id: CgroupId) -> Option<Stalled> {
        self.is_new(id).then_some(pressure::NONE)
    }

    /// The cgroup and those above it, as last known.
    fn path(&self, id: CgroupId) -> impl Iterator<Item = (CgroupId, &'a DiskCgroup)> + use<'a> {
        let (before, after) = (&self.before.cgroups, &self.after.cgroups);
        let find = move |id| Some((id, after.get(&id).or_else(|| before.get(&id))?));
        std::iter::successors(find(id), move |(_, cgroup)| find(cgroup.parent?)).take(DEEPEST)
    }
}

fn sum(one: IoStat, other: IoStat) -> IoStat {
    combined(one, other, u64::saturating_add)
}

/// Both are read at different times, so a part may be a moment ahead of its whole.
fn less(whole: IoStat, part: IoStat) -> IoStat {
    combined(whole, part, u64::saturating_sub)
}

fn combined(one: IoStat, other: IoStat, of: fn(u64, u64) -> u64) -> IoStat {
    IoStat {
        read_bytes: of(one.read_bytes, other.read_bytes),
        write_bytes: of(one.write_bytes, other.write_bytes),
        reads: of(one.reads, other.reads),
        writes: of(one.writes, other.writes),
    }
}

/// `None` when a counter went backwards.
fn grown(before: IoStat, after: IoStat) -> Option<IoStat> {
    Some(IoStat {
        read_bytes: after.read_bytes.checked_sub(before.read_bytes)?,
        write_bytes: after.write_bytes.checked_sub(before.write_bytes)?,
        reads: after.reads.checked_sub(before.reads)?,
        writes: after.writes.checked_sub(before.writes)?,
    })
}
