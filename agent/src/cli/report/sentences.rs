//! What was found, in sentences: one line each, without styles.

mod disk;
mod doubt;
mod hurt;
mod note;

pub(super) use doubt::{doubt, name as doubt_name, value as doubt_value};
pub(super) use hurt::{contract, kind, loss, remedy, why};
pub(super) use note::note;

use std::collections::BTreeSet;

use crate::{
    cli::report::findings::{Extent, Findings, lost_share},
    host::text::display_bytes,
    model::histogram::{bucket_over, lower_bound},
    signal::{Blindness, Thresholds, Verdict},
    wording::{
        figures::{count, percent, span},
        listed,
    },
};

/// What no kernel program sees.
pub(super) const NEVER_SEEN: &str = "a busy SMT sibling, caches and memory bandwidth, CPU \
                                     frequency, the network";

/// What of a request's time no program accounts.
pub(super) const NOT_INCLUDED: &str = "time before a request exists: io.max, wbt, iocost, \
                                       waiting for a tag";

/// The first line of a report: the verdict, and the rest of the sentence.
pub(super) fn headline(findings: &Findings) -> (String, String) {
    let over = over(findings);
    match findings.signals.verdict {
        Verdict::Hurts { hurt, of } => {
            let worst = findings.signals.counted().next();
            let worst = worst.map_or(String::new(), |hurt| {
                let over = format!(" {over}");
                format!(
                    " {}{}",
                    findings.entity(hurt.row),
                    loss(findings, hurt, &over)
                )
            });
            (format!("HOST HURTS {hurt} OF {of}:"), worst)
        }
        Verdict::Calm => ("CALM:".into(), format!(" {} {over}", calm(findings))),
        Verdict::CannotTell(blindness) => (
            "CANNOT TELL:".into(),
            format!(" {}", blind(findings, blindness)),
        ),
    }
}

/// The interval's length, and whether it was cut short.
pub(super) fn over(findings: &Findings) -> String {
    let length = span(findings.model.seconds());
    let asked = span(findings.question.duration.as_secs_f64());
    match findings.extent {
        extent if extent.is_complete() => format!("over {length}"),
        Extent::Observed { .. } => format!("over {length} of {asked} (ended early)"),
        Extent::Remembered { .. } => {
            format!("over {length} of {asked} (the agent remembers no more)")
        }
    }
}

/// What a report of the past does not tell apart.
pub(super) fn others_together(findings: &Findings) -> Option<&'static str> {
    let together = Extent::Remembered {
        complete: findings.extent.is_complete(),
        others_together: true,
    };
    (findings.extent == together).then_some(
        "of each second the agent remembers who lost 1 % or more, and whoever made them; all \
         others are `other`",
    )
}

fn calm(findings: &Findings) -> String {
    let asked = match &findings.question.filter {
        Some(glob) => format!(" (matching '{}')", display_bytes(glob.text().as_bytes())),
        None => String::new(),
    };
    // Those told of for information only are beyond their share.
    let informed = findings.signals.hurt.iter().map(|hurt| hurt.row);
    let informed = informed.collect::<BTreeSet<_>>().len();
    let active = findings.signals.active.saturating_sub(informed);
    let within = match informed {
        0 => "",
        _ => " within a fair share",
    };
    match active {
        0 if informed > 0 => format!("all{asked} that ran used more than a fair share"),
        0 => format!("no entity{asked} ran"),
        1 => format!("no neighbor slowed down the only entity{asked}{within} that ran"),
        _ => format!("no neighbor slowed down any of {active} entities{asked}{within}"),
    }
}

fn blind(findings: &Findings, blindness: Blindness) -> String {
    match blindness {
        Blindness::NobodyThere => {
            let glob = findings.question.filter.as_ref();
            let glob = glob.map_or(String::new(), |glob| display_bytes(glob.text().as_bytes()));
            format!(
                "no cgroup matches '{glob}'; a path starts with / and * stands for any part of it"
            )
        }
        Blindness::NoInterval => "the interval has no length; observe for longer".into(),
        Blindness::NothingSeen => format!(
            "not one switch between tasks was seen {}; `crosstalk doctor` says what works",
            over(findings)
        ),
        Blindness::Coverage(part) => format!(
            "only {} of the waiting that the kernel counted was accounted {}",
            percent(part),
            over(findings)
        ),
        Blindness::Unattributed(part) => format!(
            "{} of all waiting has no known cause {}",
            percent(part),
            over(findings)
        ),
    }
}

/// Those that lost enough to be hurt, in waits too short for it.
pub(super) fn took_turns(findings: &Findings, most: usize) -> Option<String> {
    let rows = &findings.took_turns;
    let entities = &findings.model.entities.rows;
    let loss = |row: &usize| {
        let lost = entities[*row].usage.as_ref().map_or(0.0, lost_share);
        format!("{} {}", findings.entity(*row), percent(lost))
    };
    let mut parts: Vec<String> = rows.iter().take(most).map(loss).collect();
    let hidden = rows.len().saturating_sub(parts.len());
    parts.extend((hidden > 0).then(|| format!("{hidden} more")));
    let objective = lower_bound(bucket_over(Thresholds::default().objective_s));
    (!parts.is_empty()).then(|| {
        format!(
            "Lost to neighbors as well, but in no wait of {} or more: {}",
            span(objective),
            listed(&parts)
        )
    })
}

/// So many more, where a list was cut.
pub(super) fn more(hidden: usize, noun: [&str; 2]) -> Option<String> {
    (hidden > 0).then(|| {
        format!(
            "and {} (--top 0 shows all)",
            count(hidden, noun[0], noun[1])
        )
    })
}
