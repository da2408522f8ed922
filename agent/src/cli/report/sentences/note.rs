//! Losses without a neighbor's doing, in sentences.

use crate::{
    cli::report::{findings::Findings, sentences::disk},
    model::{Kind, Resource, Row, disk::DiskCause},
    signal::{Note, OwnCause},
    wording::figures::{cpus, percent, span},
};

/// `encoder lost 60 % of the CPU it wanted (0.90 CPUs) to its own CPU quota`.
pub(in crate::cli::report) fn note(findings: &Findings, note: &Note) -> String {
    let row = &findings.model.entities.rows[note.row];
    let lost = match note.cause {
        OwnCause::Throttled => lost_to(findings, note, &quota(row)),
        OwnCause::Hypervisor => {
            let who = "the hypervisor, which ran something else (steal)";
            lost_to(findings, note, who)
        }
        OwnCause::Interrupts => lost_to(findings, note, "interrupts"),
        OwnCause::KernelThreads => lost_to(findings, note, &kernel_threads(findings, note)),
        OwnCause::SelfContention => {
            let why = "its own tasks: more of them wanted to run than had a CPU (self)";
            lost_to(findings, note, why)
        }
        OwnCause::Device(device) => {
            disk::waited(findings, (note.row, device), DiskCause::Device, None, "")
        }
        OwnCause::IoLimit => format!(
            " waited for I/O for {} that no request explains: it looks as if its io.max held it \
             back",
            span(note.lost_ns as f64 / 1e9)
        ),
    };
    findings.entity(note.row).to_owned() + &lost
}

fn lost_to(findings: &Findings, note: &Note, what: &str) -> String {
    format!(
        " lost {} of the CPU it wanted ({} CPUs) to {what}",
        percent(note.lost_share),
        cpus(findings.cpus(note.lost_ns)),
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
    let mut blame = entities.blame_of(note.row, Resource::Cpu);
    let worst = blame.find(|blame| entities.rows[blame.culprit].kind == Kind::Kernel);
    match worst {
        Some(worst) => format!(
            "kernel threads, most of it to {}",
            findings.entity(worst.culprit)
        ),
        None => "kernel threads".into(),
    }
}
