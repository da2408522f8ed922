//! What culprits used against what they are entitled to, and kernel threads.

use crate::{
    cli::{
        page::{HEADING, PLAIN, Page},
        report::{
            findings::{Culprit, Extent, Findings},
            sentences,
            text::{INDENT, few, hidden},
        },
    },
    host::processes::Usage as ProcessUse,
    model::{Kind, Resource, Row},
    signal::over_contract,
    wording::figures::{cpus, times},
};

/// Kernel threads are told of from so many CPUs on, run or waited for.
const WORTH_TELLING: f64 = 0.02;

pub(super) fn render(page: &mut Page, findings: &Findings) {
    let kernel = kernel(findings);
    let culprits = findings.culprits.iter();
    let culprits: Vec<&Culprit> = culprits
        .filter(|culprit| culprit.resource == Resource::Cpu)
        .collect();
    if culprits.is_empty() && kernel.is_empty() {
        return;
    }
    page.gap();
    page.heading("Who ran meanwhile");
    for culprit in culprits.iter().take(few(findings)) {
        let name = findings.entity(culprit.row);
        page.led(INDENT, HEADING, name, &used(findings, culprit));
        if let Some(processes) = processes(findings, culprit.processes.as_deref()) {
            page.paragraph(2 * INDENT, PLAIN, &processes);
        }
    }
    let more = culprits.len().saturating_sub(few(findings));
    hidden(page, more, ["more", "more"]);
    if !kernel.is_empty() {
        page.led(
            INDENT,
            HEADING,
            "kernel threads",
            &format!(": {}", kernel.join("; ")),
        );
    }
}

fn used(findings: &Findings, culprit: &Culprit) -> String {
    let row = &findings.model.entities.rows[culprit.row];
    let used = row
        .usage
        .as_ref()
        .map_or("?".into(), |usage| cpus(findings.cpus(usage.run_ns)));
    let caused = cpus(findings.cpus(culprit.caused_ns));
    let contract = sentences::contract(row);
    let share = match (findings.contract_cpus(row), over_contract(row)) {
        (Some(share), Some(over)) => {
            format!("{} its {contract} of {}", times(over), cpus(share))
        }
        _ => "its fair share is not known".into(),
    };
    format!(
        " used {used} CPUs, {share}, {}; those above waited {caused} CPUs for it",
        quota(row)
    )
}

fn quota(row: &Row) -> String {
    row.quota_cpus
        .map_or("no quota".into(), |quota| format!("quota {}", cpus(quota)))
}

fn processes(findings: &Findings, processes: Option<&[ProcessUse]>) -> Option<String> {
    let Some(processes) = processes else {
        let observed = matches!(findings.extent, Extent::Observed { .. });
        // An agent looks at no processes.
        return observed.then(|| "its processes cannot be listed".into());
    };
    let parts: Vec<String> = processes
        .iter()
        .map(|process| {
            let used = cpus(findings.cpus(process.cpu_ns));
            format!("{} ({}) {used} CPUs", process.comm, process.pid)
        })
        .collect();
    (!parts.is_empty()).then(|| format!("processes: {}", parts.join(", ")))
}

/// Families that ran or made others wait, the busiest first.
fn kernel(findings: &Findings) -> Vec<String> {
    let entities = &findings.model.entities;
    let mut families: Vec<(f64, f64, &str)> = entities
        .rows
        .iter()
        .enumerate()
        .filter(|(_, row)| row.kind == Kind::Kernel)
        .filter_map(|(index, row)| {
            let ran = findings.cpus(row.usage.as_ref()?.run_ns);
            Some((
                ran,
                findings.cpus(entities.caused_ns(index, Resource::Cpu)),
                row.name.as_str(),
            ))
        })
        .filter(|(ran, caused, _)| ran.max(*caused) >= WORTH_TELLING)
        .collect();
    families.sort_by(|one, other| other.0.total_cmp(&one.0));
    families
        .into_iter()
        .map(|(ran, caused, name)| {
            let family = name.strip_prefix("kernel/").unwrap_or(name);
            format!(
                "{family} used {} CPUs, others waited {} for it",
                cpus(ran),
                cpus(caused)
            )
        })
        .collect()
}
