//! To whom time was lost.

use crate::{
    model::{Blame, Key, Kind, Model, Resource},
    signal::hurt::Judged,
};

/// Who had the resource while an entity waited.
#[derive(Clone, Debug, PartialEq)]
pub enum Culprits {
    /// The largest first.
    Named(Vec<Culprit>),
    /// So many, none large enough to name; 0 when the kernel programs could name none.
    Crowd(usize),
}

impl Culprits {
    /// Those with a name.
    pub fn named(&self) -> &[Culprit] {
        match self {
            Culprits::Named(named) => named,
            Culprits::Crowd(_) => &[],
        }
    }
}

/// One of those who had the resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Culprit {
    /// The entity.
    pub row: usize,
    /// What the victim lost to it, nanoseconds.
    pub ns: u64,
    /// … as a part of the victim's neighbour wait, 0 to 1.
    pub share: f64,
    /// Its run time as a ratio of its contract; not known of disks.
    pub over: Option<f64>,
}

/// Those who made an entity wait, kernel threads apart.
pub(in crate::signal) fn neighbors(
    model: &Model,
    victim: usize,
    resource: Resource,
) -> impl Iterator<Item = &Blame> {
    let blame = model.entities.blame_of(victim, resource);
    blame.filter(|b| model.entities.rows[b.culprit].kind != Kind::Kernel)
}

/// Those of them to name.
pub(super) fn culprits(
    judged: Judged<'_>,
    (victim, resource): (usize, Resource),
    lost_ns: u64,
) -> Culprits {
    let Judged {
        model,
        thresholds,
        over,
    } = judged;
    let with_name: Vec<&Blame> = neighbors(model, victim, resource)
        .filter(|b| model.entities.rows[b.culprit].key != Key::Other)
        .collect();
    let named: Vec<Culprit> = with_name
        .iter()
        .map(|b| Culprit {
            row: b.culprit,
            ns: b.ns,
            share: b.ns as f64 / lost_ns.max(b.ns).max(1) as f64,
            over: match resource {
                Resource::Cpu => over.get(b.culprit),
                Resource::Disk(_) => None,
            },
        })
        .filter(|culprit| {
            let cpus = model.cpus(culprit.ns).unwrap_or(0.0);
            culprit.share >= thresholds.culprit_share && cpus >= thresholds.culprit_cpus
        })
        .take(thresholds.culprits)
        .collect();
    if named.is_empty() {
        Culprits::Crowd(with_name.len())
    } else {
        Culprits::Named(named)
    }
}
