//! How much of what was wanted was lost, on one resource.

use agent_ebpf::cause::Cause;

use crate::{
    model::{
        HostUse, Resource, Row,
        disk::{DiskCause, on_device},
    },
    signal::{is_judged, judged},
};

/// Time that was lost, of time that was wanted, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Waited while others had the resource.
    pub lost_ns: u64,
    /// … and had the resource; of a disk: all time of the requests there.
    pub wanted_ns: u64,
}

impl Loss {
    /// What was lost, as a part of what was wanted, 0 to 1.
    pub fn share(self) -> f64 {
        self.lost_ns as f64 / self.wanted_ns.max(1) as f64
    }

    pub(super) fn of_cpu(lost_ns: u64, run_ns: u64) -> Loss {
        Loss {
            lost_ns,
            wanted_ns: lost_ns.saturating_add(run_ns),
        }
    }

    pub(super) fn add(&mut self, more: Loss) {
        self.lost_ns = self.lost_ns.saturating_add(more.lost_ns);
        self.wanted_ns = self.wanted_ns.saturating_add(more.wanted_ns);
    }

    /// What a row lost to its neighbors; `None` where that is not known.
    pub(super) fn to_neighbors(row: &Row, resource: Resource) -> Option<Loss> {
        match resource {
            Resource::Cpu => {
                let usage = judged(row)?;
                let lost_ns = usage.wait.known(Cause::Neighbor);
                Some(Loss::of_cpu(lost_ns, usage.run_ns))
            }
            Resource::Disk(device) => {
                let uses = row.disk.as_deref().filter(|_| is_judged(row))?;
                let mut there = uses.iter().filter(|part| part.device == device);
                if there.any(|part| part.usage.is_none()) {
                    return None;
                }
                let all = on_device(uses, device).unwrap_or_default();
                Some(Loss {
                    lost_ns: all.wait.get(DiskCause::Neighbor),
                    wanted_ns: all.wait.total(),
                })
            }
        }
    }

    /// What all tasks of a host lost to each other; `None` when there is no reading.
    pub(super) fn of_host(host: &HostUse) -> Option<Loss> {
        Some(Loss::of_cpu(host.wait.contention(), host.used?.run_ns))
    }
}
