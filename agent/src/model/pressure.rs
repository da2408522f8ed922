//! How long tasks were stalled in an interval, by the kernel's count.

use std::{collections::BTreeMap, time::Duration};

use crate::sample::{
    CgroupId,
    pressure::{Pressure, Pressures, Stalled},
};

/// What a cgroup begins with.
pub(super) const NONE: Stalled = Stalled {
    some: Duration::ZERO,
    full: Some(Duration::ZERO),
};

/// Pressure in an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PressureUse {
    /// Of all tasks.
    pub host: Pressure,
    /// Of the tasks of a cgroup and of all below it, for those that existed at the end.
    pub cgroups: BTreeMap<CgroupId, Pressure>,
}

impl PressureUse {
    pub(super) fn between(before: &Pressures, after: &Pressures) -> PressureUse {
        let is_new = |id| before.is_complete && !before.cgroups.contains_key(id);
        let cgroups = after.cgroups.iter().filter_map(|(id, last)| {
            let new = is_new(id).then_some(Pressure {
                cpu: Some(NONE),
                memory: Some(NONE),
                disk: Some(NONE),
            });
            let first = before.cgroups.get(id).copied().or(new)?;
            Some((*id, pressure_since(first, *last)))
        });
        PressureUse {
            host: pressure_since(before.host, after.host),
            cgroups: cgroups.collect(),
        }
    }
}

fn pressure_since(first: Pressure, last: Pressure) -> Pressure {
    Pressure {
        cpu: stalled_since(first.cpu, last.cpu),
        memory: stalled_since(first.memory, last.memory),
        disk: stalled_since(first.disk, last.disk),
    }
}

/// How much longer one account is; `None` where an end is unknown, or it went backwards.
pub(super) fn stalled_since(first: Option<Stalled>, last: Option<Stalled>) -> Option<Stalled> {
    let (first, last) = (first?, last?);
    let full = last.full.zip(first.full);
    Some(Stalled {
        some: last.some.checked_sub(first.some)?,
        full: full.and_then(|(last, first)| last.checked_sub(first)),
    })
}

/// Two that follow each other; what is unknown of either is unknown of both.
pub(super) fn together(one: Stalled, other: Stalled) -> Stalled {
    let full = one.full.zip(other.full);
    Stalled {
        some: one.some.saturating_add(other.some),
        full: full.map(|(one, other)| one.saturating_add(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a file that is there, as told")]
    fn stalled(some: u64, full: Option<u64>) -> Option<Stalled> {
        Some(Stalled {
            some: Duration::from_secs(some),
            full: full.map(Duration::from_secs),
        })
    }

    fn of_cpu(cpu: Option<Stalled>) -> Pressure {
        Pressure {
            cpu,
            ..Pressure::default()
        }
    }

    fn all(cgroups: &[(u64, Pressure)], is_complete: bool) -> Pressures {
        let cgroups = cgroups.iter();
        Pressures {
            host: Pressure::default(),
            cgroups: cgroups.map(|(id, of)| (CgroupId(*id), *of)).collect(),
            is_complete,
        }
    }

    #[test]
    fn it_is_what_grew_and_what_cannot_be_told_is_unknown() {
        for (first, last, expected) in [
            (
                stalled(1, Some(1)),
                stalled(4, Some(2)),
                stalled(3, Some(1)),
            ),
            (stalled(1, None), stalled(4, None), stalled(3, None)),
            (stalled(1, None), stalled(4, Some(2)), stalled(3, None)),
            (stalled(1, Some(3)), stalled(4, Some(2)), stalled(3, None)),
            (stalled(5, None), stalled(4, None), None),
            (None, stalled(4, None), None),
            (stalled(1, None), None, None),
        ] {
            assert_eq!(stalled_since(first, last), expected, "{first:?} {last:?}");
        }
    }

    #[test]
    fn a_new_cgroup_began_at_0() {
        let last = all(&[(2, of_cpu(stalled(4, Some(2))))], true);
        let cpu = |first: &Pressures| {
            let of = PressureUse::between(first, &last);
            of.cgroups.get(&CgroupId(2)).and_then(|of| of.cpu)
        };
        assert_eq!(cpu(&all(&[], true)), stalled(4, Some(2)), "new");
        assert_eq!(cpu(&all(&[], false)), None, "it may have been there");
        let unknown = all(&[(2, Pressure::default())], true);
        assert_eq!(cpu(&unknown), None, "it was there");
        let first = all(&[(2, of_cpu(stalled(1, Some(1))))], false);
        assert_eq!(cpu(&first), stalled(3, Some(1)));
    }

    #[test]
    fn who_is_gone_has_none() {
        let first = all(&[(2, of_cpu(stalled(1, None)))], true);
        let of = PressureUse::between(&first, &all(&[], true));
        assert_eq!(of, PressureUse::default());
    }
}
