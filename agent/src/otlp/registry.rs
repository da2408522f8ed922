//! Which metrics there are: the one place that names them. `docs/metrics.md` is made from it.

use crate::{
    config::Temporality,
    otlp::{
        amount::{Amount, Attributes},
        measure::{Account, Interval, Of, agent, cpu, disk, episodes, load},
    },
};

/// Version of the scope. It stays the same from release to release: in Prometheus it is a label.
pub const SCOPE_VERSION: &str = "1";
/// Name of the scope.
pub const SCOPE: &str = "crosstalk";

/// The value of [`CULPRIT_KIND`] for all culprits without a series of their own.
pub const OTHER: &str = "other";
/// What a culprit is.
pub const CULPRIT_KIND: &str = "crosstalk.culprit.kind";
/// Its name.
pub const CULPRIT_NAME: &str = "crosstalk.culprit.name";
/// Why somebody waited.
pub const CAUSE: &str = "crosstalk.cause";
/// Its namespace in Kubernetes, where no more is told of its name.
pub const CULPRIT_NAMESPACE: &str = "crosstalk.culprit.k8s.namespace.name";
/// What is waited for: `cpu`, `memory` or `disk`.
pub const RESOURCE: &str = "crosstalk.resource";
/// What kind of interference it is, or `saturation`.
pub const CLASS: &str = "crosstalk.class";
/// Whether some or all tasks waited.
pub const PRESSURE: &str = "crosstalk.pressure.type";
/// A block device.
pub const DEVICE: &str = "system.device";
/// What was asked of it.
pub const OPERATION: &str = "crosstalk.disk.operation";
/// Why something is missing.
pub const REASON: &str = "crosstalk.reason";
/// Whose account it is: what was to be expected, or what was measured.
pub const ACCOUNT: &str = "crosstalk.account";
/// Where names come from.
pub const SOURCE: &str = "crosstalk.source";
/// What became of something.
pub const OUTCOME: &str = "crosstalk.outcome";

/// Whether an attribute tells of a culprit.
pub fn is_of_culprit(key: &str) -> bool {
    [CULPRIT_KIND, CULPRIT_NAME, CULPRIT_NAMESPACE].contains(&key)
}

/// The kind of a metric in OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// An exponential histogram of scale 2.
    Histogram,
    /// A gauge.
    Gauge,
}

impl Kind {
    /// Whether it is told as what came since a receiver took it last. By the data model a gauge has
    /// no temporality. Counters are read once in an interval, so they are what OpenTelemetry calls
    /// asynchronous: cumulative where memory is to be low.
    pub fn is_delta(self, temporality: Temporality) -> bool {
        match self {
            Kind::Counter => temporality == Temporality::Delta,
            Kind::Histogram => temporality != Temporality::Cumulative,
            Kind::Gauge => false,
        }
    }
}

/// Who has series of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Whoever has something to count.
    All,
    /// Who lost a noticeable time in an interval, from then on.
    Affected,
    /// Nobody, unless asked for.
    Extra,
}

/// Where the values come from.
#[derive(Clone, Copy)]
pub enum Source {
    /// From a row of the model: one of each entity.
    Entity(fn(&Of<'_>, &mut Points)),
    /// The same, where attributes of a culprit come last and few culprits have a series of their
    /// own.
    Culprits(fn(&Of<'_>, &mut Points)),
    /// From a row of the model, and from all of it: one of each entity, and one of the host.
    Both(fn(&Of<'_>, &mut Points), fn(&Interval<'_>, &mut Points)),
    /// From the whole model: of the host.
    Host(fn(&Interval<'_>, &mut Points)),
    /// From the agent's account of itself.
    Agent(fn(&Account<'_>, &mut Points)),
}

/// What one metric brings in an interval.
pub type Points = Vec<(Attributes, Amount)>;

/// One metric.
pub struct Metric {
    /// Its name in OTLP.
    pub name: &'static str,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// What it counts.
    pub description: &'static str,
    /// Attributes of its points.
    pub attributes: &'static [&'static str],
    /// Who has it.
    pub tier: Tier,
    /// Where its values come from.
    pub source: Source,
}

const fn counter(name: &'static str, unit: &'static str, source: Source) -> Metric {
    Metric {
        name,
        unit,
        kind: Kind::Counter,
        description: "",
        attributes: &[],
        tier: Tier::All,
        source,
    }
}

const fn histogram(name: &'static str, source: Source) -> Metric {
    Metric {
        kind: Kind::Histogram,
        tier: Tier::Affected,
        ..counter(name, "s", source)
    }
}

const fn gauge(name: &'static str, unit: &'static str, source: Source) -> Metric {
    Metric {
        kind: Kind::Gauge,
        ..counter(name, unit, source)
    }
}

impl Metric {
    const fn of(self, attributes: &'static [&'static str]) -> Metric {
        Metric { attributes, ..self }
    }

    const fn tier(self, tier: Tier) -> Metric {
        Metric { tier, ..self }
    }

    const fn is(self, description: &'static str) -> Metric {
        Metric {
            description,
            ..self
        }
    }
}

use Source::{Agent, Both, Culprits, Entity, Host};

/// All metrics.
pub static METRICS: &[Metric] = &[
    counter("crosstalk.cpu.run.time", "s", Entity(cpu::run))
        .is("Time on a CPU, without steal and, where the kernel accounts them, interrupts."),
    counter("crosstalk.cpu.wait.time", "s", Entity(cpu::wait))
        .of(&[CAUSE])
        .is("Time from being ready to run to running, by cause."),
    counter("crosstalk.cpu.steal.time", "s", Entity(cpu::steal))
        .is("Time that the hypervisor took while the entity was on a CPU."),
    histogram("crosstalk.cpu.runqueue.delay", Entity(cpu::delay))
        .is("Single waits for a CPU, from being ready to run to running, throttled time left out."),
    counter("crosstalk.cpu.interference.time", "s", Culprits(cpu::interference))
        .of(&[CULPRIT_KIND, CULPRIT_NAME])
        .tier(Tier::Affected)
        .is("Time waited for a CPU while somebody else ran, by who ran. Over all culprits it grows as \
             `crosstalk.cpu.wait.time` of the causes `neighbor` and `kernel`."),
    counter("crosstalk.cpu.throttled.time", "s", Entity(cpu::throttled_time))
        .is("Time that the entity's own CPU quota held its run queues back, by the kernel's count \
             over all CPUs."),
    counter("crosstalk.cpu.throttled.periods", "{period}", Entity(cpu::throttled_periods))
        .is("Periods of its CPU quota in which the quota was used up."),
    counter("crosstalk.cpu.periods", "{period}", Entity(cpu::periods))
        .is("Periods of its CPU quota."),
    counter("crosstalk.disk.operations", "{operation}", Entity(disk::operations))
        .of(&[DEVICE, OPERATION])
        .tier(Tier::Affected)
        .is("Completed block requests."),
    counter("crosstalk.disk.io", "By", Entity(disk::bytes))
        .of(&[DEVICE, OPERATION])
        .tier(Tier::Affected)
        .is("Bytes of completed block requests."),
    counter("crosstalk.disk.errors", "{operation}", Entity(disk::errors))
        .of(&[DEVICE, OPERATION])
        .is("Completed block requests that failed."),
    histogram("crosstalk.disk.operation.duration", Entity(disk::total))
        .of(&[DEVICE, OPERATION])
        .is("Block requests, from creation to completion."),
    histogram("crosstalk.disk.queue.duration", Entity(disk::queue))
        .of(&[DEVICE, OPERATION])
        .tier(Tier::Extra)
        .is("Block requests, from creation to issue."),
    histogram("crosstalk.disk.device.duration", Entity(disk::device))
        .of(&[DEVICE, OPERATION])
        .tier(Tier::Extra)
        .is("Block requests, from issue to completion."),
    counter("crosstalk.disk.wait.time", "s", Entity(disk::wait))
        .of(&[DEVICE, CAUSE])
        .tier(Tier::Affected)
        .is("Time of block requests from creation to completion, by cause."),
    counter("crosstalk.disk.interference.time", "s", Culprits(disk::interference))
        .of(&[DEVICE, CULPRIT_KIND, CULPRIT_NAME])
        .tier(Tier::Affected)
        .is("Time of block requests while those of somebody else were in service, by whose they \
             were. Over all culprits it grows as `crosstalk.disk.wait.time` of the cause `neighbor`."),
    counter("crosstalk.pressure.stall.time", "s", Both(load::pressure, load::pressure_of_host))
        .of(&[RESOURCE, PRESSURE])
        .tier(Tier::Extra)
        .is("Time that `some` tasks, or all of them (`full`), were stalled on `cpu`, `memory` or `disk` \
             (block I/O), by the kernel's count (PSI): of the host, and on version 2 of cgroups of \
             the entity's cgroup with all below it. Read at the end of each interval, so who ends \
             before has no more of it. `full` of CPUs is not defined for the host, and of an entity \
             known from kernel 5.13 on."),
    counter("crosstalk.episodes", "{episode}", Both(episodes::opened, episodes::opened_by_host))
        .of(&[RESOURCE, DEVICE, CLASS])
        .is("Episodes that began: of interference, by class where that is known, and of the host's \
             saturation. One that begins again within 5 min counts once."),
    counter("crosstalk.episode.time", "s", Both(episodes::time, episodes::time_of_host))
        .of(&[RESOURCE, DEVICE, CLASS])
        .is("Time in episodes, from the first second with harm to the last."),
    gauge("crosstalk.saturation", "1", Both(load::saturation, load::saturation_of_host))
        .of(&[RESOURCE, DEVICE])
        .tier(Tier::Extra)
        .is("Of an entity its run time, as a part of what its quota, CPU set and the host allow; of \
             the host, which always has it, the time that CPUs were not idle, and that each disk had \
             requests in flight (`io_ticks` of `/proc/diskstats`). A disk that serves several at a \
             time is busy then, and need not be full. The kernel counts in ticks of its clock, and \
             below 6.10 a whole one for each in which a request began, but here no more than all \
             requests took together."),
    counter("crosstalk.saturation.time", "s", Host(load::full))
        .of(&[RESOURCE, DEVICE])
        .is("Seconds of which the host's CPUs were busy for 90 % or more, and seconds of which a disk \
             had requests in flight for 90 % or more."),
    counter("crosstalk.agent.switches.seen", "{event}", Agent(agent::seen))
        .is("Context switches that the programs in the kernel saw."),
    counter("crosstalk.agent.switches.dropped", "{event}", Agent(agent::dropped))
        .of(&[REASON])
        .is("Of these, not accounted, by reason."),
    counter("crosstalk.agent.wait.unattributed", "s", Agent(agent::unattributed))
        .of(&[REASON])
        .is("Waits of all entities without a cause, by reason."),
    counter("crosstalk.agent.lost", "{event}", Agent(agent::lost))
        .of(&[REASON])
        .is("What the programs had no room for, by what."),
    counter("crosstalk.agent.unnamed.time", "s", Agent(agent::unnamed))
        .is("Waits whose cause is known and whose culprit is not: there was no room for the pair."),
    gauge("crosstalk.agent.coverage", "1", Agent(agent::coverage))
        .is("Accounted waits as a ratio of the kernel's own run-queue delay of the interval; near 1 \
             is right."),
    gauge("crosstalk.agent.stepped_down", "1", Agent(agent::stepped_down))
        .is("1 while less than all is accounted, for the machine switches too often; else 0."),
    gauge("crosstalk.agent.switch.cost", "s", Agent(agent::cost))
        .is("Mean time of one run of the program on a context switch."),
    counter("crosstalk.agent.requests", "{request}", Agent(agent::disk_seen))
        .is("Completions of block requests that the program in the kernel saw."),
    counter("crosstalk.agent.intervals.skipped", "{interval}", Agent(agent::skipped))
        .is("Intervals that could not be observed."),
    gauge("crosstalk.agent.entities", "{entity}", Agent(agent::entities))
        .is("Entities that have series."),
    gauge("crosstalk.agent.series", "{series}", Agent(agent::series))
        .is("Series of all entities."),
    counter("crosstalk.agent.series.refused", "{series}", Agent(agent::refused))
        .is("Amounts left out because there were as many series as the limits allow."),
    counter("crosstalk.agent.culprits.refused", "{culprit}", Agent(agent::culprits_refused))
        .is("Culprits that took enough of an interval for a series of their own and found no place: \
             what they took is in that of `other`."),
    gauge("crosstalk.agent.names.missing", "{container}", Agent(agent::nameless))
        .is("Containers whose name no source has told."),
    counter("crosstalk.agent.names.failures", "{reading}", Agent(agent::name_failures))
        .of(&[SOURCE])
        .is("Readings of a source of names that failed. A source that is not there does not fail."),
    counter("crosstalk.agent.canary.runs", "{run}", Agent(agent::canary_runs))
        .is("Runs of the canary, where there is one."),
    counter("crosstalk.agent.canary.time", "s", Agent(agent::canary_time))
        .of(&[ACCOUNT])
        .is("How long one of the canary's processes waited for the other: `expected` by the kernel's \
             account of CPU time, and `measured` as this agent tells it of everyone. They are alike \
             while the agent is right."),
    counter("crosstalk.agent.export.requests", "{request}", Agent(agent::requests))
        .of(&[OUTCOME])
        .is("Export requests, by outcome: `accepted`, `refused` for good, or `failed` and tried again."),
    counter("crosstalk.agent.export.points", "{point}", Agent(agent::points))
        .of(&[OUTCOME])
        .is("Data points, by outcome: `accepted`, `rejected` by the receiver, `refused` with their \
             whole request, or `superseded` by newer ones before they were delivered."),
    counter("crosstalk.agent.export.points.ambiguous", "{point}", Agent(agent::ambiguous))
        .is("Deltas that a receiver may have counted without saying so: there was no answer, or that \
             of a gateway. They are part of the next ones, and so may count twice. Where all is \
             cumulative there is no such series."),
    counter("crosstalk.agent.export.events", "{event}", Agent(agent::events))
        .of(&[OUTCOME])
        .is("Events, by outcome: `accepted`, `rejected` by the receiver, `refused` for good, or \
             `dropped` because too many waited."),
];
