//! From parties and owners of requests to rows. An entity's own parts cannot be its neighbours:
//! what one of its cgroups waited for another is its own doing.

use std::collections::BTreeMap;

use agent_ebpf::cause::Cause;

use crate::{
    model::{
        disk::{self, DiskParts, IoUse},
        entitlement::Entitlements,
        identity::Key,
        names::{Member, Name, Names},
        parties::{Parties, PartyBlame},
        table::{Blame, Resource, Row, Table, WaitingNow},
        usage::Usage,
    },
    sample::{Abilities, CgroupId, Party, disk::DiskOwner},
};

/// What rows are made of.
pub(super) struct Parts<'a> {
    pub(super) parties: &'a Parties,
    pub(super) disk: Option<&'a DiskParts<'a>>,
    pub(super) names: &'a Names<'a>,
    pub(super) entitlements: &'a Entitlements<'a>,
    pub(super) abilities: Abilities,
}

/// One row for each entity.
pub(super) fn entities(parts: &Parts<'_>) -> Table {
    table(parts, &|member| parts.names.entity_of(member))
}

/// One row for each cgroup.
pub(super) fn cgroups(parts: &Parts<'_>) -> Table {
    table(parts, &|member| parts.names.of_member(member))
}

/// A row in the making.
struct Group {
    name: Name,
    parties: Vec<Party>,
    owners: Vec<DiskOwner>,
    usage: Option<Usage>,
    waiting: Option<WaitingNow>,
}

fn table(parts: &Parts<'_>, name: &dyn Fn(Member) -> Name) -> Table {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for (party, usage) in &parts.parties.usage {
        let group = group(&mut groups, parts, name(Member::Party(*party)));
        group.join(*party, usage.as_ref());
    }
    for owner in parts.disk.iter().flat_map(|disk| disk.streams.owners()) {
        let group = group(&mut groups, parts, name(Member::Owner(owner)));
        group.owners.push(owner);
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    let row_of = by_member(&groups, |group| &group.parties);
    add_waiting(&mut groups, parts.parties, &row_of);
    let mut blame = blame(&mut groups, &parts.parties.blame, &row_of);
    let ios = ios(parts, &groups, name);
    let owners = by_member(&groups, |group| &group.owners);
    let groups = groups.into_iter();
    let mut rows: Vec<Row> = groups.map(|group| group.row(parts.entitlements)).collect();
    if let Some(disk) = parts.disk {
        let (uses, behind) = disk::by_row(&disk.streams, rows.len(), &owners);
        for ((row, uses), io) in rows.iter_mut().zip(uses).zip(ios) {
            row.disk = Some(uses);
            row.io = io;
        }
        blame.extend(behind);
    }
    blame.sort_by_key(|b| (b.victim, b.resource, std::cmp::Reverse(b.ns)));
    Table { rows, blame }
}

/// The group of that name, made where there is none.
fn group<'a>(groups: &'a mut BTreeMap<Key, Group>, parts: &Parts<'_>, name: Name) -> &'a mut Group {
    let waiting = parts.parties.waiting.as_ref();
    groups.entry(name.key.clone()).or_insert_with(|| Group {
        name,
        parties: Vec::new(),
        owners: Vec::new(),
        usage: Some(Usage::none(parts.abilities)),
        waiting: waiting.map(|_| WaitingNow::default()),
    })
}

fn by_member<Id: Copy + Ord>(
    groups: &[Group],
    members: impl Fn(&Group) -> &Vec<Id>,
) -> BTreeMap<Id, usize> {
    let mut row_of = BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        row_of.extend(members(group).iter().map(|member| (*member, row)));
    }
    row_of
}

impl Group {
    fn join(&mut self, party: Party, usage: Option<&Usage>) {
        self.parties.push(party);
        self.usage = self.usage.take().zip(usage).map(|(mut sum, part)| {
            sum.add(part);
            sum
        });
    }

    fn row(self, entitlements: &Entitlements<'_>) -> Row {
        let id = self.name.cgroup;
        // With tasks of its boundary alone, its children are rows of their own.
        let is_boundary = |id| move |party: &Party| *party == Party::Cgroup(id);
        let tasks_only = id.is_some_and(|id| self.parties.iter().all(is_boundary(id)));
        let entitled = |id| {
            if tasks_only {
                entitlements.tasks_s(id)
            } else {
                entitlements.subtree_s(id)
            }
        };
        let entitled_s = id.and_then(entitled);
        let request = self.name.labels.cpu_request;
        Row {
            contract_s: entitled_s.map(|entitled| entitlements.contract_s(entitled, request)),
            key: self.name.key,
            kind: self.name.kind,
            name: self.name.for_people,
            path: self.name.path,
            labels: self.name.labels,
            cgroup: id,
            usage: self.usage,
            waiting: self.waiting,
            entitled_s,
            quota_cpus: id.and_then(|id| entitlements.quota_cpus(id)),
            cpuset: id.and_then(|id| entitlements.cpuset(id)),
            bandwidth: id.and_then(|id| entitlements.bandwidth(id)),
            disk: None,
            io: None,
        }
    }
}

fn add_waiting(groups: &mut [Group], parties: &Parties, row_of: &BTreeMap<Party, usize>) {
    for wait in parties.waiting.iter().flatten() {
        let group = row_of.get(&wait.party).map(|row| &mut groups[*row]);
        if let Some(now) = group.and_then(|group| group.waiting.as_mut()) {
            now.tasks += 1;
            now.longest = now.longest.max(wait.waited);
            now.total = now.total.saturating_add(wait.waited);
        }
    }
}

fn blame(
    groups: &mut [Group],
    parts: &[PartyBlame],
    row_of: &BTreeMap<Party, usize>,
) -> Vec<Blame> {
    let mut of_rows: Vec<((usize, usize), u64)> = Vec::with_capacity(parts.len());
    let mut latest = None;
    for part in parts {
        // Parts of a victim follow each other.
        let victim = match latest {
            Some((same, row)) if same == part.victim => row,
            _ => row_of.get(&part.victim),
        };
        latest = Some((part.victim, victim));
        let (Some(&victim), Some(&culprit)) = (victim, row_of.get(&part.culprit)) else {
            continue;
        };
        let named = part.culprit != Party::Other;
        match &mut groups[victim].usage {
            Some(usage) if victim == culprit && named => {
                usage
                    .wait
                    .shift(Cause::Neighbor, Cause::SelfInflicted, part.ns);
            }
            Some(_) => of_rows.push(((victim, culprit), part.ns)),
            None => {}
        }
    }
    of_rows.sort_unstable();
    let same_rows = of_rows.chunk_by(|(one, _), (other, _)| one == other);
    let sums = same_rows.map(|parts| {
        let sum = parts.iter().map(|(_, ns)| ns);
        (
            parts[0].0,
            sum.fold(0, |sum: u64, ns| sum.saturating_add(*ns)),
        )
    });
    let blame = sums.map(|((victim, culprit), ns)| {
        let wait = groups[victim].usage.as_ref().map_or(0, |u| u.wait.total());
        Blame::of(Resource::Cpu, (victim, culprit), ns, wait)
    });
    blame.collect()
}

/// The kernel's own figures of each row that has cgroups in the hierarchy that owns `io`.
fn ios(parts: &Parts<'_>, groups: &[Group], name: &dyn Fn(Member) -> Name) -> Vec<Option<IoUse>> {
    let Some(disk) = parts.disk else {
        return Vec::new();
    };
    let keys = groups.iter().enumerate();
    let row_of: BTreeMap<&Key, usize> = keys.map(|(row, group)| (&group.name.key, row)).collect();
    let mut cgroups: Vec<(Vec<CgroupId>, Option<CgroupId>)> =
        vec![Default::default(); groups.len()];
    for id in disk.figures.ids() {
        let owner = Member::Owner(DiskOwner::Cgroup(id));
        let Some(row) = row_of.get(&name(owner).key) else {
            continue;
        };
        let (members, boundary) = &mut cgroups[*row];
        members.push(id);
        if parts.names.of_member(owner).path == groups[*row].name.path {
            // Those that exist come first.
            boundary.get_or_insert(id);
        }
    }
    let figures = |(members, boundary): (Vec<CgroupId>, _)| {
        (!members.is_empty()).then(|| disk.figures.of(&members, boundary))
    };
    cgroups.into_iter().map(figures).collect()
}
