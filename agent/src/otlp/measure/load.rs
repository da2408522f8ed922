//! How far resources are used up, and how long tasks waited for them by the kernel's count.

use std::collections::BTreeSet;

use crate::{
    model::{Kind, Model, Resource, Row, disk::DeviceUse},
    otlp::{
        amount::{Amount, Attributes, nanoseconds},
        measure::{Interval, Of},
        registry::{DEVICE, PRESSURE, Points, RESOURCE},
    },
    sample::{disk::DeviceId, pressure::Pressure},
};

pub(crate) fn pressure(of: &Of<'_>, points: &mut Points) {
    // The root cgroup shares its Resource with the host, which has its own.
    let cgroup = of.row.cgroup.filter(|_| of.row.kind != Kind::Host);
    let pressure = of.model.pressure.as_ref().zip(cgroup);
    if let Some(pressure) = pressure.and_then(|(all, id)| all.cgroups.get(&id)) {
        stalled(pressure, points);
    }
}

pub(crate) fn pressure_of_host(interval: &Interval<'_>, points: &mut Points) {
    if let Some(pressure) = &interval.model.pressure {
        stalled(&pressure.host, points);
    }
}

fn stalled(pressure: &Pressure, points: &mut Points) {
    for (resource, stalled) in [
        ("cpu", pressure.cpu),
        ("memory", pressure.memory),
        ("disk", pressure.disk),
    ] {
        let some = stalled.map(|stalled| stalled.some);
        let full = stalled.and_then(|stalled| stalled.full);
        for (kind, time) in [("some", some), ("full", full)] {
            if let Some(time) = time {
                let attributes = vec![(RESOURCE, resource.to_owned()), (PRESSURE, kind.to_owned())];
                points.push((attributes, Amount::Ns(nanoseconds(time))));
            }
        }
    }
}

pub(crate) fn saturation(of: &Of<'_>, points: &mut Points) {
    // The root cgroup shares its Resource with the host, which has its own.
    let is_host = of.row.kind == Kind::Host;
    level(points, used_up(of.model, of.row).filter(|_| !is_host));
}

pub(crate) fn saturation_of_host(interval: &Interval<'_>, points: &mut Points) {
    let model = interval.model;
    level(points, model.host.busy_share());
    for (id, device) in disks(model) {
        let share = device.busy_share(model.length);
        points.extend(share.map(|share| (disk(model, *id), Amount::Level(share))));
    }
}

pub(crate) fn full(interval: &Interval<'_>, points: &mut Points) {
    let full = interval.full;
    let known = disks(interval.model).filter(|(_, device)| device.busy.is_some());
    let known = known.map(|(id, _)| Resource::Disk(*id));
    let all: BTreeSet<Resource> = known
        .chain(full.keys().copied())
        .chain([Resource::Cpu])
        .collect();
    for resource in all {
        let attributes = match resource {
            Resource::Cpu => cpu(),
            Resource::Disk(id) => disk(interval.model, id),
        };
        let time = full.get(&resource).copied().unwrap_or_default();
        points.push((attributes, Amount::Ns(nanoseconds(time))));
    }
}

fn disks(model: &Model) -> impl Iterator<Item = (&DeviceId, &DeviceUse)> {
    model.disks.iter().flat_map(|disks| &disks.devices)
}

fn disk(model: &Model, id: DeviceId) -> Attributes {
    let name = model
        .disks
        .as_ref()
        .map_or_else(|| id.to_string(), |disks| disks.name(id));
    vec![(RESOURCE, "disk".to_owned()), (DEVICE, name)]
}

/// Run time as a part of what the row may use.
fn used_up(model: &Model, row: &Row) -> Option<f64> {
    let cpus = model.cpus(row.usage.as_ref()?.run_ns)?;
    let allowed = |cpu: u32| row.cpuset.as_ref().is_none_or(|set| set.contains(&cpu));
    let online = (0u32..).zip(&model.host.cpus);
    let online = online.filter(|(cpu, used)| used.is_some() && allowed(*cpu));
    let most = online.count() as f64;
    let most = row.quota_cpus.map_or(most, |quota| quota.min(most));
    (most > 0.0).then(|| cpus / most)
}

fn level(points: &mut Points, level: Option<f64>) {
    points.extend(level.map(|level| (cpu(), Amount::Level(level))));
}

fn cpu() -> Attributes {
    vec![(RESOURCE, "cpu".to_owned())]
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        model::fixture::{ROOT, Scene},
        otlp::culprit::Naming,
        sample::{
            CgroupId,
            disk::InFlight,
            pressure::{Pressures, Stalled},
        },
    };

    #[expect(clippy::unnecessary_wraps, reason = "a file that is there, as told")]
    fn stalled(some: u64, full: Option<u64>) -> Option<Stalled> {
        Some(Stalled {
            some: Duration::from_secs(some),
            full: full.map(Duration::from_secs),
        })
    }

    fn scene() -> Scene {
        let mut scene = Scene::new(1);
        let web = scene.cgroup(2, "/web.service");
        let root = scene.cgroup(ROOT, "/");
        scene.ran(web, 1.0);
        scene.ran(root, 1.0);
        scene
    }

    /// Of a cgroup path, or of the host.
    fn told(model: &Model, path: Option<&str>) -> BTreeMap<String, u64> {
        let mut points = Points::new();
        if let Some(path) = path {
            let mut rows = model.entities.rows.iter().enumerate();
            let (index, row) = rows.find(|(_, row)| row.path == *path).unwrap();
            let naming = Naming::default();
            let of = Of {
                model,
                index,
                row,
                episodes: &[],
                naming: &naming,
            };
            pressure(&of, &mut points);
        } else {
            let interval = Interval {
                model,
                episodes: &[],
                full: &BTreeMap::new(),
            };
            pressure_of_host(&interval, &mut points);
        }
        let told = points.into_iter().map(|(attributes, amount)| {
            let values: Vec<String> = attributes.into_iter().map(|(_, value)| value).collect();
            (values.join(" "), amount.ns().unwrap() / 1_000_000_000)
        });
        told.collect()
    }

    #[test]
    fn disks_are_as_busy_as_is_known_and_what_was_full_is_told_to_the_end() {
        let mut scene = scene();
        let disks = [0, 1].map(|minor| scene.disk(minor, &format!("vd{minor}")));
        for (disk, time) in scene.disks().into_iter().zip([0, 4]) {
            let time = Duration::from_secs(time);
            disk.in_flight
                .insert(disks[0], InFlight { time, requests: 1 });
        }
        let model = scene.model();
        let of = |full: &[(Resource, u64)], read: fn(&Interval<'_>, &mut Points)| {
            let full = full.iter();
            let interval = Interval {
                model: &model,
                episodes: &[],
                full: &full.map(|(of, s)| (*of, Duration::from_secs(*s))).collect(),
            };
            let mut points = Points::new();
            read(&interval, &mut points);
            points
        };
        let disk = |name: &str| -> Attributes {
            vec![(RESOURCE, "disk".to_owned()), (DEVICE, name.to_owned())]
        };
        let busy = model.host.busy_share().unwrap();
        let levels = of(&[], saturation_of_host);
        let expected = [
            (cpu(), Amount::Level(busy)),
            (disk("vd0"), Amount::Level(0.4)),
        ];
        assert_eq!(levels, expected);
        let seconds = |s: u64| Amount::Ns(s * 1_000_000_000);
        let none = [(cpu(), seconds(0)), (disk("vd0"), seconds(0))];
        assert_eq!(of(&[], full), none);
        let both = [
            (Resource::Cpu, 1),
            (Resource::Disk(disks[0]), 2),
            (Resource::Disk(disks[1]), 3),
        ];
        let all = [
            (cpu(), seconds(1)),
            (disk("vd0"), seconds(2)),
            (disk("vd1"), seconds(3)),
        ];
        assert_eq!(of(&both, full), all);
    }

    #[test]
    fn pressure_is_of_the_own_cgroup_and_of_the_host_and_unknown_where_nobody_tells() {
        let of = |host: u64, cgroup: u64| Pressures {
            host: Pressure {
                cpu: stalled(host, None),
                disk: stalled(2 * host, Some(host)),
                memory: None,
            },
            cgroups: [CgroupId(ROOT), CgroupId(2)]
                .map(|id| {
                    let pressure = Pressure {
                        memory: stalled(cgroup, Some(cgroup)),
                        ..Pressure::default()
                    };
                    (id, pressure)
                })
                .into(),
            is_complete: true,
        };
        let model = scene().model().with_pressure(&of(10, 100), &of(13, 105));
        let expected = |all: &[(&str, u64)]| -> BTreeMap<String, u64> {
            let all = all.iter();
            all.map(|(what, seconds)| ((*what).to_owned(), *seconds))
                .collect()
        };
        let host = [("cpu some", 3), ("disk full", 3), ("disk some", 6)];
        assert_eq!(told(&model, None), expected(&host));
        let memory = [("memory full", 5), ("memory some", 5)];
        assert_eq!(told(&model, Some("/web.service")), expected(&memory));
        assert!(told(&model, Some("/")).is_empty(), "the host has its own");
        let unread = scene().model();
        assert!(told(&unread, None).is_empty());
        assert!(told(&unread, Some("/web.service")).is_empty());
    }
}
