//! The report for people: the verdict first, then who, why, and by whom; last, what it cannot say.

mod culprits;
mod disks;
mod rows;

use crate::{
    cli::{
        page::{ALARM, ASIDE, CARE, FINE, HEADING, PLAIN, Page},
        report::{
            findings::{Extent, Findings},
            sentences::{self, NEVER_SEEN},
        },
    },
    host::text::display_bytes,
    model::{Resource, host::CpuUse},
    signal::{Blindness, Hurt, Note, OwnCause, Verdict},
    wording::figures::{cpus, span},
};

/// Rows shown unless asked otherwise.
const TOP: usize = 10;
/// … of a host where nothing is wrong.
const TOP_CALM: usize = 5;
/// Notes and reasons shown unless all were asked for.
const FEW: usize = 5;
/// Waits in progress are told from so many seconds on; shorter ones are everyday.
const LONG_WAIT_S: f64 = 1.0;
const INDENT: usize = 2;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod relation_tests;
#[cfg(test)]
mod tests;

/// The report, laid out for a width.
pub(super) fn render(findings: &Findings, width: Option<usize>) -> String {
    let mut page = Page::new(width);
    verdict(&mut page, findings);
    if let Verdict::CannotTell(Blindness::NobodyThere) = findings.signals.verdict {
        return page.finish();
    }
    hurt(&mut page, findings);
    waiting(&mut page, findings);
    notes(&mut page, findings);
    rows::render(&mut page, findings);
    disks::render(&mut page, findings);
    culprits::render(&mut page, findings);
    host(&mut page, findings);
    limits(&mut page, findings);
    page.finish()
}

fn verdict(page: &mut Page, findings: &Findings) {
    let style = match findings.signals.verdict {
        Verdict::Hurts { .. } => ALARM,
        Verdict::Calm => FINE,
        Verdict::CannotTell(_) => CARE,
    };
    let (verdict, rest) = sentences::headline(findings);
    page.led(0, style, &verdict, &rest);
}

/// The first line has told the worst loss already; others get a line each.
fn hurt(page: &mut Page, findings: &Findings) {
    let mut counted = findings.signals.counted();
    if let Some(worst) = counted.next() {
        page.led(
            INDENT,
            HEADING,
            "Why:",
            &format!(" {}", sentences::why(findings, worst)),
        );
        if let Some(remedy) = sentences::remedy(findings, worst) {
            page.led(INDENT, HEADING, "What helps:", &format!(" {remedy}"));
        }
    }
    let more: Vec<&Hurt> = counted.collect();
    losses(
        page,
        findings,
        &more,
        most(findings),
        ["more is hurt", "more are hurt"],
    );
    let informed = findings.signals.hurt.iter();
    let informed: Vec<&Hurt> = informed.filter(|hurt| hurt.is_information()).collect();
    losses(
        page,
        findings,
        &informed,
        few(findings),
        ["more like it", "more like them"],
    );
    if let Some(text) = sentences::took_turns(findings, few(findings)) {
        page.paragraph(INDENT, PLAIN, &text);
    }
}

fn losses(page: &mut Page, findings: &Findings, hurt: &[&Hurt], most: usize, noun: [&str; 2]) {
    for hurt in hurt.iter().take(most) {
        let loss = sentences::loss(findings, hurt, "") + &sentences::kind(findings, hurt);
        page.led(INDENT, HEADING, findings.entity(hurt.row), &loss);
    }
    hidden(page, hurt.len().saturating_sub(most), noun);
}

fn waiting(page: &mut Page, findings: &Findings) {
    let table = findings.table();
    let mut waiting: Vec<_> = findings
        .rows
        .iter()
        .filter_map(|row| Some((*row, table.rows[*row].waiting?)))
        .filter(|(_, now)| now.longest.as_secs_f64() >= LONG_WAIT_S)
        .collect();
    if waiting.is_empty() {
        return;
    }
    waiting.sort_by_key(|(_, now)| std::cmp::Reverse(now.longest));
    page.gap();
    page.heading("Still waiting for a CPU at the end");
    for (row, now) in waiting.iter().take(few(findings)) {
        let longest = span(now.longest.as_secs_f64());
        let tasks = match now.tasks {
            1 => format!(": 1 task for {longest}"),
            tasks => format!(": {tasks} tasks, the longest for {longest}"),
        };
        page.led(INDENT, HEADING, findings.label(*row), &tasks);
    }
    hidden(
        page,
        waiting.len().saturating_sub(few(findings)),
        ["more", "more"],
    );
}

fn notes(page: &mut Page, findings: &Findings) {
    let notes = findings.signals.notes.iter();
    let notes: Vec<&Note> = notes.filter(|note| !is_minor(findings, note)).collect();
    if notes.is_empty() {
        return;
    }
    page.gap();
    page.heading("Without a neighbor's doing");
    for note in notes.iter().take(few(findings)) {
        page.paragraph(INDENT, PLAIN, &sentences::note(findings, note));
    }
    hidden(
        page,
        notes.len().saturating_sub(few(findings)),
        ["more", "more"],
    );
}

/// Who lost more to neighbors has been told of, and two losses of different wholes confuse.
fn is_minor(findings: &Findings, note: &Note) -> bool {
    let mut hurt = findings.signals.hurt.iter();
    note.cause == OwnCause::SelfContention
        && hurt.any(|hurt| {
            let same = (hurt.row, hurt.resource) == (note.row, Resource::Cpu);
            same && hurt.lost_ns >= note.lost_ns
        })
}

fn host(page: &mut Page, findings: &Findings) {
    let host = &findings.model.host;
    let name = display_bytes(findings.host.facts.name.as_bytes());
    let rest = match &host.used {
        Some(used) => format!(" {}; {}", busy(findings, used), waited(findings)),
        None => " no CPU could be read".into(),
    };
    page.gap();
    page.led(0, HEADING, &format!("Host {name}:"), &rest);
    disks::devices(page, findings);
    page.paragraph(0, ASIDE, &observed(findings));
}

fn observed(findings: &Findings) -> String {
    let whence = match findings.extent {
        Extent::Observed { .. } => "Observed",
        Extent::Remembered { .. } => "Remembered by the agent",
    };
    format!(
        "{whence} from {} on, kernel {}, cgroups {}, crosstalk {}",
        humantime::format_rfc3339_seconds(findings.model.start),
        display_bytes(findings.host.facts.release.as_bytes()),
        findings.host.hierarchy,
        env!("CARGO_PKG_VERSION"),
    )
}

fn busy(findings: &Findings, used: &CpuUse) -> String {
    let cpus = |ns| cpus(findings.cpus(ns));
    let online = findings.model.host.online();
    let mut parts = vec![format!("{} of {online} CPUs busy", cpus(used.run_ns))];
    parts.extend(used.irq_ns.map(|ns| format!("{} in interrupts", cpus(ns))));
    parts.extend(used.steal_ns.map(|ns| format!("{} stolen", cpus(ns))));
    parts.push(format!("{} idle", cpus(used.idle_ns)));
    parts.join(", ")
}

fn waited(findings: &Findings) -> String {
    let host = &findings.model.host;
    let cpus = |ns| cpus(findings.cpus(ns));
    let waited = cpus(host.wait.total());
    match host.contended_while_idle_at_most_ns().filter(|ns| *ns > 0) {
        Some(ns) => format!(
            "tasks waited for {waited}, at most {} of it while other CPUs were idle",
            cpus(ns)
        ),
        None => format!("tasks waited for {waited}"),
    }
}

fn limits(page: &mut Page, findings: &Findings) {
    for doubt in &findings.signals.doubts {
        let text = format!(" {}", sentences::doubt(findings, doubt));
        page.led(0, CARE, "With care:", &text);
    }
    if let Some(text) = sentences::others_together(findings) {
        page.led(0, CARE, "With care:", &format!(" {text}"));
    }
    let unknown = &findings.model.unknown;
    for unknown in unknown.iter().take(few(findings)) {
        page.paragraph(0, ASIDE, &format!("Not known: {}", unknown.reason));
    }
    hidden(
        page,
        unknown.len().saturating_sub(few(findings)),
        ["more not known", "more not known"],
    );
    page.paragraph(0, ASIDE, &format!("Never seen: {NEVER_SEEN}"));
}

fn hidden(page: &mut Page, number: usize, noun: [&str; 2]) {
    if let Some(more) = sentences::more(number, noun) {
        page.paragraph(INDENT, ASIDE, &more);
    }
}

/// Rows to show.
fn most(findings: &Findings) -> usize {
    let usual = match findings.signals.verdict {
        Verdict::Calm => TOP_CALM,
        _ => TOP,
    };
    unlimited(findings.question.top.unwrap_or(usual))
}

/// Sentences of less weight to show.
fn few(findings: &Findings) -> usize {
    match findings.question.top {
        Some(0) => usize::MAX,
        _ => FEW,
    }
}

fn unlimited(top: usize) -> usize {
    if top == 0 { usize::MAX } else { top }
}
