//! `doctor` on a host where the core works.

use std::time::Duration;

use serde_json::Value;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::null_blk::{NullBlk, NullPlan};
use tests::disk::scratch::ScratchFile;
use tests::load::Plan;
use tests::report::crosstalk;
use tests::shape::{Mode, Shape, Transfer};

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
        "confinement",
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

/// While somebody reads from it.
#[test]
fn doctor_tells_how_the_times_of_each_device_are_known() {
    // The slower one, where there is one: the reader leaves doctor the CPU.
    let slow = NullBlk::new(NullPlan {
        delay: Duration::from_millis(20),
        ..NullPlan::default()
    });
    let file = ScratchFile::in_memory(4 << 20);
    let over_file = LoopDevice::over(file.path(), Backing::Cached);
    let device = match (&slow, &over_file) {
        (Some(made), _) => made.device(),
        (None, Some(made)) => made.device(),
        (None, None) => {
            let test = "doctor_tells_how_the_times_of_each_device_are_known";
            return unsupported(test, loop_device::CAPABILITY);
        }
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let shape = Shape::new(Mode::Disk(Transfer::Read)).count(0);
    let mut load = Plan::new(shape.target(&device.path()), &cgroup)
        .start()
        .expect("it starts");
    load.go();
    let output = crosstalk(&["doctor", "--json"])
        .output()
        .expect("the binary starts");
    load.stop();
    load.tally();
    let text = String::from_utf8_lossy(&output.stdout);
    let document: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    let rows = document["capabilities"].as_array().expect("a list");
    let timing = rows.iter().find(|row| row["name"] == "disk_timing");
    let detail = timing
        .and_then(|row| row["detail"].as_str())
        .unwrap_or_default();
    let told = format!("{}: the kernel notes creation and issue", device.name());
    assert!(detail.contains(&told), "no {told:?} in {detail:?}");
}
