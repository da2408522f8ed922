//! From streams to rows. An entity's own parts cannot be its neighbors: what one of its cgroups
//! waited behind requests of another is its own doing.

use std::collections::BTreeMap;

use agent_ebpf::block::Operation;

use crate::{
    model::{
        disk::{
            DiskUse,
            devices::add,
            streams::{StreamBlame, Streams},
            usage::{DiskCause, DiskUsage},
        },
        table::{Blame, Resource},
    },
    sample::disk::{DeviceId, DiskOwner},
};

type Uses = BTreeMap<(DeviceId, Operation), Option<DiskUsage>>;

/// Requests by row, and blame between rows; `row_of` has the row of each owner.
pub(in crate::model) fn by_row(
    streams: &Streams,
    rows: usize,
    row_of: &BTreeMap<DiskOwner, usize>,
) -> (Vec<Vec<DiskUse>>, Vec<Blame>) {
    let mut uses: Vec<Uses> = vec![Uses::new(); rows];
    for (stream, usage) in &streams.usage {
        if let Some(row) = row_of.get(&stream.owner) {
            let of_row = uses[*row].entry((stream.device, stream.operation));
            add(
                of_row.or_insert_with(|| Some(DiskUsage::default())),
                usage.as_ref(),
            );
        }
    }
    let mut sums: BTreeMap<(usize, DeviceId, usize), u64> = BTreeMap::new();
    for blame in &streams.blame {
        let owners = (row_of.get(&blame.stream.owner), row_of.get(&blame.culprit));
        if let (Some(&victim), Some(&culprit)) = owners
            && let Some(ns) = behind_others(&mut uses[victim], blame, victim == culprit)
        {
            let sum = sums
                .entry((victim, blame.stream.device, culprit))
                .or_default();
            *sum = sum.saturating_add(ns);
        }
    }
    let blame = sums.into_iter().map(|((victim, device, culprit), ns)| {
        let whole = whole_wait(&uses[victim], device);
        Blame::of(Resource::Disk(device), (victim, culprit), ns, whole)
    });
    let blame = blame.collect();
    (uses.into_iter().map(listed).collect(), blame)
}

/// What of a blame is a neighbor's; `None` for one's own part and where the stream is not known.
fn behind_others(victim: &mut Uses, blame: &StreamBlame, is_itself: bool) -> Option<u64> {
    let key = (blame.stream.device, blame.stream.operation);
    let usage = victim.get_mut(&key)?.as_mut()?;
    if is_itself && blame.culprit != DiskOwner::Other {
        usage
            .wait
            .shift(DiskCause::Neighbor, DiskCause::SelfInflicted, blame.ns);
        return None;
    }
    Some(blame.ns)
}

fn whole_wait(uses: &Uses, device: DeviceId) -> u64 {
    let on_device = uses.iter().filter(|((on, _), _)| *on == device);
    let known = on_device.filter_map(|(_, usage)| usage.as_ref());
    known.fold(0, |sum, usage| sum.saturating_add(usage.wait.total()))
}

/// What two rows did, or one in two intervals.
pub(crate) fn together(one: Vec<DiskUse>, other: &[DiskUse]) -> Vec<DiskUse> {
    if other.is_empty() {
        return one;
    }
    let mut all: Uses = one
        .into_iter()
        .map(|part| ((part.device, part.operation), part.usage))
        .collect();
    for part in other {
        let sum = all.entry((part.device, part.operation));
        let sum = sum.or_insert_with(|| Some(DiskUsage::default()));
        add(sum, part.usage.as_ref());
    }
    listed(all)
}

fn listed(uses: Uses) -> Vec<DiskUse> {
    let uses = uses.into_iter();
    uses.map(|((device, operation), usage)| DiskUse {
        device,
        operation,
        usage,
    })
    .collect()
}
