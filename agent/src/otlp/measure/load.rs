//! How far resources are used up, and how long tasks waited for them by the kernel's count.

use crate::{
    model::{Kind, Model, Row},
    otlp::{
        amount::{Amount, Attributes, nanoseconds},
        measure::{Interval, Of},
        registry::{PRESSURE, Points, RESOURCE},
    },
};

pub(crate) fn pressure(of: &Of<'_>, points: &mut Points) {
    let Some(pressure) = of.row.io.and_then(|io| io.pressure) else {
        return;
    };
    for (kind, stalled) in [("some", pressure.some), ("full", pressure.full)] {
        let attributes = vec![(RESOURCE, "disk".to_owned()), (PRESSURE, kind.to_owned())];
        points.push((attributes, Amount::Ns(nanoseconds(stalled))));
    }
}

pub(crate) fn saturation(of: &Of<'_>, points: &mut Points) {
    // The root cgroup shares its Resource with the host, which has its own.
    let is_host = of.row.kind == Kind::Host;
    level(points, used_up(of.model, of.row).filter(|_| !is_host));
}

pub(crate) fn saturation_of_host(interval: &Interval<'_>, points: &mut Points) {
    level(points, interval.model.host.busy_share());
}

pub(crate) fn full(interval: &Interval<'_>, points: &mut Points) {
    points.push((cpu(), Amount::Ns(nanoseconds(interval.full))));
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
