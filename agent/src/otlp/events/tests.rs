//! Events as receivers see them.

use std::{collections::BTreeMap, time::Duration};

use expect_test::{Expect, expect};

use super::*;
use crate::{
    config::CulpritNames,
    model::{Model, fixture::Scene, fixture::disk::reads},
    otlp::registry::SCOPE,
    signal::{Signals, episodes::Episodes},
};

/// A web server that a batch job holds up, on full CPUs.
fn contended() -> Model {
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 2.0);
    scene.ran(batch, 8.0);
    scene.waited_for(web, batch, 6.0, 0.020);
    scene.model()
}

/// A database whose requests wait behind those of a backup.
fn contended_disk() -> Model {
    let mut scene = Scene::new(1);
    let disk = scene.disk(0, "vda");
    scene.cgroup(2, "/db.service");
    scene.cgroup(3, "/backup.service");
    let db = scene.disk_cgroup(2, "/db.service");
    let backup = scene.disk_cgroup(3, "/backup.service");
    scene.requests(reads(db, disk), 100, [0.050, 0.005]);
    scene.attributed(reads(db, disk), 0.5, &[(backup, 4.9)]);
    scene.requests(reads(backup, disk), 1_000, [0.001, 0.008]);
    scene.attributed(reads(backup, disk), 8.0, &[]);
    scene.model()
}

/// Begins after the warm-up, goes on for a minute and more, and ends with the agent.
fn course(model: &Model, names: CulpritNames) -> Vec<ResourceLogs> {
    let (rules, thresholds) = (Rules::default(), Thresholds::default());
    let host = Host {
        name: "one".into(),
        id: Some("3d12".into()),
        ..Host::default()
    };
    let writer = Writer::new(host, Naming::new(names, b"boot"), &rules, &thresholds);
    let mut episodes = Episodes::new(rules, thresholds, 7);
    let signals = Signals::detect(model, &thresholds);
    let mut events = Vec::new();
    // Each reading is of 10 s.
    for _ in 0..12 {
        events.extend(episodes.observe(model, &signals).events);
    }
    events.extend(episodes.stop(SystemTime::UNIX_EPOCH + Duration::from_secs(9)));
    events.iter().map(|event| writer.write(event)).collect()
}

fn record(logs: &ResourceLogs) -> &LogRecord {
    assert_eq!(logs.scope_logs[0].scope.as_ref().unwrap().name, SCOPE);
    &logs.scope_logs[0].log_records[0]
}

fn body(record: &LogRecord) -> String {
    let value = record.body.as_ref().and_then(|body| body.value.clone());
    let Some(Value::StringValue(body)) = value else {
        panic!("a sentence");
    };
    body
}

fn shown(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::DoubleValue(number) => format!("{number:.3}"),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(array) => {
            let values = array.values.iter().filter_map(|one| one.value.as_ref());
            format!("[{}]", values.map(shown).collect::<Vec<_>>().join(", "))
        }
        other => panic!("{other:?}"),
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let pairs = pairs.iter().map(|pair| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        (pair.key.clone(), shown(value.unwrap()))
    });
    pairs.collect()
}

fn check(logs: &[ResourceLogs], expected: &Expect) {
    let lines = logs.iter().map(|logs| {
        let record = record(logs);
        let (severity, name) = (&record.severity_text, &record.event_name);
        format!("{severity} {name}: {}\n", body(record))
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_course_of_events_reads_like_a_report() {
    check(
        &course(&contended(), CulpritNames::Full),
        &expect![[r"
        WARN crosstalk.saturation.started: the CPUs of this host are full: tasks waited for 38 % of the CPU they wanted (0.60 of 1.60 CPUs) over 30 s; they were used 80 % by batch.service and 20 % by web.service
        WARN crosstalk.interference.started: web.service lost 75 % of the CPU it wanted (0.60 of 0.80 CPUs) over 30 s; all of it to batch.service (at 1.6x its contract); noisy neighbor
        INFO crosstalk.saturation.updated: the CPUs of this host are full: tasks waited for 38 % of the CPU they wanted (0.60 of 1.60 CPUs) over 90 s so far; they were used 80 % by batch.service and 20 % by web.service
        INFO crosstalk.interference.updated: web.service lost 75 % of the CPU it wanted (0.60 of 0.80 CPUs) over 90 s so far; all of it to batch.service (at 1.6x its contract); noisy neighbor
        INFO crosstalk.saturation.ended: the CPUs of this host are full: tasks waited for 38 % of the CPU they wanted (0.60 of 1.60 CPUs) over 90 s; they were used 80 % by batch.service and 20 % by web.service; the agent stops observing
        INFO crosstalk.interference.ended: web.service lost 75 % of the CPU it wanted (0.60 of 0.80 CPUs) over 90 s; all of it to batch.service (at 1.6x its contract); noisy neighbor; the agent stops observing
    "]],
    );
    check(
        &course(&contended_disk(), CulpritNames::Full),
        &expect![[r"
        WARN crosstalk.interference.started: requests of db.service on vda waited 91 % of their time behind those of others over 30 s; all of it to backup.service; noisy neighbor
        INFO crosstalk.interference.updated: requests of db.service on vda waited 91 % of their time behind those of others over 90 s so far; all of it to backup.service; noisy neighbor
        INFO crosstalk.interference.ended: requests of db.service on vda waited 91 % of their time behind those of others over 90 s; all of it to backup.service; noisy neighbor; the agent stops observing
    "]],
    );
}

#[test]
fn an_event_says_who_what_by_whom_and_by_which_rules() {
    let logs = course(&contended(), CulpritNames::Full);
    let of_web = |logs: &&ResourceLogs| {
        let resource = logs.resource.as_ref().unwrap();
        attributes(&resource.attributes)["crosstalk.entity.name"] == "web.service"
    };
    let of_web: Vec<&ResourceLogs> = logs.iter().filter(of_web).collect();
    let told = attributes(&record(of_web[0]).attributes);
    let lines = told.iter().map(|(key, value)| format!("{key} = {value}\n"));
    expect![[r"
        crosstalk.class = noisy_neighbor
        crosstalk.culprit.kind = [service]
        crosstalk.culprit.name = [batch.service]
        crosstalk.culprit.share = [1.000]
        crosstalk.episode.duration = 30.000
        crosstalk.episode.id = 0000000000000007-2
        crosstalk.episode.openings = 1
        crosstalk.episode.severity = warning
        crosstalk.lost.share = 0.750
        crosstalk.lost.time = 18.000
        crosstalk.resource = cpu
        crosstalk.rules.hash = f57e807c4906ee16
        crosstalk.threshold.calm = 0.025
        crosstalk.threshold.lasting = 0.050
        crosstalk.threshold.severe = 0.250
    "]]
    .assert_eq(&lines.collect::<String>());
    let ids = of_web
        .iter()
        .map(|logs| attributes(&record(logs).attributes)[ID].clone());
    let ids: std::collections::BTreeSet<String> = ids.collect();
    assert_eq!(ids.len(), 1);
}

#[test]
fn names_that_may_not_be_known_are_nowhere_in_the_events_of_others() {
    for names in [
        CulpritNames::Namespace,
        CulpritNames::Hash,
        CulpritNames::Kind,
    ] {
        for logs in course(&contended(), names) {
            let told = format!("{logs:?}");
            assert!(!told.contains("batch"), "{names:?}: {told}");
        }
    }
}

#[test]
fn other_rules_have_another_hash() {
    let thresholds = Thresholds::default();
    let rules = Rules {
        severe_share: 0.3,
        ..Rules::default()
    };
    let one = hash(&Rules::default(), &thresholds);
    assert_eq!(one, hash(&Rules::default(), &thresholds));
    assert_ne!(one, hash(&rules, &thresholds));
}
