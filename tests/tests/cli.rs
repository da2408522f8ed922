//! The command line from outside: exit codes, streams, and what is left behind.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::capability::test_cpu;
use tests::cgroup::{Cgroup, Weight};
use tests::load::{Load, Plan};
use tests::report::{Document, Running, crosstalk};
use tests::shape::{Mode, Shape};
use tests::sys;

fn run(args: &[&str]) -> Output {
    crosstalk(args).output().expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_exit(args: &[&str], code: i32) -> Output {
    let output = run(args);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?} said:\n{}",
        stderr(&output)
    );
    output
}

#[test]
fn usage_errors_exit_2_with_one_clear_sentence() {
    for args in [
        &["report", "--duration", "soon"][..],
        &["report", "--duration", "0s"],
        &["report", "--duration", "-1s"],
        &["report", "--cgroup", "[a-"],
        &["report", "--by", "moon"],
        &["report", "--top", "many"],
        &["report", "--fail-on", "boredom"],
        &["report", "--kubelet", "http://10.0.0.7:10250"],
        &["report", "--until", "1m"],
        &["report", "--since", "1m", "--until", "2m"],
        &["report", "--since", "1m", "--duration", "5s"],
        &["report", "--since", "1m", "--by", "cgroup"],
        &["report", "--no-such-flag"],
        &["no-such-command"],
    ] {
        let output = assert_exit(args, 2);
        assert!(
            output.stdout.is_empty(),
            "{args:?} wrote to standard output"
        );
        assert!(
            !stderr(&output).trim().is_empty(),
            "{args:?} gave no reason"
        );
        assert!(
            !stderr(&output).contains("panicked"),
            "{args:?} panicked:\n{}",
            stderr(&output)
        );
    }
}

#[test]
fn help_and_version_exit_0() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["report", "--help"],
        &["doctor", "--help"],
    ] {
        assert!(
            !assert_exit(args, 0).stdout.is_empty(),
            "{args:?} says nothing"
        );
    }
}

#[test]
fn a_report_exits_0_and_its_document_is_valid() {
    let output = assert_exit(&["report", "--duration", "1s", "--json"], 0);
    let document = Document::parse(&output.stdout).0;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.schema.json");
    let schema = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let errors: Vec<String> = validator
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "the document breaks its schema:\n{}",
        errors.join("\n")
    );
}

#[test]
fn a_schema_that_takes_everything_proves_nothing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/report.schema.json");
    let schema = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    let output = assert_exit(&["report", "--duration", "1s", "--json"], 0);
    let good = Document::parse(&output.stdout).0;
    for part in [
        "host",
        "interval",
        "capabilities",
        "entities",
        "blame",
        "unknown",
        "accounting",
    ] {
        let mut bad = good.clone();
        bad[part] = Value::from("nonsense");
        assert!(
            !validator.is_valid(&bad),
            "the schema accepts a word as `{part}`"
        );
        bad.as_object_mut().expect("an object").remove(part);
        assert!(
            !validator.is_valid(&bad),
            "the schema accepts a document without `{part}`"
        );
    }
}

#[test]
fn the_document_has_every_promised_name() {
    let output = assert_exit(&["report", "--duration", "1s", "--json"], 0);
    let document = Document::parse(&output.stdout).0;
    assert_eq!(
        document["schema"], "crosstalk.report/1",
        "the document names its schema"
    );
    let names = [
        (
            "/host",
            "name boot_id kernel cpus cgroup_hierarchy agent_version",
        ),
        ("/interval", "start seconds complete"),
        ("/capabilities/0", "name status detail"),
        ("/entities/0", "key kind name cgroup cpu"),
        ("/entities/0/cgroup", "id path"),
        (
            "/entities/0/cpu",
            "run_s wait_s waits wait_by_cause_s steal_s delay throttled_s waiting_now entitled_s",
        ),
        (
            "/entities/0/cpu/wait_by_cause_s",
            "neighbor self kernel throttled steal irq idle unattributed",
        ),
        ("/entities/0/cpu/delay", "p50_s p99_s p999_s"),
        ("/blame/0", "resource victim culprit relation seconds share"),
        (
            "/accounting",
            "switches_seen switches_accounted dropped discarded_phantom_s coverage",
        ),
    ];
    for (at, fields) in names {
        let part = document
            .pointer(at)
            .unwrap_or_else(|| panic!("no {at} in {document}"));
        for field in fields.split(' ') {
            assert!(part.get(field).is_some(), "no {field} in {at}: {part}");
        }
    }
    let ids = document["entities"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["cgroup"]["id"]);
    assert!(
        ids.clone().all(|id| id.is_string() || id.is_null()),
        "cgroup ids are strings"
    );
}

#[test]
fn an_interrupt_during_the_interval_keeps_what_was_gathered() {
    let report = Running::start(&["--duration", "10m"]).interrupt();
    assert_eq!(
        report.0["interval"]["complete"], false,
        "the interval was cut short"
    );
    assert!(!report.entities().is_empty(), "nothing was gathered");
}

#[test]
fn a_signal_before_the_first_interval_exits_like_one() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let mut child = crosstalk(&["report", "--duration", "10m"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        // Its first byte of progress means that it runs; the warm-up of a second is still ahead then. Without one,
        // the loaded programs do.
        wait_until_started(&mut child);
        sys::signal(&child, signal).expect("our own child");
        let output = child.wait_with_output().expect("our own child");
        assert_eq!(
            output.status.code(),
            Some(code),
            "signal {signal}; it said:\n{}",
            stderr(&output)
        );
    }
}

/// Its handlers are in place when the kernel says that it catches the signals.
fn wait_until_started(child: &mut std::process::Child) {
    let caught = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0);
        [libc::SIGINT, libc::SIGTERM]
            .iter()
            .all(|signal| mask & (1 << (signal - 1)) != 0)
    };
    let path = format!("/proc/{}/status", child.id());
    while !fs::read_to_string(&path).is_ok_and(|status| caught(&status)) {
        let ended = child.try_wait().expect("our own child");
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn without_privileges_it_exits_4_and_says_what_to_do() {
    const NOBODY: u32 = 65_534;
    // The target directory may be closed to others.
    let copy = std::env::temp_dir().join(format!("crosstalk-test-{}", std::process::id()));
    fs::copy(tests::report::binary(), &copy).expect("the binary can be copied");
    let output = std::process::Command::new(&copy)
        .args(["report", "--duration", "1s"])
        .uid(NOBODY)
        .gid(NOBODY)
        .output();
    fs::remove_file(&copy).expect("our own copy");
    let output = output.expect("the copy starts");
    assert_eq!(
        output.status.code(),
        Some(4),
        "it said:\n{}",
        stderr(&output)
    );
    assert!(output.stdout.is_empty(), "it wrote to standard output");
    let said = stderr(&output).to_lowercase();
    assert!(
        said.contains("cap_bpf") || said.contains("sudo") || said.contains("root"),
        "it does not say what to do: {said}"
    );
}

fn noisy_neighbor(seconds: u64) -> (Cgroup, [Load; 2]) {
    let (victim, culprit) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    // Of little weight, it waits for more than the 10 ms that make a wait matter.
    victim.set_weight(Weight::Tenth).expect("our own cgroup");
    let time = Duration::from_secs(seconds);
    // A service that wakes up often and finds the CPU taken by four loops.
    let shape = Shape::new(Mode::Sleeper)
        .threads(2)
        .period(Duration::from_millis(2))
        .work(Duration::from_millis(2));
    let served = Plan::new(shape.wall(time), &victim)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    let shape = Shape::new(Mode::Spin).threads(4).wall(time);
    let noise = Plan::new(shape, &culprit)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    (victim, [served, noise])
}

#[test]
fn fail_on_hurt_exits_3_and_names_the_victim() {
    let (victim, mut loads) = noisy_neighbor(9);
    loads.iter_mut().for_each(Load::go);
    let glob = format!("*{}*", victim.path().trim_start_matches('/'));
    let output = run(&[
        "report",
        "--duration",
        "5s",
        "--cgroup",
        &glob,
        "--fail-on",
        "hurt",
    ]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(3),
        "it said:\n{text}\n{}",
        stderr(&output)
    );
    let name = victim.path().rsplit('/').next().expect("a name").to_owned();
    assert!(
        text.contains(&name),
        "the victim {name} is not named:\n{text}"
    );
}

#[test]
fn no_colour_in_a_pipe() {
    let output = assert_exit(&["report", "--duration", "1s"], 0);
    for (name, bytes) in [
        ("standard output", &output.stdout),
        ("standard error", &output.stderr),
    ] {
        assert!(
            !bytes.contains(&0x1b),
            "escape codes in {name}:\n{}",
            String::from_utf8_lossy(bytes)
        );
    }
    assert!(!output.stdout.is_empty(), "nothing was reported");
}

#[test]
fn the_log_goes_to_standard_error_and_is_silent_unless_something_is_wrong() {
    let report = |filter: &str| {
        let mut command = crosstalk(&["report", "--json", "--duration", "1s"]);
        let output = command.env("RUST_LOG", filter).output();
        let output = output.expect("the binary starts");
        // One document and nothing else.
        Document::parse(&output.stdout);
        stderr(&output)
    };
    let all = report("trace");
    assert!(all.contains("DEBUG") || all.contains("TRACE"), "{all}");
    let usual = report("");
    let lines: Vec<&str> = usual.lines().collect();
    assert!(
        matches!(lines[..], [line] if line.starts_with("ready")),
        "a healthy report says:\n{usual}"
    );
}

#[test]
fn a_closed_pipe_is_silent_success() {
    for args in [
        &["report", "--duration", "1s"][..],
        &["report", "--duration", "1s", "--json"],
        &["doctor"],
    ] {
        let mut child = crosstalk(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut said)
            .expect("text");
        let status = child.wait().expect("our own child");
        assert!(status.success(), "{args:?} ended with {status}: {said}");
        let complaint = said.to_lowercase();
        assert!(
            !complaint.contains("pipe") && !complaint.contains("panic"),
            "{args:?} complains: {said}"
        );
    }
}

#[test]
fn a_hostile_cgroup_name_is_rendered_safely() {
    let parent = Cgroup::new().expect("a cgroup");
    let hostile = parent.child("a\u{1b}[31mred\r\u{7}").expect("a cgroup");
    let shape = Shape::new(Mode::Spin).wall(Duration::from_secs(4));
    let mut load = Plan::new(shape, &hostile)
        .on(&[test_cpu()])
        .start()
        .expect("the load starts");
    load.go();
    let output = assert_exit(&["report", "--duration", "1s"], 0);
    let control = output
        .stdout
        .iter()
        .find(|&&byte| byte < b' ' && byte != b'\n' && byte != b'\t');
    assert_eq!(
        control,
        None,
        "control characters of a name reach the terminal:\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
