//! Interference: who lost time to neighbours, on which resource, and to which.

mod cpu;
mod culprits;
mod disk;

use crate::{
    model::{Model, Relation, Resource},
    signal::{Ratios, Thresholds},
};

pub(super) use culprits::neighbors;
pub use culprits::{Culprit, Culprits};

/// An entity that lost time to its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Hurt {
    /// The entity.
    pub row: usize,
    /// What it waited for.
    pub resource: Resource,
    /// Waited while neighbours had the resource, nanoseconds.
    pub lost_ns: u64,
    /// Of a CPU: lost, of what would have run without the loss; of a disk: of all time that its
    /// requests took there; 0 to 1.
    pub lost_share: f64,
    /// One wait reached the threshold of starvation.
    pub starved: bool,
    /// CPUs that the entity may use were idle for longer than it lost. Pinning and bad placement
    /// look like that; so does idle time at another moment.
    pub idle_elsewhere: bool,
    /// What kind of interference; `None` where contracts are unknown, and of disks, whose weights
    /// are not read, where victim and culprits were served for about as long.
    pub class: Option<Class>,
    /// Who ran.
    pub culprits: Culprits,
}

impl Hurt {
    /// Told for information: the victim itself used more than its contract.
    pub fn is_information(&self) -> bool {
        let informs = matches!(self.class, Some(Class::Competition | Class::OverRequest));
        informs && !self.starved
    }
}

/// Interference by the contracts of victim and culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The victim kept to its contract, the culprit did not.
    NoisyNeighbor,
    /// Both kept to contracts that together exceed the capacity.
    Overcommit,
    /// Both kept to contracts that fit: queueing alone.
    SchedulingLatency,
    /// Neither kept to its contract.
    Competition,
    /// The victim used more than its contract, the culprit did not.
    OverRequest,
    /// The victim kept to its contract, other parts of its pod did not.
    PodMate,
    /// The victim kept to its contract, other pods of its workload did not.
    SameWorkload,
}

impl Class {
    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::NoisyNeighbor => "noisy_neighbor",
            Class::Overcommit => "overcommit",
            Class::SchedulingLatency => "scheduling_latency",
            Class::Competition => "competition",
            Class::OverRequest => "over_request",
            Class::PodMate => "pod_mate",
            Class::SameWorkload => "same_workload",
        }
    }
}

/// An interval, and what it is judged by.
#[derive(Clone, Copy)]
struct Judged<'a> {
    model: &'a Model,
    thresholds: &'a Thresholds,
    over: &'a Ratios,
}

/// What neighbors over their contracts did, by what they are to the victim.
#[derive(Default)]
struct Over {
    mates: u64,
    replicas: u64,
    strangers: u64,
}

impl Over {
    fn add(&mut self, relation: Option<Relation>, ns: u64) {
        let sum = match relation {
            Some(Relation::PodMate) => &mut self.mates,
            Some(Relation::SameWorkload) => &mut self.replicas,
            _ => &mut self.strangers,
        };
        *sum = sum.saturating_add(ns);
    }

    fn total(&self) -> u64 {
        self.mates
            .saturating_add(self.replicas)
            .saturating_add(self.strangers)
    }

    /// Parts of the own pod and workload are no noisy neighbors.
    fn class(&self) -> Class {
        let own = self.mates.saturating_add(self.replicas);
        if self.strangers >= own {
            Class::NoisyNeighbor
        } else if self.mates >= self.replicas {
            Class::PodMate
        } else {
            Class::SameWorkload
        }
    }
}

pub(super) fn all(model: &Model, thresholds: &Thresholds, over: &Ratios) -> Vec<Hurt> {
    let judged = Judged {
        model,
        thresholds,
        over,
    };
    let rows = model.entities.rows.iter().enumerate();
    let mut hurt: Vec<Hurt> = rows
        .flat_map(|(index, row)| {
            let cpu = cpu::hurt(judged, index, row);
            let disks = disk::hurt(judged, index, row);
            cpu.into_iter().chain(disks)
        })
        .collect();
    hurt.sort_by_key(|hurt| {
        let lost = std::cmp::Reverse(hurt.lost_ns);
        (hurt.is_information(), !hurt.starved, lost)
    });
    hurt
}
