use serde::Serialize;

use crate::{
    cli::report::{
        findings::{self, Findings},
        json::{finite, rows::resource, seconds, text},
        sentences,
    },
    host::processes,
    model::{Resource, Row},
    signal::{self, Culprits, OwnCause, over_contract},
};

/// The interval in one word.
#[derive(Serialize)]
pub(super) struct Verdict {
    state: &'static str,
    hurt: usize,
    active: usize,
    sentence: String,
}

/// What an entity is called.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "names of the schema")]
struct Name<'a> {
    key: String,
    name: &'a str,
    path: String,
}

#[derive(Serialize)]
pub(super) struct Hurt<'a> {
    #[serde(flatten)]
    victim: Name<'a>,
    resource: String,
    class: Option<&'static str>,
    information: bool,
    lost_s: f64,
    lost_share: Option<f64>,
    starved: bool,
    idle_elsewhere: bool,
    culprits: Vec<Part<'a>>,
    crowd: Option<usize>,
    sentence: String,
}

/// A culprit's part in one victim's loss.
#[derive(Serialize)]
struct Part<'a> {
    #[serde(flatten)]
    culprit: Name<'a>,
    seconds: f64,
    share: Option<f64>,
    over: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct Note<'a> {
    #[serde(flatten)]
    victim: Name<'a>,
    resource: String,
    cause: &'static str,
    lost_s: f64,
    lost_share: Option<f64>,
    sentence: String,
}

#[derive(Serialize)]
pub(super) struct Doubt {
    name: &'static str,
    value: Option<f64>,
    sentence: String,
}

#[derive(Serialize)]
pub(super) struct Culprit<'a> {
    #[serde(flatten)]
    name: Name<'a>,
    resource: String,
    caused_s: f64,
    run_s: Option<f64>,
    entitled_s: Option<f64>,
    over: Option<f64>,
    quota_cpus: Option<f64>,
    processes: Option<Vec<Process<'a>>>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    comm: &'a str,
    cpu_s: f64,
}

pub(super) fn verdict(findings: &Findings) -> Verdict {
    let (verdict, rest) = sentences::headline(findings);
    Verdict {
        state: match findings.signals.verdict {
            signal::Verdict::Calm => "calm",
            signal::Verdict::Hurts { .. } => "hurts",
            signal::Verdict::CannotTell(_) => "cannot_tell",
        },
        hurt: match findings.signals.verdict {
            signal::Verdict::Hurts { hurt, .. } => hurt,
            signal::Verdict::Calm | signal::Verdict::CannotTell(_) => 0,
        },
        active: findings.signals.active,
        sentence: verdict + &rest,
    }
}

pub(super) fn hurt(findings: &Findings) -> Vec<Hurt<'_>> {
    let all = findings.signals.hurt.iter();
    all.map(|hurt| Hurt {
        victim: name(findings, hurt.row),
        resource: resource(findings, hurt.resource),
        class: hurt.class.map(signal::Class::name),
        information: hurt.is_information(),
        lost_s: seconds(hurt.lost_ns),
        lost_share: finite(hurt.lost_share),
        starved: hurt.starved,
        idle_elsewhere: hurt.idle_elsewhere,
        culprits: parts(findings, &hurt.culprits),
        crowd: match hurt.culprits {
            Culprits::Named(_) => None,
            Culprits::Crowd(number) => Some(number),
        },
        sentence: findings.entity(hurt.row).to_owned() + &sentences::loss(findings, hurt, ""),
    })
    .collect()
}

fn parts<'a>(findings: &'a Findings, culprits: &Culprits) -> Vec<Part<'a>> {
    let named = culprits.named().iter();
    named
        .map(|culprit| Part {
            culprit: name(findings, culprit.row),
            seconds: seconds(culprit.ns),
            share: finite(culprit.share),
            over: culprit.over.and_then(finite),
        })
        .collect()
}

pub(super) fn notes(findings: &Findings) -> Vec<Note<'_>> {
    let all = findings.signals.notes.iter();
    all.map(|note| Note {
        victim: name(findings, note.row),
        resource: of_cause(findings, note.cause),
        cause: note.cause.name(),
        lost_s: seconds(note.lost_ns),
        lost_share: finite(note.lost_share),
        sentence: sentences::note(findings, note),
    })
    .collect()
}

fn of_cause(findings: &Findings, cause: OwnCause) -> String {
    match cause {
        OwnCause::Device(device) => resource(findings, Resource::Disk(device)),
        OwnCause::IoLimit => "disk".into(),
        OwnCause::Throttled
        | OwnCause::Hypervisor
        | OwnCause::Interrupts
        | OwnCause::KernelThreads
        | OwnCause::SelfContention => resource(findings, Resource::Cpu),
    }
}

pub(super) fn doubts(findings: &Findings) -> Vec<Doubt> {
    let all = findings.signals.doubts.iter();
    all.map(|doubt| Doubt {
        name: sentences::doubt_name(doubt),
        value: sentences::doubt_value(doubt).and_then(finite),
        sentence: sentences::doubt(findings, doubt),
    })
    .collect()
}

pub(super) fn culprits(findings: &Findings) -> Vec<Culprit<'_>> {
    let all = findings.culprits.iter();
    all.map(|culprit| self::culprit(findings, culprit))
        .collect()
}

fn culprit<'a>(findings: &'a Findings, culprit: &'a findings::Culprit) -> Culprit<'a> {
    let row = entity(findings, culprit.row);
    let processes = culprit.processes.as_ref();
    Culprit {
        name: name(findings, culprit.row),
        resource: resource(findings, culprit.resource),
        caused_s: seconds(culprit.caused_ns),
        run_s: row.usage.as_ref().map(|usage| seconds(usage.run_ns)),
        entitled_s: row.entitled_s.and_then(finite),
        over: over_contract(row)
            .filter(|_| culprit.resource == Resource::Cpu)
            .and_then(finite),
        quota_cpus: row.quota_cpus.and_then(finite),
        processes: processes.map(|all| all.iter().map(process).collect()),
    }
}

fn process(process: &processes::Usage) -> Process<'_> {
    Process {
        pid: process.pid,
        comm: &process.comm,
        cpu_s: seconds(process.cpu_ns),
    }
}

fn name(findings: &Findings, row: usize) -> Name<'_> {
    let row = entity(findings, row);
    Name {
        key: row.key_text(),
        name: &row.name,
        path: text(&row.path),
    }
}

fn entity(findings: &Findings, row: usize) -> &Row {
    &findings.model.entities.rows[row]
}
