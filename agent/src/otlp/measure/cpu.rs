//! CPU time and waits of an entity.

use agent_ebpf::cause::Cause;

use crate::{
    model::{Resource, Usage},
    otlp::{
        amount::Amount,
        measure::{Of, by, one},
        registry::{CAUSE, Points},
    },
    sample::Bandwidth,
};

pub(crate) fn run(of: &Of<'_>, points: &mut Points) {
    usage(of, |usage| one(points, Amount::Ns(usage.run_ns)));
}

pub(crate) fn wait(of: &Of<'_>, points: &mut Points) {
    usage(of, |usage| {
        for cause in Cause::ALL {
            if let Some(ns) = usage.wait.get(cause) {
                by(points, CAUSE, cause.name(), Amount::Ns(ns));
            }
        }
    });
}

pub(crate) fn steal(of: &Of<'_>, points: &mut Points) {
    usage(of, |usage| {
        if let Some(ns) = usage.steal_ns {
            one(points, Amount::Ns(ns));
        }
    });
}

pub(crate) fn delay(of: &Of<'_>, points: &mut Points) {
    usage(of, |usage| {
        let throttled = usage.wait.known(Cause::Throttled);
        let sum = usage.wait.total().saturating_sub(throttled);
        if let Some(delay) = &usage.delay {
            one(points, Amount::Histogram(delay.counts().clone(), Some(sum)));
        }
    });
}

pub(crate) fn interference(of: &Of<'_>, points: &mut Points) {
    points.extend(of.culprits(Resource::Cpu));
}

pub(crate) fn throttled_time(of: &Of<'_>, points: &mut Points) {
    bandwidth(of, points, |quota| Amount::Ns(quota.throttled_ns));
}

pub(crate) fn throttled_periods(of: &Of<'_>, points: &mut Points) {
    bandwidth(of, points, |quota| Amount::Count(quota.throttled_periods));
}

pub(crate) fn periods(of: &Of<'_>, points: &mut Points) {
    bandwidth(of, points, |quota| Amount::Count(quota.periods));
}

fn usage(of: &Of<'_>, tell: impl FnOnce(&Usage)) {
    if let Some(usage) = &of.row.usage {
        tell(usage);
    }
}

fn bandwidth(of: &Of<'_>, points: &mut Points, amount: fn(&Bandwidth) -> Amount) {
    if let Some(bandwidth) = &of.row.bandwidth {
        one(points, amount(bandwidth));
    }
}
