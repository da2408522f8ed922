use agent_ebpf::cause::Cause;
use serde::Serialize;

use crate::{
    cli::report::{
        findings::{Findings, lost_share},
        json::{disk, finite, seconds, text},
    },
    model::{self, Kind, Relation, Resource, Row, Usage, Waits, histogram::Histogram},
    sample::Bandwidth,
};

/// One row of the table asked for.
#[derive(Serialize)]
pub(super) struct Entity<'a> {
    key: String,
    kind: &'static str,
    name: &'a str,
    labels: Option<Labels<'a>>,
    cgroup: Cgroup,
    cpu: Cpu,
    disk: Option<Vec<disk::DiskUse>>,
    io: Option<disk::Io>,
}

/// Of containers and pods.
#[derive(Serialize)]
struct Labels<'a> {
    runtime: Option<&'a str>,
    container_id: Option<&'a str>,
    pod_uid: Option<&'a str>,
    qos: Option<&'a str>,
    namespace: Option<&'a str>,
    pod: Option<&'a str>,
    container: Option<&'a str>,
    workload: Option<Workload<'a>>,
    service_name: Option<&'a str>,
    service_namespace: Option<&'a str>,
    cpu_request: Option<f64>,
}

#[derive(Serialize)]
struct Workload<'a> {
    kind: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Cgroup {
    id: Option<String>,
    path: String,
}

#[derive(Serialize)]
struct Cpu {
    run_s: Option<f64>,
    wait_s: Option<f64>,
    waits: Option<u64>,
    wait_by_cause_s: WaitByCause,
    lost_share: Option<f64>,
    steal_s: Option<f64>,
    irq_s: Option<f64>,
    delay: Delay,
    throttled_s: Option<f64>,
    throttled: Delay,
    waiting_now: Option<WaitingNow>,
    entitled_s: Option<f64>,
    contract_s: Option<f64>,
    quota_cpus: Option<f64>,
    cpuset: Option<Vec<u32>>,
    bandwidth: Option<Periods>,
    switches_voluntary: Option<u64>,
    switches_involuntary: Option<u64>,
    migrations: Option<u64>,
    discarded_phantom_s: Option<f64>,
}

/// By the names of [`Cause`].
#[derive(Serialize)]
pub(super) struct WaitByCause {
    neighbor: Option<f64>,
    #[serde(rename = "self")]
    own: Option<f64>,
    kernel: Option<f64>,
    throttled: Option<f64>,
    steal: Option<f64>,
    irq: Option<f64>,
    idle: Option<f64>,
    unattributed: Option<f64>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "names of the schema")]
pub(super) struct Delay {
    p50_s: Option<f64>,
    p99_s: Option<f64>,
    p999_s: Option<f64>,
}

#[derive(Serialize)]
struct WaitingNow {
    tasks: u64,
    longest_s: f64,
    total_s: f64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "names of the schema")]
struct Periods {
    periods: u64,
    throttled_periods: u64,
    throttled_s: f64,
}

/// Time that one row waited for another.
#[derive(Serialize)]
pub(super) struct Blame {
    resource: String,
    victim: String,
    culprit: String,
    victim_key: String,
    culprit_key: String,
    relation: Option<&'static str>,
    seconds: f64,
    share: Option<f64>,
}

/// Rows that the document has, the worst first.
pub(super) fn shown(findings: &Findings) -> Vec<usize> {
    let top = findings.question.top.filter(|top| *top > 0);
    let rows = findings.rows.iter().copied();
    rows.take(top.unwrap_or(usize::MAX)).collect()
}

pub(super) fn entities<'a>(findings: &'a Findings, shown: &[usize]) -> Vec<Entity<'a>> {
    let rows = &findings.table().rows;
    shown
        .iter()
        .map(|row| entity(findings, &rows[*row]))
        .collect()
}

/// By victim, in the order of the rows; the largest first.
pub(super) fn blame(findings: &Findings, shown: &[usize]) -> Vec<Blame> {
    let table = findings.table();
    let all = shown.iter().flat_map(|victim| table.all_blame_of(*victim));
    all.map(|blame| row_of_blame(findings, blame)).collect()
}

/// What was waited for.
pub(super) fn resource(findings: &Findings, resource: Resource) -> String {
    match resource {
        Resource::Cpu => "cpu".into(),
        Resource::Disk(device) => format!("disk:{}", disk::name(findings, device)),
    }
}

fn row_of_blame(findings: &Findings, blame: &model::Blame) -> Blame {
    let rows = &findings.table().rows;
    let (victim, culprit) = (&rows[blame.victim], &rows[blame.culprit]);
    Blame {
        resource: resource(findings, blame.resource),
        victim: text(&victim.path),
        culprit: text(&culprit.path),
        victim_key: victim.key_text(),
        culprit_key: culprit.key_text(),
        relation: Relation::between(victim, culprit).map(Relation::name),
        seconds: seconds(blame.ns),
        share: finite(blame.share),
    }
}

fn entity<'a>(findings: &Findings, row: &'a Row) -> Entity<'a> {
    Entity {
        key: row.key_text(),
        kind: row.kind.name(),
        name: &row.name,
        labels: labels(row),
        cgroup: Cgroup {
            id: row.cgroup.map(|id| id.to_string()),
            path: text(&row.path),
        },
        cpu: cpu(row),
        disk: disk::uses(findings, row),
        io: row.io.as_ref().map(disk::io),
    }
}

fn labels(row: &Row) -> Option<Labels<'_>> {
    let labels = &row.labels;
    matches!(row.kind, Kind::Container | Kind::Pod).then(|| Labels {
        runtime: labels.runtime.as_deref(),
        container_id: labels.container_id.as_deref(),
        pod_uid: labels.pod_uid.as_deref(),
        qos: labels.qos.as_deref(),
        namespace: labels.namespace.as_deref(),
        pod: labels.pod.as_deref(),
        container: labels.container.as_deref(),
        workload: labels.workload.as_ref().map(|workload| Workload {
            kind: &workload.kind,
            name: &workload.name,
        }),
        service_name: labels.service_name.as_deref(),
        service_namespace: labels.service_namespace.as_deref(),
        cpu_request: labels.cpu_request.and_then(finite),
    })
}

fn cpu(row: &Row) -> Cpu {
    let usage = row.usage.as_ref();
    Cpu {
        run_s: usage.map(|usage| seconds(usage.run_ns)),
        wait_s: usage.map(|usage| seconds(usage.wait.total())),
        waits: usage.map(|usage| usage.waits),
        wait_by_cause_s: WaitByCause::of(usage.map(|usage| &usage.wait)),
        lost_share: usage.map(lost_share).and_then(finite),
        steal_s: usage.and_then(|usage| usage.steal_ns).map(seconds),
        irq_s: usage.and_then(|usage| usage.irq_ns).map(seconds),
        delay: delay(usage.and_then(|usage| usage.delay.as_ref())),
        throttled_s: usage.and_then(throttled_ns).map(seconds),
        throttled: delay(usage.and_then(|usage| usage.throttled.as_ref())),
        waiting_now: row.waiting.as_ref().map(waiting_now),
        entitled_s: row.entitled_s.and_then(finite),
        contract_s: row.contract_s.and_then(finite),
        quota_cpus: row.quota_cpus.and_then(finite),
        cpuset: row.cpuset.clone(),
        bandwidth: row.bandwidth.map(periods),
        switches_voluntary: usage.map(|usage| usage.switches_voluntary),
        switches_involuntary: usage.map(|usage| usage.switches_involuntary),
        migrations: usage.map(|usage| usage.migrations),
        discarded_phantom_s: usage.map(|usage| seconds(usage.phantom_ns)),
    }
}

fn throttled_ns(usage: &Usage) -> Option<u64> {
    usage.wait.get(Cause::Throttled)
}

impl WaitByCause {
    pub(super) fn of(waits: Option<&Waits>) -> WaitByCause {
        let of = |cause| waits.and_then(|waits| waits.get(cause)).map(seconds);
        WaitByCause {
            neighbor: of(Cause::Neighbor),
            own: of(Cause::SelfInflicted),
            kernel: of(Cause::Kernel),
            throttled: of(Cause::Throttled),
            steal: of(Cause::Steal),
            irq: of(Cause::Irq),
            idle: of(Cause::Idle),
            unattributed: of(Cause::Unattributed),
        }
    }
}

pub(super) fn delay(histogram: Option<&Histogram>) -> Delay {
    let at = |quantile| {
        histogram
            .and_then(|all| all.quantile(quantile))
            .and_then(finite)
    };
    Delay {
        p50_s: at(0.5),
        p99_s: at(0.99),
        p999_s: at(0.999),
    }
}

fn waiting_now(now: &model::WaitingNow) -> WaitingNow {
    WaitingNow {
        tasks: now.tasks,
        longest_s: now.longest.as_secs_f64(),
        total_s: now.total.as_secs_f64(),
    }
}

fn periods(bandwidth: Bandwidth) -> Periods {
    Periods {
        periods: bandwidth.periods,
        throttled_periods: bandwidth.throttled_periods,
        throttled_s: seconds(bandwidth.throttled_ns),
    }
}
