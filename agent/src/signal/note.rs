//! Losses that no neighbour caused: own causes have their own names.

mod disk;

use agent_ebpf::cause::Cause;

use crate::{
    model::{Model, Usage},
    sample::disk::DeviceId,
    signal::{Loss, Thresholds, judged},
};

/// Why an entity lost time without a neighbour's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnCause {
    /// A CPU quota of its own or of a cgroup above it.
    Throttled,
    /// The hypervisor: time stolen while it ran and while it waited.
    Hypervisor,
    /// Interrupts, while it ran and while it waited.
    Interrupts,
    /// Kernel threads.
    KernelThreads,
    /// Its own tasks: more of them than CPUs.
    SelfContention,
    /// A disk itself, when it serves nothing else.
    Device(DeviceId),
    /// A hint: `io.max` holds its requests back before they exist, where no program sees them.
    IoLimit,
}

impl OwnCause {
    const OF_CPU: [OwnCause; 5] = [
        OwnCause::Throttled,
        OwnCause::Hypervisor,
        OwnCause::Interrupts,
        OwnCause::KernelThreads,
        OwnCause::SelfContention,
    ];

    /// The name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            OwnCause::Throttled => "throttled",
            OwnCause::Hypervisor => "hypervisor",
            OwnCause::Interrupts => "interrupts",
            OwnCause::KernelThreads => "kernel_threads",
            OwnCause::SelfContention => "self_contention",
            OwnCause::Device(_) => "device",
            OwnCause::IoLimit => "io_limit",
        }
    }

    fn lost_ns(self, usage: &Usage) -> Option<u64> {
        let wait = |cause| usage.wait.get(cause);
        match self {
            OwnCause::Throttled => wait(Cause::Throttled),
            OwnCause::Hypervisor => wait(Cause::Steal)?.checked_add(usage.steal_ns?),
            OwnCause::Interrupts => wait(Cause::Irq)?.checked_add(usage.irq_ns?),
            OwnCause::KernelThreads => wait(Cause::Kernel),
            OwnCause::SelfContention => wait(Cause::SelfInflicted),
            OwnCause::Device(_) | OwnCause::IoLimit => None,
        }
    }
}

/// A loss worth telling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Note {
    /// The entity.
    pub row: usize,
    /// Why.
    pub cause: OwnCause,
    /// How much, nanoseconds.
    pub lost_ns: u64,
    /// … of what would have run without this loss; of a disk: of all time of its requests there;
    /// of `io.max`: of the interval; 0 to 1.
    pub lost_share: f64,
}

pub(super) fn all(model: &Model, thresholds: &Thresholds) -> Vec<Note> {
    let mut notes: Vec<Note> = model
        .entities
        .rows
        .iter()
        .enumerate()
        .filter_map(|(row, entity)| Some((row, judged(entity)?)))
        .flat_map(|(row, usage)| OwnCause::OF_CPU.map(|cause| (row, cause, usage)))
        .filter_map(|(row, cause, usage)| note(row, cause, usage))
        .filter(|note| {
            let cpus = model.cpus(note.lost_ns).unwrap_or(0.0);
            note.lost_share >= thresholds.note_share && cpus >= thresholds.note_cpus
        })
        .collect();
    notes.extend(disk::all(model, thresholds));
    notes.sort_by_key(|note| (std::cmp::Reverse(note.lost_ns), note.row, note.cause));
    notes
}

fn note(row: usize, cause: OwnCause, usage: &Usage) -> Option<Note> {
    let lost_ns = cause.lost_ns(usage)?;
    Some(Note {
        row,
        cause,
        lost_ns,
        lost_share: Loss::of_cpu(lost_ns, usage.run_ns).share(),
    })
}
