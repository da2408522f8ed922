//! What was found, picked and ordered for telling: pure, and the same for people and programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    os::unix::ffi::OsStrExt as _,
    time::Duration,
};

use agent_ebpf::cause::Cause;

use crate::{
    capability::Capability,
    cli::report::args::{By, Filter},
    entity::identify,
    host::{
        facts::HostFacts,
        hierarchy::Mode,
        processes::Usage as ProcessUse,
        text::{display_bytes, display_path},
    },
    model::{Key, Model, Resource, Row, Table, Usage, disk::DiskCause},
    sample::disk::DeviceId,
    signal::{Signals, Thresholds, is_judged},
    wording,
};

/// What was asked for.
pub(super) struct Question {
    pub(super) by: By,
    pub(super) filter: Option<Filter>,
    /// Rows at most; 0 is all.
    pub(super) top: Option<usize>,
    pub(super) duration: Duration,
}

/// Where it was asked.
pub(super) struct Host {
    pub(super) facts: HostFacts,
    pub(super) hierarchy: Mode,
    pub(super) capabilities: Vec<Capability>,
}

/// How much there is of the time that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// It was observed, all of it or not.
    Observed { complete: bool },
    /// An agent remembers it, all of it or not.
    Remembered {
        complete: bool,
        /// Entities that lost less than 1 % are one row.
        others_together: bool,
    },
}

impl Extent {
    pub(super) fn is_complete(self) -> bool {
        match self {
            Extent::Observed { complete } | Extent::Remembered { complete, .. } => complete,
        }
    }
}

/// All that a report tells.
pub(super) struct Findings {
    pub(super) question: Question,
    pub(super) host: Host,
    pub(super) model: Model,
    /// Of those asked for.
    pub(super) signals: Signals,
    pub(super) extent: Extent,
    /// Those who had a resource while somebody asked for was hurt, the worst first.
    pub(super) culprits: Vec<Culprit>,
    /// Rows asked for of the table asked for, the worst first.
    pub(super) rows: Vec<usize>,
    /// Entities that lost enough to be hurt, in waits too short for it.
    pub(super) took_turns: Vec<usize>,
    entity_labels: Vec<String>,
    row_labels: Vec<String>,
}

/// One of those who ran, or whose requests were in service.
pub(super) struct Culprit {
    /// Index into the entities.
    pub(super) row: usize,
    /// What the others waited for.
    pub(super) resource: Resource,
    /// How long those asked for, and hurt, waited for it, nanoseconds.
    pub(super) caused_ns: u64,
    /// Its processes that ran most; `None` where they cannot be listed, and for disks.
    pub(super) processes: Option<Vec<ProcessUse>>,
}

impl Findings {
    pub(super) fn new(question: Question, host: Host, model: Model, extent: Extent) -> Findings {
        let asked = Asked::new(question.filter.as_ref(), &model);
        let thresholds = Thresholds::default();
        let signals = Signals::detect_among(&model, &thresholds, &|row| asked.covers_entity(row));
        let table = table(&model, question.by);
        let covers = |row: &Row| match question.by {
            By::Entity => asked.covers_entity(row),
            By::Cgroup => asked.covers(row),
        };
        Findings {
            rows: worst_first(table, &model, covers),
            culprits: culprits(&signals),
            took_turns: took_turns(&model, &signals, &thresholds, &|row| {
                asked.covers_entity(row)
            }),
            entity_labels: labels(&model.entities),
            row_labels: labels(table),
            question,
            host,
            model,
            signals,
            extent,
        }
    }

    /// The table asked for.
    pub(super) fn table(&self) -> &Table {
        table(&self.model, self.question.by)
    }

    /// The name of an entity, safe to print, and unique.
    pub(super) fn entity(&self, row: usize) -> &str {
        self.entity_labels.get(row).map_or("?", String::as_str)
    }

    /// The name of a row of the table asked for, safe to print, and unique.
    pub(super) fn label(&self, row: usize) -> &str {
        self.row_labels.get(row).map_or("?", String::as_str)
    }

    /// CPUs that so many nanoseconds are over the interval.
    pub(super) fn cpus(&self, ns: u64) -> f64 {
        self.model.cpus(ns).unwrap_or(0.0)
    }

    /// So many over the interval, per second; `None` when it has no length.
    pub(super) fn per_second(&self, amount: f64) -> Option<f64> {
        let seconds = self.model.seconds();
        (seconds > 0.0).then(|| amount / seconds)
    }

    /// The name of a block device, safe to print.
    pub(super) fn disk(&self, device: DeviceId) -> String {
        let disks = self.model.disks.as_ref();
        let name = disks.map_or_else(|| device.to_string(), |disks| disks.name(device));
        display_bytes(name.as_bytes())
    }

    /// CPUs that a row's run time is compared with.
    pub(super) fn contract_cpus(&self, row: &Row) -> Option<f64> {
        let seconds = self.model.seconds();
        let contract = row.contract_s.filter(|_| seconds > 0.0);
        contract.map(|contract| contract / seconds)
    }

    /// CPUs that a row is entitled to.
    pub(super) fn entitled_cpus(&self, row: &Row) -> Option<f64> {
        let seconds = self.model.seconds();
        row.entitled_s
            .filter(|_| seconds > 0.0)
            .map(|entitled| entitled / seconds)
    }
}

/// Waited for neighbors, of what would have run without that, 0 to 1.
pub(super) fn lost_share(usage: &Usage) -> f64 {
    let lost = usage.wait.known(Cause::Neighbor);
    lost as f64 / lost.saturating_add(usage.run_ns).max(1) as f64
}

/// Time that requests waited behind those of others, nanoseconds.
pub(super) fn lost_on_disks(row: &Row) -> u64 {
    let uses = row.disk.iter().flatten();
    let lost = uses.filter_map(|part| Some(part.usage.as_ref()?.wait.get(DiskCause::Neighbor)));
    lost.fold(0, u64::saturating_add)
}

/// Ran, waited, or waits.
pub(super) fn is_active(row: &Row) -> bool {
    let waits = row.waiting.is_some_and(|now| now.tasks > 0);
    waits || row.usage.as_ref().is_none_or(Usage::is_active)
}

fn table(model: &Model, by: By) -> &Table {
    match by {
        By::Entity => &model.entities,
        By::Cgroup => &model.cgroups,
    }
}

/// What the glob covers. An entity is covered also by a cgroup inside it.
struct Asked<'a> {
    filter: Option<&'a Filter>,
    boundaries: BTreeSet<OsString>,
}

impl<'a> Asked<'a> {
    fn new(filter: Option<&'a Filter>, model: &Model) -> Asked<'a> {
        let cgroups = model.cgroups.rows.iter();
        let has_path = |row: &Row| match &row.key {
            Key::Path(path) => path.as_bytes().starts_with(b"/"),
            _ => row.cgroup.is_some(),
        };
        let matching = cgroups
            .filter(|row| has_path(row) && filter.is_some_and(|filter| filter.matches(&row.path)));
        Asked {
            filter,
            boundaries: matching.map(|row| identify(&row.path).boundary).collect(),
        }
    }

    fn covers(&self, row: &Row) -> bool {
        self.filter.is_none_or(|filter| filter.matches(&row.path))
    }

    fn covers_entity(&self, row: &Row) -> bool {
        self.covers(row) || self.boundaries.contains(&row.path)
    }
}

/// Waits for less than this do not put a row before one that ran more.
const NOTABLE_CPUS: f64 = 0.01;

/// By time lost to neighbors on any resource, waits for a CPU, and run time. What is unknown comes last.
fn worst_first(table: &Table, model: &Model, covers: impl Fn(&Row) -> bool) -> Vec<usize> {
    let notable = |ns| Some(ns).filter(|ns| model.cpus(*ns) >= Some(NOTABLE_CPUS));
    let mut rows: Vec<usize> = (0..table.rows.len())
        .filter(|row| covers(&table.rows[*row]))
        .collect();
    rows.sort_by_key(|row| {
        let usage = table.rows[*row].usage.as_ref();
        std::cmp::Reverse(usage.map(|usage| {
            let lost = usage.wait.known(Cause::Neighbor);
            let lost = lost.saturating_add(lost_on_disks(&table.rows[*row]));
            (notable(lost), notable(usage.wait.total()), usage.run_ns)
        }))
    });
    rows
}

fn took_turns(
    model: &Model,
    signals: &Signals,
    thresholds: &Thresholds,
    covers: &dyn Fn(&Row) -> bool,
) -> Vec<usize> {
    let lost_enough = |usage: &Usage| {
        let lost = usage.wait.known(Cause::Neighbor);
        let wanted = usage.run_ns.saturating_add(usage.wait.contention());
        model.cpus(lost) >= Some(thresholds.hurt_cpus)
            && lost as f64 / wanted.max(1) as f64 >= thresholds.hurt_share
    };
    let rows = worst_first(&model.entities, model, |row| {
        is_judged(row) && covers(row) && row.usage.as_ref().is_some_and(lost_enough)
    });
    let is_hurt = |row: &usize| {
        let mut on_cpu = signals
            .hurt
            .iter()
            .filter(|hurt| hurt.resource == Resource::Cpu);
        on_cpu.any(|hurt| hurt.row == *row)
    };
    rows.into_iter().filter(|row| !is_hurt(row)).collect()
}

fn culprits(signals: &Signals) -> Vec<Culprit> {
    let mut caused: BTreeMap<(usize, Resource), u64> = BTreeMap::new();
    for hurt in &signals.hurt {
        for culprit in hurt.culprits.named() {
            let sum = caused.entry((culprit.row, hurt.resource)).or_default();
            *sum = sum.saturating_add(culprit.ns);
        }
    }
    let mut culprits: Vec<Culprit> = caused
        .into_iter()
        .map(|((row, resource), caused_ns)| Culprit {
            row,
            resource,
            caused_ns,
            processes: None,
        })
        .collect();
    culprits.sort_by_key(|culprit| std::cmp::Reverse(culprit.caused_ns));
    culprits
}

/// Names of entities are safe to print already; those that two share are paths instead.
fn labels(table: &Table) -> Vec<String> {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for row in &table.rows {
        *uses.entry(wording::entity(row)).or_default() += 1;
    }
    let unique = |row| {
        Some(wording::entity(row))
            .filter(|name| uses.get(name) == Some(&1))
            .unwrap_or_else(|| display_path(&row.path))
    };
    table.rows.iter().map(unique).collect()
}
