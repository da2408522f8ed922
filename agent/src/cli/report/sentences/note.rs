//! Losses without a neighbor's doing, in sentences.

use crate::{
    cli::{
        figures::{cpus, percent},
        report::findings::Findings,
    },
    model::{Kind, Row},
    signal::{Note, OwnCause},
};

/// `encoder lost 60 % of the CPU it wanted (0.90 CPUs) to its own CPU quota`.
pub(in crate::cli::report) fn note(findings: &Findings, note: &Note) -> String {
    let row = &findings.model.entities.rows[note.row];
    format!(
        "{} lost {} of the CPU it wanted ({} CPUs) to {}",
        findings.entity(note.row),
        percent(note.lost_share),
        cpus(findings.cpus(note.lost_ns)),
        match note.cause {
            OwnCause::Throttled => quota(row),
            OwnCause::Hypervisor => "the hypervisor, which ran something else (steal)".into(),
            OwnCause::Interrupts => "interrupts".into(),
            OwnCause::KernelThreads => kernel_threads(findings, note),
            OwnCause::SelfContention => "its own tasks: more of them wanted to run than had a \
                                         CPU (self)"
                .into(),
        }
    )
}

fn quota(row: &Row) -> String {
    let size = row.quota_cpus;
    let size = size.map_or(String::new(), |quota| format!(" of {} CPUs", cpus(quota)));
    let used_up = row.bandwidth.filter(|bandwidth| bandwidth.periods > 0);
    let used_up = used_up.map_or(String::new(), |bandwidth| {
        format!(
            ", used up in {} of {} periods",
            bandwidth.throttled_periods, bandwidth.periods
        )
    });
    format!("its CPU quota{size}{used_up} (throttled)")
}

fn kernel_threads(findings: &Findings, note: &Note) -> String {
    let entities = &findings.model.entities;
    let mut blame = entities.blame_of(note.row);
    let worst = blame.find(|blame| entities.rows[blame.culprit].kind == Kind::Kernel);
    match worst {
        Some(worst) => format!(
            "kernel threads, most of it to {}",
            findings.entity(worst.culprit)
        ),
        None => "kernel threads".into(),
    }
}
