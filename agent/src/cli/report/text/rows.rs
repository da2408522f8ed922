//! The table.

use agent_ebpf::cause::Cause;
use anstyle::Style;

use crate::{
    cli::{
        page::{ALARM, ASIDE, CARE, Column, PLAIN, Page, Table},
        report::{
            args::By,
            findings::{Findings, is_active, lost_share},
            sentences,
            text::most,
        },
    },
    model::{Resource, Row, Usage},
    wording::figures::{UNKNOWN, cpus, percent, span},
};

/// Rows that did next to nothing are shown only where there are fewer than these.
const LEAST_ROWS: usize = 3;
/// Less than this, in CPUs, is next to nothing: it rounds to none.
const TRIFLE: f64 = 0.005;
/// Causes of less than this part of a wait are left out.
const LEAST_PART: f64 = 0.005;
/// Causes named, the more the wider the page.
const CAUSES: [usize; 4] = [8, 3, 2, 1];

pub(super) fn render(page: &mut Page, findings: &Findings) {
    let rows = &findings.table().rows;
    let active: Vec<usize> = findings
        .rows
        .iter()
        .copied()
        .filter(|row| is_active(&rows[*row]))
        .collect();
    let (worth, rest): (Vec<usize>, Vec<usize>) = active
        .into_iter()
        .partition(|row| findings.question.top.is_some() || !is_trifle(findings, &rows[*row]));
    let rows_in_order = [worth.as_slice(), &rest].concat();
    let most = most(findings).min(worth.len().max(LEAST_ROWS));
    let (shown, hidden) = rows_in_order.split_at(rows_in_order.len().min(most));
    if shown.is_empty() {
        return;
    }
    page.gap();
    let fits = |causes: &usize| page.fits(&table(findings, shown, *causes));
    let causes = CAUSES.into_iter().find(fits).unwrap_or(1);
    page.table(0, &table(findings, shown, causes));
    if let Some(more) = left_out(findings, hidden) {
        page.paragraph(0, ASIDE, &more);
    }
}

fn is_trifle(findings: &Findings, row: &Row) -> bool {
    let waiting = row.waiting.map_or(0, |now| now.total.as_nanos() as u64);
    row.usage.as_ref().is_some_and(|usage| {
        let waited = usage.wait.total().saturating_add(waiting);
        findings.cpus(usage.run_ns.saturating_add(waited)) < TRIFLE
    })
}

fn table(findings: &Findings, shown: &[usize], causes: usize) -> Table {
    let rows = &findings.table().rows;
    let cells = |cell: &dyn Fn(&Row) -> String| -> Vec<String> {
        shown.iter().map(|row| cell(&rows[*row])).collect()
    };
    let used = |cell: &dyn Fn(&Usage) -> String| {
        cells(&|row| row.usage.as_ref().map_or(UNKNOWN.into(), cell))
    };
    let names = shown.iter().map(|row| findings.label(*row).to_owned());
    let waited = |usage: &Usage| cpus(findings.cpus(usage.wait.total()));
    let share = |row: &Row| match row.cgroup {
        Some(_) => findings.entitled_cpus(row).map_or(UNKNOWN.into(), cpus),
        None => String::new(),
    };
    let columns = vec![
        Column::left(["", what(findings)], names.collect()),
        Column::right(["CPUs", "used"], used(&|u| cpus(findings.cpus(u.run_ns)))),
        Column::right(["CPUs", "waited"], used(&waited)),
        Column::right(
            ["lost to", "neighbors"],
            used(&|usage| percent(lost_share(usage))),
        ),
        Column::left(["", "causes"], used(&|usage| waited_for(usage, causes))),
        Column::right(["p99", "delay"], used(&p99)),
        Column::right(["CPUs", "fair share"], cells(&share)),
    ];
    let styles = shown.iter().map(|row| style(findings, *row, Resource::Cpu));
    Table::new(columns, styles.collect())
}

pub(super) fn what(findings: &Findings) -> &'static str {
    match findings.question.by {
        By::Entity => "entity",
        By::Cgroup => "cgroup",
    }
}

/// Signals are about entities.
pub(super) fn style(findings: &Findings, row: usize, resource: Resource) -> Style {
    if findings.question.by == By::Cgroup {
        return PLAIN;
    }
    let mut culprits = findings.culprits.iter();
    let culprit = culprits.any(|culprit| (culprit.row, culprit.resource) == (row, resource));
    let mut hurt = findings.signals.counted();
    match hurt.any(|hurt| (hurt.row, hurt.resource) == (row, resource)) {
        true => ALARM,
        false if culprit => CARE,
        false => PLAIN,
    }
}

/// Causes as parts of the wait, the largest first.
fn waited_for(usage: &Usage, most: usize) -> String {
    let whole = usage.wait.total().max(1) as f64;
    let parts = Cause::ALL.into_iter();
    let parts =
        parts.filter_map(|cause| Some((usage.wait.get(cause)? as f64 / whole, cause.name())));
    largest(parts.collect(), LEAST_PART, most)
}

/// Parts of a whole with their names, the largest first.
pub(super) fn largest(mut parts: Vec<(f64, &str)>, least: f64, most: usize) -> String {
    parts.retain(|(part, _)| *part >= least);
    parts.sort_by(|one, other| other.0.total_cmp(&one.0));
    let parts: Vec<String> = parts
        .into_iter()
        .take(most)
        .map(|(part, name)| format!("{name} {}", percent(part)))
        .collect();
    parts.join(", ")
}

fn p99(usage: &Usage) -> String {
    let Some(delay) = &usage.delay else {
        return UNKNOWN.into();
    };
    delay.quantile(0.99).map_or(String::new(), span)
}

fn left_out(findings: &Findings, hidden: &[usize]) -> Option<String> {
    let rows = &findings.table().rows;
    let usage = || hidden.iter().filter_map(|row| rows[*row].usage.as_ref());
    let used = usage().fold(0, |sum: u64, u| sum.saturating_add(u.run_ns));
    let waited = usage().fold(0, |sum: u64, u| sum.saturating_add(u.wait.total()));
    let more = sentences::more(hidden.len(), ["more", "more"])?;
    Some(format!(
        "{more}: {} CPUs used, {} waited",
        cpus(findings.cpus(used)),
        cpus(findings.cpus(waited))
    ))
}
