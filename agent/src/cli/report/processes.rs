//! Names what runs in culprits.

use std::path::Path;

use crate::{
    cli::report::findings::Findings,
    entity::identify,
    host::processes::{Snapshot, Usage, top},
    model::{Key, Kind, Resource, Row},
    observe::Observer,
    sample::CgroupId,
};

const PROC: &str = "/proc";
/// Processes named of one culprit.
const MOST: usize = 3;
/// Looked at in each cgroup: some of the root's are kernel threads.
const MOST_LOOKED_AT: usize = 64;
/// An entity may have thousands of cgroups.
const MOST_CGROUPS: usize = 256;

/// Adds top processes to the culprits.
pub(super) fn name(findings: &mut Findings, observer: &Observer, before: Option<&Snapshot>) {
    let Some(before) = before else { return };
    let model = &findings.model;
    let of_cpu = findings.culprits.iter_mut();
    for culprit in of_cpu.filter(|culprit| culprit.resource == Resource::Cpu) {
        let row = &model.entities.rows[culprit.row];
        let mut all: Vec<Usage> = Vec::new();
        let mut listed = false;
        for id in members(row, &model.cgroups.rows).take(MOST_CGROUPS) {
            if let Some(processes) = processes(observer, before, id) {
                all.extend(processes);
                listed = true;
            }
        }
        if row.kind == Kind::Host {
            // They have rows of their own.
            all.retain(|process| !process.is_kernel_thread);
        }
        all.sort_by_key(|process| (std::cmp::Reverse(process.cpu_ns), process.pid));
        all.truncate(MOST);
        culprit.processes = listed.then_some(all);
    }
}

/// The cgroups of an entity, the busiest first.
fn members(entity: &Row, cgroups: &[Row]) -> impl Iterator<Item = CgroupId> {
    let run_ns = |row: &Row| row.usage.as_ref().map_or(0, |usage| usage.run_ns);
    let mut members: Vec<(u64, CgroupId)> = cgroups
        .iter()
        .filter(|row| match &entity.key {
            Key::Entity(boundary) => identify(&row.path).boundary == *boundary,
            key => row.key == *key,
        })
        .filter_map(|row| Some((run_ns(row), row.cgroup?)))
        .collect();
    members.sort_unstable_by(|one, other| other.cmp(one));
    members.into_iter().map(|(_, id)| id)
}

/// `None` for a cgroup that is gone, or whose processes are listed above it (threaded ones).
fn processes(observer: &Observer, before: &Snapshot, id: CgroupId) -> Option<Vec<Usage>> {
    let list = observer.cgroup_folder(id)?.join("cgroup.procs");
    let after = Snapshot::read(Path::new(PROC), &list).ok()?;
    Some(top(before, &after, MOST_LOOKED_AT))
}
