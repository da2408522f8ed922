//! Nothing is left behind, however the agent ends: no program, no map, no link, no file.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tests::report::Running;
use tests::sys::{BpfObject, bpf_ids};

const KINDS: [BpfObject; 3] = [BpfObject::Program, BpfObject::Map, BpfObject::Link];

type End = fn(Running);

fn objects() -> BTreeSet<(BpfObject, u32)> {
    let of = |kind| {
        bpf_ids(kind)
            .unwrap_or_default()
            .into_iter()
            .map(move |id| (kind, id))
    };
    KINDS.into_iter().flat_map(of).collect()
}

fn files() -> BTreeSet<String> {
    let entries = ["/tmp", "/run", "/var/tmp", "/dev/shm", "/sys/fs/bpf"]
        .into_iter()
        .filter_map(|dir| fs::read_dir(dir).ok());
    let paths = entries
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().display().to_string());
    paths.filter(|path| path.contains("crosstalk")).collect()
}

/// The kernel frees what a dead process held a moment later, without telling; a leak never goes away.
fn left_after_a_while(before: &BTreeSet<(BpfObject, u32)>) -> Vec<(BpfObject, u32)> {
    let mut left = Vec::new();
    for _ in 0..1_000 {
        left = objects().difference(before).copied().collect();
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    left
}

#[test]
fn nothing_is_left_after_any_end() {
    let ends: [(&str, End); 2] = [
        ("an interrupt", |running| drop(running.interrupt())),
        ("kill -9", Running::kill),
    ];
    for (name, end) in ends {
        let (before, files_before) = (objects(), files());
        let running = Running::start(&["--duration", "10m"]);
        let during = objects()
            .difference(&before)
            .filter(|(kind, _)| *kind == BpfObject::Program)
            .count();
        assert!(
            during >= 1,
            "no program is loaded while it runs: the test sees nothing"
        );
        end(running);
        let left = left_after_a_while(&before);
        assert!(left.is_empty(), "left behind after {name}: {left:?}");
        let files: Vec<String> = files().difference(&files_before).cloned().collect();
        assert!(files.is_empty(), "left behind after {name}: {files:?}");
    }
}
