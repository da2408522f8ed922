use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    cli::report::{
        args::By,
        findings::Question,
        fixture::{about, findings, noisy, noisy_disk, question, slow_disk},
    },
    model::fixture::{
        Scene,
        disk::{reads, writes},
    },
    sample::{
        CgroupId, CpuTime,
        disk::{DiskAccount, DiskOwner},
    },
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
            "relation": "system",
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

#[test]
fn requests_their_device_and_the_blame() {
    let document = written(&noisy_disk(), question());
    let row = &document["entities"][0];
    assert_eq!(row["key"], "service:/db.service");
    let [reads, writes] = [&row["disk"][0], &row["disk"][1]];
    let what = |part: &Value| (part["device"].clone(), part["operation"].clone());
    assert_eq!(what(reads), (json!("vda"), json!("read")));
    assert_eq!(what(writes), (json!("vda"), json!("write")));
    assert_eq!(writes["requests"], 1_020);
    assert_eq!(
        (&writes["wait_s"], &writes["queue_s"]),
        (&json!(80.0), &json!(69.0))
    );
    assert_eq!(
        writes["wait_by_cause_s"],
        json!({
            "neighbor": 57.6,
            "self": 0.0,
            "device": 22.4,
            "held": 0.0,
            "unattributed": 0.0,
        })
    );
    let stat = &row["io"]["stat"];
    assert_eq!(
        (&stat["read_bytes"], &row["io"]["limited"]),
        (&json!(93_000_000), &json!(false))
    );
    let blame = document["blame"].as_array().unwrap();
    let of_db = |row: &&Value| row["victim_key"] == "service:/db.service";
    let behind: Vec<_> = blame.iter().filter(of_db).collect();
    assert_eq!(behind[0]["resource"], "disk:vda");
    assert_eq!(behind[0]["culprit_key"], "service:/backup.service");
    assert_eq!(behind[1]["culprit_key"], "other");
    let seconds = |row: &Value| row["seconds"].as_f64().unwrap();
    let lost = |part: &Value| part["wait_by_cause_s"]["neighbor"].as_f64().unwrap();
    let sum = seconds(behind[0]) + seconds(behind[1]);
    assert!((sum - lost(reads) - lost(writes)).abs() < 1e-9);
    assert_eq!(document["hurt"][0]["resource"], "disk:vda");
    assert_eq!(document["culprits"][0]["resource"], "disk:vda");
    let mounted = &document["devices"][1];
    assert_eq!(
        (&mounted["number"], &mounted["stacked"]),
        (&json!("254:1"), &json!(true))
    );
    assert_eq!(document["accounting"]["disk"]["dropped"]["partial"], 8);
    let flushes = document["entities"].as_array().unwrap();
    let flushes = flushes.iter().find(|row| row["key"] == "device").unwrap();
    assert_eq!(
        (&flushes["kind"], &flushes["name"]),
        (&json!("device"), &json!("device"))
    );
    assert_eq!(flushes["cgroup"], json!({"id": null, "path": "device"}));
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
    for scene in [noisy_disk(), slow_disk()] {
        assert_eq!(broken_rules(&written(&scene, question())), [""; 0]);
        let by_cgroup = Question {
            by: By::Cgroup,
            ..question()
        };
        assert_eq!(broken_rules(&written(&scene, by_cgroup)), [""; 0]);
    }
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
fn requests_of_unknown_time_are_null() {
    let mut scene = noisy_disk();
    let rows = |document: &Value| document["entities"].clone();
    let (db, vda) = (DiskOwner::Cgroup(CgroupId(2)), scene.disk(0, "vda"));
    let account = scene.disk_account(reads(db, vda));
    *account = DiskAccount {
        requests: 5,
        untimed: 5,
        unissued: 5,
        ..DiskAccount::default()
    };
    let first = DiskAccount {
        requests: 2_000,
        ..DiskAccount::default()
    };
    scene.disks()[0].accounts.insert(writes(db, vda), first);
    let document = written(&scene, question());
    assert_eq!(broken_rules(&document), [""; 0]);
    let row = rows(&document)
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "db.service")
        .cloned();
    let row = row.unwrap();
    let [untimed, backwards] = [&row["disk"][0], &row["disk"][1]];
    assert_eq!(
        (&untimed["requests"], &untimed["wait_s"]),
        (&json!(5), &Value::Null)
    );
    assert_eq!(untimed["wait_by_cause_s"]["neighbor"], Value::Null);
    assert_eq!(untimed["device_time"]["p99_s"], Value::Null);
    assert_eq!(
        (&backwards["requests"], &backwards["wait_s"]),
        (&Value::Null, &Value::Null)
    );
    scene.after.disk = None;
    let document = written(&scene, question());
    assert_eq!(broken_rules(&document), [""; 0]);
    assert_eq!(
        (&document["devices"], &document["accounting"]["disk"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(rows(&document)[0]["disk"], Value::Null);
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
        scene.before.disk = noisy_disk().before.disk;
        scene.after.disk = noisy_disk().after.disk;
        for account in scene.disks()[1].accounts.values_mut() {
            (account.requests, account.queue_ns) = (run, wait);
        }
        for wait in scene.disks()[1].waits.values_mut() {
            wait.self_ns = run;
        }
        for account in scene.after.accounts.values_mut() {
            account.run_ns = run;
            account.wait_ns[0] = wait;
        }
        let pairs = scene.after.blame.iter();
        scene.after.blame = pairs.map(|(pair, _)| (pair, wait)).collect();
        scene.after.cgroups.get_mut(&CgroupId(4)).unwrap().weight = weight;
        scene.after.cpus[0] = Some(CpuTime { run_ns: run, idle_ns: wait, ..CpuTime::default() });
        scene.after.monotonic = scene.before.monotonic + std::time::Duration::from_nanos(length);
        let text = serde_json::to_string(&document(&findings(&scene, question()))).unwrap();
        let lower = text.to_lowercase();
        prop_assert!(!lower.contains(":nan") && !lower.contains(":inf"));
    }
}
