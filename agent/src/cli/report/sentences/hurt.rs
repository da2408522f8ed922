//! Interference in sentences.

use crate::{
    cli::report::{findings::Findings, sentences::disk},
    model::{Kind, Relation, Resource, Row, disk::DiskCause, histogram::Histogram},
    signal::{Class, Culprit, Culprits, Hurt, Thresholds, over_contract},
    wording::{
        self,
        figures::{span, times},
        listed,
    },
};

/// ` lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs) over 10 s; all of it to batch (at 1.6x its
/// fair share)`: the name goes before it.
pub(in crate::cli::report) fn loss(findings: &Findings, hurt: &Hurt, over: &str) -> String {
    if let Resource::Disk(device) = hurt.resource {
        let culprits = Some(&hurt.culprits);
        return disk::waited(
            findings,
            (hurt.row, device),
            DiskCause::Neighbor,
            culprits,
            over,
        );
    }
    let row = &findings.model.entities.rows[hurt.row];
    let mut parts = Vec::new();
    if let Some(longest) = longest_wait(row).filter(|_| hurt.starved) {
        let longest = span(longest);
        parts.push(format!(
            "starves: one of its tasks waited {longest} for a CPU"
        ));
    }
    if hurt.lost_ns > 0 || !hurt.starved {
        parts.push(lost(findings, hurt, row));
    } else if !over.is_empty() {
        return format!(" {} (observed{over})", parts.join(""));
    }
    let losses = parts.join(" and ");
    match culprits(findings, &hurt.culprits) {
        Some(culprits) => format!(" {losses}{over}; {culprits}"),
        None => format!(" {losses}{over}"),
    }
}

fn lost(findings: &Findings, hurt: &Hurt, row: &Row) -> String {
    let run_ns = row.usage.as_ref().map_or(0, |usage| usage.run_ns);
    wording::lost_cpu(
        hurt.lost_share,
        findings.cpus(hurt.lost_ns),
        findings.cpus(hurt.lost_ns.saturating_add(run_ns)),
    )
}

/// Seconds of the longest wait, in progress or over; at least.
fn longest_wait(row: &Row) -> Option<f64> {
    let now = row.waiting.map(|now| now.longest.as_secs_f64());
    let over = row.usage.as_ref().and_then(|usage| usage.delay.as_ref());
    let over = over.and_then(Histogram::longest_at_least);
    now.into_iter().chain(over).reduce(f64::max)
}

fn culprits(findings: &Findings, culprits: &Culprits) -> Option<String> {
    match culprits {
        Culprits::Named(named) => {
            let parts: Vec<String> = named.iter().map(|one| culprit(findings, one)).collect();
            Some(listed(&parts))
        }
        Culprits::Crowd(number) => wording::crowd(*number),
    }
}

fn culprit(findings: &Findings, culprit: &Culprit) -> String {
    let contract = contract(&findings.model.entities.rows[culprit.row]);
    let share = match culprit.over {
        Some(ratio) if is_over(ratio) => format!(" (at {} its {contract})", times(ratio)),
        Some(_) => format!(" (within its {contract})"),
        None => String::new(),
    };
    let part = wording::part_of_it(culprit.share);
    format!("{part} to {}{share}", findings.entity(culprit.row))
}

fn is_over(ratio: f64) -> bool {
    ratio > Thresholds::default().over_contract
}

/// The kind of interference, behind a sentence.
pub(in crate::cli::report) fn kind(findings: &Findings, hurt: &Hurt) -> String {
    if let (Resource::Disk(device), Some(Class::OverRequest)) = (hurt.resource, hurt.class) {
        let disk = findings.disk(device);
        return format!("; {disk} served it for longer than any neighbor");
    }
    let row = &findings.model.entities.rows[hurt.row];
    match (hurt.class, over_contract(row)) {
        (Some(Class::Competition | Class::OverRequest), Some(over)) => {
            format!("; it used {} its {} itself", times(over), contract(row))
        }
        (Some(class), _) => format!("; {}", wording::class(class)),
        (None, _) => String::new(),
    }
}

/// What kind of interference it is.
pub(in crate::cli::report) fn why(findings: &Findings, hurt: &Hurt) -> String {
    if let Resource::Disk(device) = hurt.resource {
        let why = disk::why(findings, &hurt.culprits, device);
        let class = hurt.class.map(wording::class);
        return class.map_or(why.clone(), |class| format!("{why} ({class})"));
    }
    let Some(class) = hurt.class else {
        return unclear(hurt).into();
    };
    let name = findings.entity(hurt.row);
    let told = match class {
        Class::NoisyNeighbor => {
            let greedy = greedy(findings, hurt);
            format!("{greedy} used more than a fair share while {name} kept to its own")
        }
        Class::Overcommit => {
            "all kept to their fair shares, which add up to more than this host has".into()
        }
        Class::SchedulingLatency => {
            "all kept to their fair shares and took turns on busy CPUs".into()
        }
        Class::Competition => "it and its neighbors used more than their fair shares".into(),
        Class::OverRequest => {
            let row = &findings.model.entities.rows[hurt.row];
            let over =
                over_contract(row).map_or(String::new(), |over| format!(", {}", times(over)));
            let contract = contract(row);
            format!("{name} itself used more than its {contract}{over}, its neighbors did not")
        }
        Class::PodMate => {
            let greedy = greedy(findings, hurt);
            format!("{greedy}, of the same pod, used more than a fair share")
        }
        Class::SameWorkload => {
            let greedy = greedy(findings, hurt);
            format!("{greedy}, of the same workload, used more than a fair share")
        }
    };
    format!("{told} ({})", wording::class(class))
}

fn unclear(hurt: &Hurt) -> &'static str {
    match hurt.culprits {
        Culprits::Crowd(0) if hurt.starved => {
            "not known yet: who ran instead is known when the wait is over"
        }
        Culprits::Crowd(0) => "not known: whoever ran has no name in this account",
        _ => "not known: some weights or quotas could not be read",
    }
}

/// What to do about it.
pub(in crate::cli::report) fn remedy(findings: &Findings, hurt: &Hurt) -> Option<String> {
    if let Resource::Disk(device) = hurt.resource {
        return match hurt.class {
            Some(Class::PodMate) => {
                Some("give each its own disk, or do less I/O in this pod".into())
            }
            _ => disk::remedy(findings, &hurt.culprits, device),
        };
    }
    if hurt.idle_elsewhere {
        return Some(
            "look for pinning (taskset, CPU sets): CPUs that it may use were idle for longer than \
             it lost"
                .into(),
        );
    }
    Some(match hurt.class? {
        Class::NoisyNeighbor if to_root_cgroup(findings, hurt) => {
            "run what is in the root cgroup in a cgroup of its own, with less weight".into()
        }
        Class::NoisyNeighbor => {
            let greedy = greedy(findings, hurt);
            format!("give {greedy} a CPU quota or less weight, or move one of them elsewhere")
        }
        Class::PodMate => {
            let greedy = greedy(findings, hurt);
            format!("set CPU limits and requests in the pod: of {greedy}")
        }
        Class::SameWorkload => {
            "spread the pods of this workload over more hosts (topologySpreadConstraints)".into()
        }
        Class::Overcommit | Class::SchedulingLatency => {
            "move something elsewhere, or give those that must not wait more weight or CPUs of \
             their own"
                .into()
        }
        Class::Competition | Class::OverRequest => {
            format!(
                "give {} more weight, or less to do",
                findings.entity(hurt.row)
            )
        }
    })
}

/// It has neither weight nor quota.
fn to_root_cgroup(findings: &Findings, hurt: &Hurt) -> bool {
    let worst = hurt.culprits.named().first();
    worst.is_some_and(|worst| findings.model.entities.rows[worst.row].kind == Kind::Host)
}

/// What a row's run time is compared with.
pub(in crate::cli::report) fn contract(row: &Row) -> &'static str {
    match (row.contract_s, row.entitled_s) {
        (Some(contract), Some(entitled)) if contract > entitled => "CPU request",
        _ => "fair share",
    }
}

/// Culprits over their fair share, of those that the class is about.
fn greedy(findings: &Findings, hurt: &Hurt) -> String {
    let rows = &findings.model.entities.rows;
    let related = |one: &Culprit| Relation::between(&rows[hurt.row], &rows[one.row]);
    let is_meant = |one: &Culprit| match hurt.class {
        Some(Class::PodMate) => related(one) == Some(Relation::PodMate),
        Some(Class::SameWorkload) => related(one) == Some(Relation::SameWorkload),
        _ => !matches!(
            related(one),
            Some(Relation::PodMate | Relation::SameWorkload)
        ),
    };
    let over = |one: &&Culprit| one.over.is_some_and(is_over) && is_meant(one);
    names(findings, hurt.culprits.named().iter().filter(over))
}

fn names<'a>(findings: &Findings, culprits: impl Iterator<Item = &'a Culprit>) -> String {
    let all: Vec<String> = culprits
        .map(|one| findings.entity(one.row).to_owned())
        .collect();
    if all.is_empty() {
        "its neighbors".into()
    } else {
        listed(&all)
    }
}
