//! Of the seconds that are kept longer, those who lost time and those who took it; all others are
//! told together as [`Key::Other`], so that sums hold.

use std::collections::{BTreeMap, BTreeSet};

use agent_ebpf::cause::Cause;

use crate::model::{
    Blame, Key, Kind, Labels, Model, Row, Table, Usage, WaitingNow,
    disk::{DiskCause, together},
};

/// Who lost this part of the time that it wanted …
const LOST_SHARE: f64 = 0.01;
/// … and so many CPUs, or seconds per second of a disk, is named.
const LOST_RATE: f64 = 0.001;
/// Who caused this part of what one of them waited for is named as well.
const CULPRIT_SHARE: f64 = 0.01;

/// Those who lost time in an interval, and those who took it.
pub(super) fn named(model: &Model) -> BTreeSet<usize> {
    let table = &model.entities;
    let rows = table.rows.iter().enumerate();
    let lost = rows.filter(|(_, row)| has_lost(model, row));
    let mut named: BTreeSet<usize> = lost.map(|(number, _)| number).collect();
    let culprits = table.blame.iter();
    let culprits =
        culprits.filter(|blame| blame.share >= CULPRIT_SHARE && named.contains(&blame.victim));
    let culprits: Vec<usize> = culprits.map(|blame| blame.culprit).collect();
    named.extend(culprits);
    named
}

fn has_lost(model: &Model, row: &Row) -> bool {
    let notable = |lost: u64, wanted: u64| {
        model.cpus(lost) >= Some(LOST_RATE) && lost as f64 >= LOST_SHARE * wanted as f64
    };
    let on_cpu = row.usage.as_ref().is_none_or(|usage| {
        let lost = lost_ns(usage);
        notable(lost, lost.saturating_add(usage.run_ns))
    });
    let waits = row.waiting.is_some_and(|now| now.tasks > 0);
    let mut on_disk = row.disk.iter().flatten();
    on_cpu
        || waits
        || on_disk.any(|part| {
            part.usage.as_ref().is_none_or(|usage| {
                let own = usage.wait.get(DiskCause::Device);
                let all = usage.wait.total();
                notable(all.saturating_sub(own), all)
            })
        })
}

/// Waited for whatever did something else, nanoseconds.
fn lost_ns(usage: &Usage) -> u64 {
    let others = [Cause::Throttled, Cause::Steal, Cause::Irq];
    others.iter().fold(usage.wait.contention(), |sum, cause| {
        sum.saturating_add(usage.wait.known(*cause))
    })
}

/// The same interval with the others as one row.
pub(super) fn with_others_together(model: &Model, is_named: &dyn Fn(&Key) -> bool) -> Model {
    let stays = |row: &Row| {
        let is_own = matches!(row.kind, Kind::Host | Kind::Kernel | Kind::Device);
        is_own || (row.key != Key::Other && is_named(&row.key))
    };
    let mut kept: Vec<Row> = Vec::new();
    let mut others: Option<Row> = None;
    // The others come last, as their key does.
    let mut place_of: Vec<Option<usize>> = Vec::with_capacity(model.entities.rows.len());
    for row in &model.entities.rows {
        if stays(row) {
            place_of.push(Some(kept.len()));
            kept.push(row.clone());
            continue;
        }
        place_of.push(None);
        others = Some(match others.take() {
            Some(sum) => joined(sum, row),
            None => anonymous(row),
        });
    }
    let last = kept.len();
    kept.extend(others);
    let place = |number: usize| place_of.get(number).copied().flatten().unwrap_or(last);
    let mut sums: BTreeMap<_, u64> = BTreeMap::new();
    for part in &model.entities.blame {
        let pair = (place(part.victim), part.resource, place(part.culprit));
        let sum = sums.entry(pair).or_default();
        *sum = sum.saturating_add(part.ns);
    }
    let blame = sums.into_iter().map(|((victim, resource, culprit), ns)| {
        let waited = kept[victim].waited_ns(resource);
        Blame::of(resource, (victim, culprit), ns, waited)
    });
    let blame = blame.collect();
    Model {
        entities: Table { rows: kept, blame },
        cgroups: Table::default(),
        host: model.host.clone(),
        disks: model.disks.clone(),
        accounting: model.accounting.clone(),
        pressure: None,
        unknown: model.unknown.clone(),
        start: model.start,
        length: model.length,
        abilities: model.abilities,
    }
}

/// A row without anything that is one entity's alone.
fn anonymous(row: &Row) -> Row {
    Row {
        key: Key::Other,
        kind: Kind::Other,
        name: "other".into(),
        path: "other".into(),
        cgroup: None,
        labels: Labels::default(),
        usage: row.usage.clone(),
        waiting: row.waiting,
        entitled_s: None,
        contract_s: None,
        quota_cpus: None,
        cpuset: None,
        bandwidth: None,
        disk: row.disk.clone(),
        io: None,
    }
}

fn joined(mut sum: Row, row: &Row) -> Row {
    sum.usage = sum.usage.zip(row.usage.as_ref()).map(|(mut sum, more)| {
        sum.add(more);
        sum
    });
    sum.waiting = sum.waiting.zip(row.waiting).map(|(sum, more)| WaitingNow {
        tasks: sum.tasks.saturating_add(more.tasks),
        longest: sum.longest.max(more.longest),
        total: sum.total.saturating_add(more.total),
    });
    let disk = sum.disk.zip(row.disk.as_deref());
    sum.disk = disk.map(|(sum, more)| together(sum, more));
    sum
}
