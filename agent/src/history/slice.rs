//! One interval as it is kept: entities that did something, their names by number.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    Malformed,
    dictionary::{Dictionary, Values},
};
use crate::{
    model::{
        Accounting, HostUse, Key, Kind, Labels, Model, Resource, Row, Table, Unknown, Usage,
        WaitingNow,
        disk::{DeviceUse, DiskAccounting, DiskUsage, DiskUse, Disks, IoUse},
        table::Blame,
    },
    sample::{
        Abilities, Bandwidth, CgroupId,
        disk::{Device, DeviceId},
    },
};

/// One interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slice {
    /// When it began, since the history did.
    pub(super) from: Duration,
    /// Wall clock at its start, since 1970.
    start: Duration,
    abilities: Abilities,
    host: HostUse,
    rows: Vec<Measured>,
    /// Victim and culprit are places in `rows`.
    blame: Vec<(u32, u32, Resource, u64)>,
    disks: Option<MeasuredDisks>,
    accounting: Accounting,
    unknown: Vec<u32>,
}

/// What lasts of a row: all that [`Measured`] has not.
type Described = (
    Key,
    Kind,
    String,
    OsString,
    Option<CgroupId>,
    Labels,
    Option<f64>,
    Option<Vec<u32>>,
);

/// What changes of a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    described: u32,
    usage: Option<Usage>,
    waiting: Option<WaitingNow>,
    entitled_ns: Option<u64>,
    contract_ns: Option<u64>,
    bandwidth: Option<Bandwidth>,
    disk: Option<Vec<DiskUse>>,
    io: Option<IoUse>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MeasuredDisks {
    devices: Vec<(DeviceId, u32, Option<DiskUsage>, Option<Duration>)>,
    total: Option<DiskUsage>,
    accounting: DiskAccounting,
}

impl Slice {
    /// Of an interval that began then.
    pub(super) fn of(
        model: &Model,
        from: Duration,
        names: &mut Dictionary,
    ) -> Result<Slice, Malformed> {
        let end = from.saturating_add(model.length);
        let table = &model.entities;
        let mut place_of = vec![None; table.rows.len()];
        let mut rows = Vec::new();
        let blame = table.blame.iter();
        let blamed: BTreeSet<usize> = blame.flat_map(|b| [b.victim, b.culprit]).collect();
        for (number, row) in table.rows.iter().enumerate() {
            // Rows that did nothing are left out: that is what a row that is not there means.
            if is_active(row) || blamed.contains(&number) {
                place_of[number] = Some(rows.len() as u32);
                rows.push(Measured::of(row, names, end)?);
            }
        }
        let blame = table.blame.iter().filter_map(|blame| {
            let (victim, culprit) = (place_of[blame.victim]?, place_of[blame.culprit]?);
            Some((victim, culprit, blame.resource, blame.ns))
        });
        let unknown = model.unknown.iter();
        Ok(Slice {
            from,
            // Before 1970 no clock that is set is.
            start: model
                .start
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            abilities: model.abilities,
            host: model.host.clone(),
            rows,
            blame: blame.collect(),
            disks: model
                .disks
                .as_ref()
                .map(|disks| MeasuredDisks::of(disks, names, end))
                .transpose()?,
            accounting: model.accounting.clone(),
            unknown: unknown
                .map(|unknown| names.number(unknown, end))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Its length.
    pub(super) fn length(&self) -> Duration {
        self.host.length
    }

    /// The interval again, without single cgroups.
    pub(super) fn model(self, names: &Values) -> Result<Model, Malformed> {
        let rows = self.rows.into_iter();
        let rows: Vec<Row> = rows
            .map(|row| row.row(names))
            .collect::<Result<_, Malformed>>()?;
        let blame = self
            .blame
            .into_iter()
            .map(|(victim, culprit, resource, ns)| {
                let (victim, culprit) = (victim as usize, culprit as usize);
                rows.get(culprit).ok_or(Malformed)?;
                let waited = rows.get(victim).ok_or(Malformed)?.waited_ns(resource);
                Ok(Blame::of(resource, (victim, culprit), ns, waited))
            });
        let blame = blame.collect::<Result<_, Malformed>>()?;
        let unknown = self.unknown.into_iter();
        Ok(Model {
            start: SystemTime::UNIX_EPOCH
                .checked_add(self.start)
                .ok_or(Malformed)?,
            length: self.host.length,
            abilities: self.abilities,
            host: self.host,
            entities: Table { rows, blame },
            cgroups: Table::default(),
            disks: self.disks.map(|disks| disks.disks(names)).transpose()?,
            accounting: self.accounting,
            pressure: None,
            unknown: unknown
                .map(|number| names.get::<Unknown>(number))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn is_active(row: &Row) -> bool {
    row.usage.as_ref().is_none_or(Usage::is_active)
        || row.waiting.is_some_and(|now| now.tasks > 0)
        || row.disk.as_ref().is_some_and(|uses| !uses.is_empty())
}

impl Measured {
    fn of(row: &Row, names: &mut Dictionary, end: Duration) -> Result<Measured, Malformed> {
        let described = (
            &row.key,
            row.kind,
            &row.name,
            &row.path,
            row.cgroup,
            &row.labels,
            row.quota_cpus,
            &row.cpuset,
        );
        let nanoseconds = |seconds: f64| (seconds * 1e9).round() as u64;
        Ok(Measured {
            described: names.number(&described, end)?,
            usage: row.usage.clone(),
            waiting: row.waiting,
            entitled_ns: row.entitled_s.map(nanoseconds),
            contract_ns: row.contract_s.map(nanoseconds),
            bandwidth: row.bandwidth,
            disk: row.disk.clone(),
            io: row.io,
        })
    }

    fn row(self, names: &Values) -> Result<Row, Malformed> {
        let (key, kind, name, path, cgroup, labels, quota_cpus, cpuset): Described =
            names.get(self.described)?;
        let seconds = |ns: u64| ns as f64 / 1e9;
        Ok(Row {
            key,
            kind,
            name,
            path,
            cgroup,
            labels,
            usage: self.usage,
            waiting: self.waiting,
            entitled_s: self.entitled_ns.map(seconds),
            contract_s: self.contract_ns.map(seconds),
            quota_cpus,
            cpuset,
            bandwidth: self.bandwidth,
            disk: self.disk,
            io: self.io,
        })
    }
}

impl MeasuredDisks {
    fn of(
        disks: &Disks,
        names: &mut Dictionary,
        end: Duration,
    ) -> Result<MeasuredDisks, Malformed> {
        let devices = disks.devices.iter().map(|(id, used)| {
            let device = names.number(&used.device, end)?;
            Ok((*id, device, used.usage.clone(), used.busy))
        });
        Ok(MeasuredDisks {
            devices: devices.collect::<Result<_, Malformed>>()?,
            total: disks.total.clone(),
            accounting: disks.accounting,
        })
    }

    fn disks(self, names: &Values) -> Result<Disks, Malformed> {
        let devices = self.devices.into_iter().map(|(id, device, usage, busy)| {
            let device: Device = names.get(device)?;
            let used = DeviceUse {
                device,
                usage,
                busy,
            };
            Ok((id, used))
        });
        Ok(Disks {
            devices: devices.collect::<Result<BTreeMap<_, _>, Malformed>>()?,
            total: self.total,
            accounting: self.accounting,
        })
    }
}
