use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    cli::report::{
        findings::Question,
        fixture::{about, findings, noisy, question},
    },
    model::fixture::Scene,
    sample::{CgroupId, CpuTime},
};

fn written(scene: &Scene, question: Question) -> Value {
    serde_json::to_value(document(&findings(scene, question))).unwrap()
}

#[test]
fn a_victim_its_culprit_and_the_blame() {
    let document = written(&noisy(), question());
    let row = &document["entities"][0];
    assert_eq!(row["key"], "service:/system.slice/web.service");
    assert_eq!(
        row["cgroup"],
        json!({"id": "3", "path": "/system.slice/web.service"})
    );
    assert_eq!(row["cpu"]["run_s"], 4.0);
    assert_eq!(row["cpu"]["wait_by_cause_s"]["neighbor"], 2.0);
    assert_eq!(row["cpu"]["lost_share"], 1.0 / 3.0);
    assert_eq!(
        document["blame"][0],
        json!({
            "resource": "cpu",
            "victim": "/system.slice/web.service",
            "culprit": "/system.slice/batch.service",
            "victim_key": "service:/system.slice/web.service",
            "culprit_key": "service:/system.slice/batch.service",
            "relation": null,
            "seconds": 2.0,
            "share": 2.0 / 2.1,
        })
    );
    assert_eq!(document["interval"]["start"], "2025-06-15T15:06:40.000Z");
    assert_eq!(document["verdict"]["state"], "hurts");
    assert_eq!(document["hurt"][0]["class"], "noisy_neighbor");
    assert_eq!(document["culprits"][0]["processes"][0]["pid"], 4242);
    assert_eq!(document["notes"][0]["cause"], "throttled");
}

/// What is wrong with a document by the schema that is published.
fn broken_rules(document: &Value) -> Vec<String> {
    let schema = include_str!("../../../../../docs/report.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_schema_covers_what_is_found() {
    let document = written(&noisy(), question());
    assert_eq!(broken_rules(&document), [""; 0]);
    let misspelt = document.to_string().replace("noisy_neighbor", "noisy");
    let misspelt: Value = serde_json::from_str(&misspelt).unwrap();
    assert_eq!(broken_rules(&misspelt).len(), 1);
}

#[test]
fn what_is_unknown_is_null() {
    let mut scene = noisy();
    scene.before.accounts = scene.after.accounts.clone();
    scene
        .before
        .accounts
        .values_mut()
        .for_each(|account| account.run_ns += 1);
    scene.after.waiting = None;
    scene.after.abilities.irq = false;
    let document = written(&scene, question());
    let cpu = &document["entities"][0]["cpu"];
    assert_eq!(
        (&cpu["run_s"], &cpu["wait_s"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(cpu["waiting_now"], Value::Null);
    assert_eq!(cpu["wait_by_cause_s"]["self"], Value::Null);
    assert_eq!(document["host"]["cpu"]["irq_s"], Value::Null);
    assert!(!document["unknown"].as_array().unwrap().is_empty());
    assert_eq!(broken_rules(&document), [""; 0]);
}

#[test]
fn rows_and_blame_are_those_asked_for() {
    let document = written(&noisy(), about("*web*"));
    let paths = |list: &str, field: &str| -> Vec<String> {
        let rows = document[list].as_array().unwrap().iter();
        rows.map(|row| row.pointer(field).unwrap().as_str().unwrap().into())
            .collect()
    };
    assert_eq!(
        paths("entities", "/cgroup/path"),
        ["/system.slice/web.service"]
    );
    assert_eq!(
        paths("blame", "/culprit"),
        ["/system.slice/batch.service", "kernel/kworker"]
    );
    assert_eq!(document["filter"], "*web*");
    let top = Question {
        top: Some(1),
        ..question()
    };
    let top = written(&noisy(), top);
    assert_eq!(top["entities"].as_array().unwrap().len(), 1);
}

#[test]
fn bytes_that_are_no_text_are_escaped() {
    let mut scene = Scene::new(1);
    let odd = scene.cgroup(2, b"/a\xff\x1b");
    scene.ran(odd, 1.0);
    let document = written(&scene, about("/a*"));
    assert_eq!(document["entities"][0]["cgroup"]["path"], "/a\\xff\u{1b}");
}

proptest! {
    /// `serde_json` writes numbers that are not finite as null: none may hide there.
    #[test]
    fn numbers_are_finite(
        run in any::<u64>(),
        wait in any::<u64>(),
        weight in prop::option::of(0u64..3),
        length in 0u64..2,
    ) {
        let mut scene = noisy();
        for account in scene.after.accounts.values_mut() {
            account.run_ns = run;
            account.wait_ns[0] = wait;
        }
        scene.after.blame.values_mut().for_each(|ns| *ns = wait);
        scene.after.cgroups.get_mut(&CgroupId(4)).unwrap().weight = weight;
        scene.after.cpus[0] = Some(CpuTime { run_ns: run, idle_ns: wait, ..CpuTime::default() });
        scene.after.monotonic = scene.before.monotonic + std::time::Duration::from_nanos(length);
        let text = serde_json::to_string(&document(&findings(&scene, question()))).unwrap();
        let lower = text.to_lowercase();
        prop_assert!(!lower.contains(":nan") && !lower.contains(":inf"));
    }
}
