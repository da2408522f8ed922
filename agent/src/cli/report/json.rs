//! The report for programs: schema `crosstalk.report/1`, described in `docs/report.md`. Names are
//! only ever added. Every row is here unless `--top` was given; what is not known is `null`.

mod accounting;
mod disk;
mod rows;
mod signals;

use serde::Serialize;

use crate::{
    cli::{
        capability::Capability,
        report::{
            args::Filter,
            findings::{Extent, Findings},
            sentences::others_together,
        },
    },
    model::{HostUse, identity::path_text},
};

#[cfg(test)]
mod tests;

const SCHEMA: &str = "crosstalk.report/1";

/// The whole document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    verdict: signals::Verdict,
    host: Host<'a>,
    interval: Interval,
    by: &'static str,
    filter: Option<&'a str>,
    hurt: Vec<signals::Hurt<'a>>,
    notes: Vec<signals::Note<'a>>,
    doubts: Vec<signals::Doubt>,
    culprits: Vec<signals::Culprit<'a>>,
    entities: Vec<rows::Entity<'a>>,
    blame: Vec<rows::Blame>,
    devices: Option<Vec<disk::Device<'a>>>,
    capabilities: Vec<Capability<'a>>,
    accounting: accounting::Accounting,
    unknown: Vec<Unknown<'a>>,
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
    boot_id: Option<&'a str>,
    kernel: &'a str,
    cpus: usize,
    cgroup_hierarchy: String,
    agent_version: &'static str,
    cpu: HostCpu,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "names of the schema carry units")]
struct HostCpu {
    run_s: Option<f64>,
    idle_s: Option<f64>,
    steal_s: Option<f64>,
    irq_s: Option<f64>,
    wait_s: f64,
    wait_by_cause_s: rows::WaitByCause,
    waited_while_idle_at_most_s: Option<f64>,
}

#[derive(Serialize)]
struct Interval {
    start: String,
    seconds: f64,
    complete: bool,
    source: &'static str,
    others_together: bool,
}

#[derive(Serialize)]
struct Unknown<'a> {
    field: &'a str,
    reason: &'a str,
}

/// Everything that was found.
pub(super) fn document(findings: &Findings) -> Document<'_> {
    let shown = rows::shown(findings);
    let model = &findings.model;
    let unknown = model.unknown.iter().map(|unknown| Unknown {
        field: &unknown.field,
        reason: &unknown.reason,
    });
    Document {
        schema: SCHEMA,
        verdict: signals::verdict(findings),
        host: host(findings),
        interval: Interval {
            start: humantime::format_rfc3339_millis(model.start).to_string(),
            seconds: model.seconds(),
            complete: findings.extent.is_complete(),
            source: match findings.extent {
                Extent::Observed { .. } => "observation",
                Extent::Remembered { .. } => "history",
            },
            others_together: others_together(findings).is_some(),
        },
        by: findings.question.by.name(),
        filter: findings.question.filter.as_ref().map(Filter::text),
        hurt: signals::hurt(findings),
        notes: signals::notes(findings),
        doubts: signals::doubts(findings),
        culprits: signals::culprits(findings),
        entities: rows::entities(findings, &shown),
        blame: rows::blame(findings, &shown),
        devices: disk::devices(findings),
        capabilities: findings
            .host
            .capabilities
            .iter()
            .map(Capability::of)
            .collect(),
        accounting: accounting::of(model),
        unknown: unknown.collect(),
    }
}

fn host(findings: &Findings) -> Host<'_> {
    let facts = &findings.host.facts;
    Host {
        name: &facts.name,
        boot_id: facts.boot_id.as_deref(),
        kernel: &facts.release,
        cpus: facts.online.len(),
        cgroup_hierarchy: findings.host.hierarchy.to_string(),
        agent_version: env!("CARGO_PKG_VERSION"),
        cpu: host_cpu(&findings.model.host),
    }
}

fn host_cpu(host: &HostUse) -> HostCpu {
    HostCpu {
        run_s: host.used.map(|used| seconds(used.run_ns)),
        idle_s: host.used.map(|used| seconds(used.idle_ns)),
        steal_s: host.used.and_then(|used| used.steal_ns).map(seconds),
        irq_s: host.used.and_then(|used| used.irq_ns).map(seconds),
        wait_s: seconds(host.wait.total()),
        wait_by_cause_s: rows::WaitByCause::of(Some(&host.wait)),
        waited_while_idle_at_most_s: host.contended_while_idle_at_most_ns().map(seconds),
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// JSON has no other numbers.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

fn text(path: &std::ffi::OsStr) -> String {
    path_text(path)
}
