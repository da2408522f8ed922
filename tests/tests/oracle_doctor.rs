//! `doctor` on a host where the core works.

use serde_json::Value;
use tests::report::crosstalk;

#[test]
fn doctor_names_every_capability_and_exits_0() {
    let output = crosstalk(&["doctor", "--json"])
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "it said:\n{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    let document: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    let rows = document["capabilities"]
        .as_array()
        .unwrap_or_else(|| panic!("no list of capabilities in {text}"));
    for row in rows {
        for field in ["name", "status", "detail"] {
            assert!(row.get(field).is_some(), "no {field} in {row}");
        }
    }
    let names: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(row["name"].as_str()?.to_lowercase()))
        .collect();
    for part in [
        "btf",
        "sched_switch",
        "sched_migrate_task",
        "steal",
        "throttl",
        "pressure",
        "block_rq_complete",
        "disk_timing",
        "cgroup",
        "privilege",
        "block_rq_complete",
        "io_hierarchy",
        "disk_timing",
        "io_accounting",
    ] {
        assert!(
            names.iter().any(|name| name.contains(part)),
            "nothing about {part} among {names:?}"
        );
    }
    let text = crosstalk(&["doctor"]).output().expect("the binary starts");
    println!("{}", String::from_utf8_lossy(&text.stdout));
    assert!(
        text.status.success() && !text.stdout.is_empty(),
        "doctor for people says nothing"
    );
}
