//! Interference in sentences.

use crate::{
    cli::{
        figures::{cpus, percent, span, times},
        report::{findings::Findings, sentences::listed},
    },
    model::{Row, histogram::Histogram},
    signal::{Class, Culprit, Culprits, Hurt, Thresholds, over_contract},
};

/// `web lost 33 % of the CPU it wanted (0.20 of 0.60 CPUs), 91 % of it to batch, at 1.6x its fair
/// share`.
pub(in crate::cli::report) fn loss(findings: &Findings, hurt: &Hurt) -> String {
    let name = findings.entity(hurt.row);
    let row = &findings.model.entities.rows[hurt.row];
    let lost = lost(findings, hurt, row);
    let lost = match longest_wait(row).filter(|_| hurt.starved) {
        Some(longest) if hurt.lost_ns == 0 => return starves(name, longest),
        Some(longest) => format!("{} and {lost}", starves(name, longest)),
        None => format!("{name} {lost}"),
    };
    match culprits(findings, &hurt.culprits) {
        Some(culprits) => format!("{lost}, {culprits}"),
        None => lost,
    }
}

fn lost(findings: &Findings, hurt: &Hurt, row: &Row) -> String {
    let run_ns = row.usage.as_ref().map_or(0, |usage| usage.run_ns);
    format!(
        "lost {} of the CPU it wanted ({} of {} CPUs)",
        percent(hurt.lost_share),
        cpus(findings.cpus(hurt.lost_ns)),
        cpus(findings.cpus(hurt.lost_ns.saturating_add(run_ns))),
    )
}

fn starves(name: &str, longest_s: f64) -> String {
    format!(
        "{name} starves: a task of it waited {} for a CPU",
        span(longest_s)
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
            let parts: Vec<String> = named
                .iter()
                .enumerate()
                .map(|(number, one)| culprit(findings, number, one))
                .collect();
            Some(listed(&parts))
        }
        Culprits::Crowd(0) => None,
        Culprits::Crowd(1) => Some("to one neighbor that took too little to name".into()),
        Culprits::Crowd(number) => Some(format!("to {number} neighbors, none of them large")),
    }
}

fn culprit(findings: &Findings, number: usize, culprit: &Culprit) -> String {
    let of_it = if number == 0 { " of it" } else { "" };
    let limit = Thresholds::default().over_contract;
    let share = match culprit.over {
        Some(ratio) if ratio > limit => format!(" (at {} its fair share)", times(ratio)),
        Some(_) => " (within its fair share)".into(),
        None => String::new(),
    };
    format!(
        "{}{of_it} to {}{share}",
        percent(culprit.share),
        findings.entity(culprit.row)
    )
}

/// What kind of interference it is, and what helps.
pub(in crate::cli::report) fn why(findings: &Findings, hurt: &Hurt) -> String {
    let mut why = match hurt.class {
        Some(class) => class_sentence(findings, hurt, class),
        None => "fair shares are not known here".into(),
    };
    if hurt.idle_elsewhere {
        why.push_str("; CPUs that it may use were idle for longer than that: is it pinned?");
    }
    why
}

fn class_sentence(findings: &Findings, hurt: &Hurt, class: Class) -> String {
    match class {
        Class::NoisyNeighbor => format!(
            "noisy neighbor: it kept to its fair share, {}; a CPU quota or less weight for the \
             neighbor helps, or another place",
            neighbors_did_not(hurt)
        ),
        Class::Overcommit => "overcommit: all kept to their fair shares, which add up to more \
                              than this host has; move something elsewhere"
            .into(),
        Class::SchedulingLatency => "scheduling latency: all kept to their fair shares and took \
                                     turns; fewer busy tasks, or CPUs of its own, help"
            .into(),
        Class::Competition => {
            "competition: it and its neighbors all used more than their fair shares".into()
        }
        Class::OverRequest => {
            let row = &findings.model.entities.rows[hurt.row];
            let over =
                over_contract(row).map_or(String::new(), |over| format!(" ({})", times(over)));
            format!(
                "over request: it used more than its fair share itself{over}, its neighbors did \
                 not; it needs more weight, or less to do"
            )
        }
    }
}

fn neighbors_did_not(hurt: &Hurt) -> &'static str {
    match hurt.culprits.named().len() {
        1 => "its neighbor did not",
        _ => "its neighbors did not",
    }
}
