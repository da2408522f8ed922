//! From parties to rows. An entity's own parts cannot be its neighbours: what one of its cgroups
//! waited for another is its own doing.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use agent_ebpf::cause::Cause;

use crate::{
    host::text::display_path,
    model::{
        entitlement::Entitlements,
        identity::{Identity, Key, Kind, kernel_name, path_text},
        parties::{Parties, PartyBlame},
        table::{Blame, Row, Table, WaitingNow},
        usage::Usage,
    },
    sample::{Cgroup, CgroupId, Party, Sample},
};

/// Paths and entities of cgroups.
pub(super) struct Names<'a> {
    before: &'a BTreeMap<CgroupId, Cgroup>,
    after: &'a BTreeMap<CgroupId, Cgroup>,
    ids: BTreeMap<&'a OsStr, CgroupId>,
    identify: &'a dyn Fn(&OsStr) -> Identity,
}

/// What a row is called.
struct Name {
    key: Key,
    kind: Kind,
    for_people: String,
    path: OsString,
    cgroup: Option<CgroupId>,
}

impl<'a> Names<'a> {
    pub(super) fn new(
        before: &'a Sample,
        after: &'a Sample,
        identify: &'a dyn Fn(&OsStr) -> Identity,
    ) -> Names<'a> {
        let known = before.cgroups.iter().chain(&after.cgroups);
        Names {
            before: &before.cgroups,
            after: &after.cgroups,
            ids: known.map(|(id, c)| (c.path.as_os_str(), *id)).collect(),
            identify,
        }
    }

    /// A party in a sentence, which may reach a terminal.
    pub(super) fn label(&self, party: Party) -> String {
        display_path(&self.of_party(party).path)
    }

    /// The last known path.
    fn path(&self, id: CgroupId) -> Option<&'a OsStr> {
        let cgroup = self.after.get(&id).or_else(|| self.before.get(&id))?;
        Some(&cgroup.path)
    }

    fn entity_of(&self, party: Party) -> Name {
        let Party::Cgroup(id) = party else {
            return self.of_party(party);
        };
        let Some(path) = self.path(id) else {
            return self.of_party(party);
        };
        let identity = (self.identify)(path);
        Name {
            kind: identity.kind,
            for_people: identity.name,
            cgroup: self.ids.get(identity.boundary.as_os_str()).copied(),
            key: Key::Entity(identity.boundary.clone()),
            path: identity.boundary,
        }
    }

    fn of_party(&self, party: Party) -> Name {
        let (key, kind, path, cgroup) = match party {
            Party::Cgroup(id) => {
                let path = self.path(id).map_or_else(
                    || OsString::from(format!("cgroup {id}")),
                    OsStr::to_os_string,
                );
                (Key::Cgroup(id), Kind::Cgroup, path, Some(id))
            }
            Party::Kernel(family) => {
                let path = kernel_name(family).into();
                (Key::Kernel(family), Kind::Kernel, path, None)
            }
            Party::Other => (Key::Other, Kind::Other, "other".into(), None),
        };
        Name {
            key,
            kind,
            for_people: path_text(&path),
            path,
            cgroup,
        }
    }
}

/// One row for each entity.
pub(super) fn entities(
    parties: &Parties,
    names: &Names<'_>,
    entitlements: &Entitlements<'_>,
) -> Table {
    table(parties, entitlements, |party| names.entity_of(party))
}

/// One row for each cgroup.
pub(super) fn cgroups(
    parties: &Parties,
    names: &Names<'_>,
    entitlements: &Entitlements<'_>,
) -> Table {
    table(parties, entitlements, |party| names.of_party(party))
}

/// A row in the making.
struct Group {
    name: Name,
    members: Vec<Party>,
    usage: Option<Usage>,
    waiting: Option<WaitingNow>,
}

fn table(
    parties: &Parties,
    entitlements: &Entitlements<'_>,
    name: impl Fn(Party) -> Name,
) -> Table {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for (party, usage) in &parties.usage {
        let name = name(*party);
        if let Some(group) = groups.get_mut(&name.key) {
            group.join(*party, usage.as_ref());
            continue;
        }
        let key = name.key.clone();
        let waiting = parties.waiting.as_ref().map(|_| WaitingNow::default());
        groups.insert(key, Group::new(name, *party, usage.clone(), waiting));
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    let row_of: BTreeMap<Party, usize> = groups
        .iter()
        .enumerate()
        .flat_map(|(row, group)| group.members.iter().map(move |party| (*party, row)))
        .collect();
    add_waiting(&mut groups, parties, &row_of);
    let blame = blame(&mut groups, &parties.blame, &row_of);
    let rows = groups.into_iter().map(|g| g.row(entitlements)).collect();
    Table { rows, blame }
}

impl Group {
    fn new(name: Name, party: Party, usage: Option<Usage>, waiting: Option<WaitingNow>) -> Group {
        Group {
            name,
            members: vec![party],
            usage,
            waiting,
        }
    }

    fn join(&mut self, party: Party, usage: Option<&Usage>) {
        self.members.push(party);
        self.usage = self.usage.take().zip(usage).map(|(mut sum, part)| {
            sum.add(part);
            sum
        });
    }

    fn row(self, entitlements: &Entitlements<'_>) -> Row {
        let id = self.name.cgroup;
        // With tasks of its boundary alone, its children are rows of their own.
        let tasks_only = id.is_some_and(|id| self.members == [Party::Cgroup(id)]);
        let entitled = |id| {
            if tasks_only {
                entitlements.tasks_s(id)
            } else {
                entitlements.subtree_s(id)
            }
        };
        Row {
            key: self.name.key,
            kind: self.name.kind,
            name: self.name.for_people,
            path: self.name.path,
            cgroup: id,
            usage: self.usage,
            waiting: self.waiting,
            entitled_s: id.and_then(entitled),
            quota_cpus: id.and_then(|id| entitlements.quota_cpus(id)),
            cpuset: id.and_then(|id| entitlements.cpuset(id)),
            bandwidth: id.and_then(|id| entitlements.bandwidth(id)),
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
    let mut sums: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for part in parts {
        let (Some(&victim), Some(&culprit)) = (row_of.get(&part.victim), row_of.get(&part.culprit))
        else {
            continue;
        };
        let named = part.culprit != Party::Other;
        match &mut groups[victim].usage {
            Some(usage) if victim == culprit && named => {
                usage
                    .wait
                    .shift(Cause::Neighbor, Cause::SelfInflicted, part.ns);
            }
            Some(_) => {
                let sum = sums.entry((victim, culprit)).or_default();
                *sum = sum.saturating_add(part.ns);
            }
            None => {}
        }
    }
    let mut blame: Vec<Blame> = sums
        .into_iter()
        .map(|((victim, culprit), ns)| {
            let wait = groups[victim].usage.as_ref().map_or(0, |u| u.wait.total());
            Blame {
                victim,
                culprit,
                ns,
                share: ns as f64 / wait.max(ns).max(1) as f64,
            }
        })
        .collect();
    blame.sort_by_key(|b| (b.victim, std::cmp::Reverse(b.ns)));
    blame
}
