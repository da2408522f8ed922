//! Requests that waited, in sentences.

use agent_ebpf::block::Operation;

use crate::{
    cli::report::findings::Findings,
    host::hierarchy::Mode,
    model::{
        Kind,
        disk::{DiskCause, DiskUsage, DiskUse, on_device},
    },
    sample::disk::DeviceId,
    signal::{Culprit, Culprits},
    wording::{
        figures::{percent, rate, span},
        listed,
    },
};

/// Parts of less than this are left out.
const LEAST_PART: f64 = 0.005;

/// ` waited 80 ms per request on vda (writes, p99 310 ms): 72 % behind backup's requests, 28 % the
/// device itself`: the name goes before it. The operation is the one that `cause` took most of;
/// the parts are of all requests there.
pub(in crate::cli::report) fn waited(
    findings: &Findings,
    (row, device): (usize, DeviceId),
    cause: DiskCause,
    culprits: Option<&Culprits>,
    over: &str,
) -> String {
    let uses = uses(findings, row);
    let disk = findings.disk(device);
    let (Some(all), Some((operation, worst))) =
        (on_device(uses, device), worst(uses, device, cause))
    else {
        return format!(" waited on {disk}{over}");
    };
    let each = worst.mean_s().map_or("?".into(), span);
    let lengths = worst.lengths();
    let p99 = lengths.and_then(|lengths| lengths.quantile(0.99));
    let p99 = p99.map_or(String::new(), |p99| format!(", p99 {}", span(p99)));
    let parts = parts(findings, &all, culprits).join(", ");
    format!(
        " waited {each} per request on {disk} ({}{p99}){over}: {parts}",
        plural(operation)
    )
}

fn uses(findings: &Findings, row: usize) -> &[DiskUse] {
    let uses = findings.model.entities.rows[row].disk.as_deref();
    uses.unwrap_or_default()
}

/// The operation with most of a cause.
fn worst(uses: &[DiskUse], device: DeviceId, cause: DiskCause) -> Option<(Operation, &DiskUsage)> {
    let on_device = uses.iter().filter(|part| part.device == device);
    let known = on_device.filter_map(|part| Some((part.operation, part.usage.as_ref()?)));
    known.max_by_key(|(_, usage)| usage.wait.get(cause))
}

fn plural(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "reads",
        Operation::Write => "writes",
        Operation::Flush => "flushes",
        Operation::Discard => "discards",
    }
}

/// Where the time went, the largest part first.
fn parts(findings: &Findings, all: &DiskUsage, culprits: Option<&Culprits>) -> Vec<String> {
    let named = culprits.map_or(&[] as &[Culprit], Culprits::named);
    let whole = all.wait.total().max(1) as f64;
    let mut parts: Vec<(f64, String)> = named
        .iter()
        .map(|culprit| (culprit.ns as f64 / whole, behind(findings, culprit.row)))
        .collect();
    for cause in DiskCause::ALL {
        let what = match cause {
            DiskCause::Neighbor => {
                let left = named.iter().fold(all.wait.get(cause), |left, culprit| {
                    left.saturating_sub(culprit.ns)
                });
                parts.push((left as f64 / whole, others(culprits)));
                continue;
            }
            DiskCause::SelfInflicted => "behind its own requests",
            DiskCause::Device => "the device itself",
            DiskCause::Held => "held back while the device was idle",
            DiskCause::Unattributed => "not known",
        };
        parts.push((all.part(cause), what.into()));
    }
    parts.retain(|(part, _)| *part >= LEAST_PART);
    parts.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let told = parts.into_iter();
    told.map(|(part, what)| format!("{} {what}", percent(part)))
        .collect()
}

fn behind(findings: &Findings, culprit: usize) -> String {
    match findings.model.entities.rows[culprit].kind {
        Kind::Device => "behind flushes that nobody owns".into(),
        Kind::Host => "behind the root cgroup's requests".into(),
        _ => format!("behind {}'s requests", findings.entity(culprit)),
    }
}

fn others(culprits: Option<&Culprits>) -> String {
    match culprits {
        Some(Culprits::Crowd(0)) => "behind requests of others without a name".into(),
        Some(Culprits::Crowd(1)) => "behind requests of others, few of them with a name".into(),
        Some(Culprits::Crowd(number)) => {
            format!("behind requests of {number} others, none of them large")
        }
        Some(Culprits::Named(_)) | None => "behind requests of others".into(),
    }
}

/// What the culprits did meanwhile.
pub(in crate::cli::report) fn why(
    findings: &Findings,
    culprits: &Culprits,
    device: DeviceId,
) -> String {
    let disk = findings.disk(device);
    let named = culprits.named().iter();
    let did: Vec<String> = named
        .map(|culprit| did(findings, culprit.row, device))
        .collect();
    match (did.as_slice(), culprits) {
        ([], Culprits::Crowd(0)) => {
            "not known: whoever was served has no name in this account".into()
        }
        ([], _) => format!("{disk} served requests of others meanwhile"),
        _ => format!("{disk} served {} meanwhile", listed(&did)),
    }
}

/// `backup (512 requests/s, 34 MB/s)`; without figures where none was completed.
fn did(findings: &Findings, culprit: usize, device: DeviceId) -> String {
    let who = match findings.model.entities.rows[culprit].kind {
        Kind::Device => "flushes that nobody owns".into(),
        Kind::Host => "the root cgroup".into(),
        _ => findings.entity(culprit).to_owned(),
    };
    let rates = on_device(uses(findings, culprit), device).and_then(|all| {
        let requests = rate(findings.per_second(all.requests as f64)?);
        let megabytes = rate(findings.per_second(all.bytes as f64 / 1e6)?);
        Some(format!(" ({requests} requests/s, {megabytes} MB/s)"))
    });
    who + &rates.unwrap_or_default()
}

/// What to do about it.
pub(in crate::cli::report) fn remedy(
    findings: &Findings,
    culprits: &Culprits,
    device: DeviceId,
) -> Option<String> {
    let kind = |culprit: &&Culprit| findings.model.entities.rows[culprit.row].kind;
    let worst_first = || culprits.named().iter();
    if worst_first()
        .next()
        .is_some_and(|worst| kind(&worst) == Kind::Host)
    {
        return Some(
            "find out whose requests the root cgroup has: those of cgroups without the io \
             controller are among them (IOAccounting=yes tells services apart)"
                .into(),
        );
    }
    let limitable = worst_first().filter(|culprit| kind(culprit) != Kind::Device);
    let names: Vec<String> = limitable
        .map(|culprit| findings.entity(culprit.row).to_owned())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "limit {} on {} ({}), or move one of them to another disk",
            listed(&names),
            findings.disk(device),
            limit(findings.host.hierarchy)
        )
    })
}

fn limit(hierarchy: Mode) -> &'static str {
    match hierarchy {
        Mode::V2 => "io.max",
        Mode::V1 => "blkio.throttle",
        Mode::Hybrid => "io.max or blkio.throttle, whichever there is",
    }
}
