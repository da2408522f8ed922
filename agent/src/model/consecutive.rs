//! Consecutive intervals told as one.
//!
//! What is counted adds up, what is a state is as it was last, and what one of the intervals does
//! not know is unknown of them all. A row that an interval does not have did nothing in it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::model::{
    Model, Unknown,
    disk::{self, DiskUse},
    identity::Key,
    table::{Blame, Resource, Row, Table, WaitingNow},
};

/// Intervals that follow each other, in the making.
#[derive(Debug, Default)]
pub struct Consecutive {
    /// All but its tables.
    whole: Option<Model>,
    entities: Rows,
    cgroups: Rows,
}

/// Rows of one table.
#[derive(Debug, Default)]
struct Rows {
    number_of: HashMap<Key, usize>,
    all: Vec<Known>,
    /// By victim, resource and culprit.
    blame: BTreeMap<(usize, Resource, usize), u64>,
}

/// A row, and when it was there.
#[derive(Debug)]
struct Known {
    row: Row,
    /// Of the intervals that have it, nanoseconds.
    there_ns: u128,
    /// The end of the last of them, since the start of the first of all.
    until: Duration,
}

impl Consecutive {
    /// Adds the interval that follows.
    pub fn push(&mut self, next: Model) {
        if next.length.is_zero() {
            return;
        }
        let from = self.whole.as_ref().map_or(Duration::ZERO, |m| m.length);
        let span = (from, next.length);
        let Model {
            entities, cgroups, ..
        } = next;
        self.entities.push(entities, span);
        self.cgroups.push(cgroups, span);
        let next = Model {
            entities: Table::default(),
            cgroups: Table::default(),
            ..next
        };
        match &mut self.whole {
            Some(whole) => append(whole, next),
            None => self.whole = Some(next),
        }
    }

    /// All of them as one; `None` when there was none with a length.
    pub fn finish(self) -> Option<Model> {
        let whole = self.whole?;
        Some(Model {
            entities: self.entities.finish(whole.length),
            cgroups: self.cgroups.finish(whole.length),
            ..whole
        })
    }
}

impl Extend<Model> for Consecutive {
    fn extend<I: IntoIterator<Item = Model>>(&mut self, intervals: I) {
        intervals.into_iter().for_each(|next| self.push(next));
    }
}

fn append(whole: &mut Model, next: Model) {
    whole.length = whole.length.saturating_add(next.length);
    whole.abilities = next.abilities;
    whole.host.append(&next.host);
    // It is read for single intervals only.
    whole.pressure = None;
    whole.disks = whole.disks.take().zip(next.disks).map(|(mut sum, next)| {
        sum.append(&next);
        sum
    });
    whole.accounting.append(&next.accounting);
    let is_new = |unknown: &Unknown| !whole.unknown.contains(unknown);
    let new: Vec<Unknown> = next.unknown.into_iter().filter(is_new).collect();
    whole.unknown.extend(new);
}

impl Rows {
    fn push(&mut self, table: Table, (from, length): (Duration, Duration)) {
        let until = from.saturating_add(length);
        let there_ns = length.as_nanos();
        let mut number_of = Vec::with_capacity(table.rows.len());
        for row in table.rows {
            let number = self.number_of.get(&row.key).copied();
            let number = number.unwrap_or(self.all.len());
            if let Some(known) = self.all.get_mut(number) {
                append_row(&mut known.row, row);
                known.there_ns += there_ns;
                known.until = until;
            } else {
                self.number_of.insert(row.key.clone(), number);
                self.all.push(Known {
                    row,
                    there_ns,
                    until,
                });
            }
            number_of.push(number);
        }
        for blame in table.blame {
            let (victim, culprit) = (number_of[blame.victim], number_of[blame.culprit]);
            let sum = self.blame.entry((victim, blame.resource, culprit));
            let sum = sum.or_default();
            *sum = sum.saturating_add(blame.ns);
        }
    }

    fn finish(self, length: Duration) -> Table {
        let rows = &self.all;
        let is_known = |victim: usize, resource: Resource| match resource {
            Resource::Cpu => rows[victim].row.usage.is_some(),
            Resource::Disk(_) => true,
        };
        // In the order of keys, as rows of a table are.
        let mut in_order: Vec<usize> = (0..rows.len()).collect();
        in_order.sort_by(|one, other| rows[*one].row.key.cmp(&rows[*other].row.key));
        let mut place_of = vec![0; rows.len()];
        for (place, number) in in_order.into_iter().enumerate() {
            place_of[number] = place;
        }
        let known = self.blame.into_iter();
        let known = known.filter(|((victim, resource, _), _)| is_known(*victim, *resource));
        let mut blame: Vec<Blame> = known
            .map(|((victim, resource, culprit), ns)| {
                let pair = (place_of[victim], place_of[culprit]);
                Blame::of(resource, pair, ns, rows[victim].row.waited_ns(resource))
            })
            .collect();
        blame.sort_by_key(|b| (b.victim, b.resource, std::cmp::Reverse(b.ns)));
        let mut rows: Vec<Row> = self
            .all
            .into_iter()
            .map(|known| known.over(length))
            .collect();
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        Table { rows, blame }
    }
}

impl Known {
    /// The row of the whole: what it is entitled to holds for the time that it was idle as well.
    fn over(self, length: Duration) -> Row {
        let mut row = self.row;
        if self.until < length {
            row.waiting = row.waiting.map(|_| WaitingNow::default());
        }
        let whole = length.as_nanos();
        if self.there_ns < whole {
            let times = whole as f64 / self.there_ns as f64;
            row.entitled_s = row.entitled_s.map(|seconds| seconds * times);
            row.contract_s = row.contract_s.map(|seconds| seconds * times);
        }
        row
    }
}

fn append_row(sum: &mut Row, next: Row) {
    sum.kind = next.kind;
    sum.name = next.name;
    sum.path = next.path;
    sum.labels = next.labels;
    sum.cgroup = next.cgroup.or(sum.cgroup);
    sum.usage = sum.usage.take().zip(next.usage).map(|(mut sum, next)| {
        sum.add(&next);
        sum
    });
    sum.waiting = next.waiting;
    sum.entitled_s = added(sum.entitled_s, next.entitled_s);
    sum.contract_s = added(sum.contract_s, next.contract_s);
    sum.quota_cpus = next.quota_cpus;
    sum.cpuset = next.cpuset;
    sum.bandwidth = sum.bandwidth.zip(next.bandwidth).map(|(mut sum, next)| {
        sum.periods = sum.periods.saturating_add(next.periods);
        let throttled = sum.throttled_periods.saturating_add(next.throttled_periods);
        sum.throttled_periods = throttled;
        sum.throttled_ns = sum.throttled_ns.saturating_add(next.throttled_ns);
        sum
    });
    sum.io = io(sum, next.disk.as_deref(), next.io);
    let disk = sum.disk.take().zip(next.disk);
    sum.disk = disk.map(|(sum, next)| disk::together(sum, &next));
}

/// The kernel's figures are read of those that had requests: without any, none were missed.
fn io(
    earlier: &Row,
    later_disk: Option<&[DiskUse]>,
    later: Option<disk::IoUse>,
) -> Option<disk::IoUse> {
    let had_none = |disk: Option<&[DiskUse]>| disk.is_some_and(<[_]>::is_empty);
    if had_none(later_disk) {
        return earlier.io;
    }
    if had_none(earlier.disk.as_deref()) {
        return later;
    }
    let mut sum = earlier.io?;
    sum.append(&later?);
    Some(sum)
}

fn added(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? + other?)
}
