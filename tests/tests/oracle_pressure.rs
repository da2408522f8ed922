//! Pressure as it is exported, against the kernel's own files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::agent::Agent;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::load::{Load, spinner};
use tests::metrics::{self, Attributes};
use tests::sink::{Protocol, Sink};

const STALLED: &str = "crosstalk.pressure.stall.time";
const RESOURCES: [(&str, &str); 3] = [("cpu", "cpu"), ("memory", "memory"), ("io", "disk")];

/// The kernel's totals in seconds, by resource and kind.
fn totals(file: impl Fn(&str) -> PathBuf) -> BTreeMap<(String, String), f64> {
    let mut totals = BTreeMap::new();
    for (name, resource) in RESOURCES {
        let Ok(text) = fs::read_to_string(file(name)) else {
            continue;
        };
        for line in text.lines() {
            let (kind, fields) = line.split_once(' ').expect("fields");
            let (_, total) = fields.split_once("total=").expect("a total");
            let seconds = total.parse::<f64>().expect("a number") / 1e6;
            totals.insert((resource.to_owned(), kind.to_owned()), seconds);
        }
    }
    totals
}

/// Two share a CPU while an agent tells of pressure; what it tells of `path` is what the kernel counts in `file`.
fn assert_told(group: &Cgroup, path: &str, file: impl Fn(&str) -> PathBuf) {
    let sink = Sink::start(Protocol::Http, &[]);
    let endpoint = sink.endpoint();
    let args = ["--interval", "1s", "--detail", "extra", "--endpoint"];
    let mut loads = [(); 2].map(|()| spinner(group, Duration::from_secs(4)));
    let agent = Agent::start(&[&args[..], &[&endpoint]].concat());
    let before = totals(&file);
    loads.iter_mut().for_each(Load::go);
    for load in &mut loads {
        load.wait_done().expect("the load ends");
    }
    let after = totals(&file);
    agent.terminate().exported();
    let points = metrics::of_entity(&sink.accepted(), path, STALLED);
    for (series, last) in after {
        // That all tasks of a host wait for its CPUs is not defined.
        if path == "/" && series == ("cpu".to_owned(), "full".to_owned()) {
            continue;
        }
        let told = metrics::total(&points, |of| {
            (&of["crosstalk.resource"], &of["crosstalk.pressure.type"]) == (&series.0, &series.1)
        });
        let kernel = last - before[&series];
        println!("{series:?}: {told:.3} s told, {kernel:.3} s by the kernel");
        // Ours begins before and ends after.
        assert!(
            (kernel - 0.01..kernel + 1.5).contains(&told),
            "{series:?}: {told} told, {kernel} by the kernel"
        );
    }
    let of_cpu = |of: &Attributes| of["crosstalk.resource"] == "cpu";
    assert!(metrics::total(&points, of_cpu) > 2.0, "two share a CPU");
}

#[test]
fn pressure_of_the_host_is_the_kernels_and_nobody_has_it_unless_asked() {
    let folder = Path::new("/proc/pressure");
    if !folder.exists() {
        return unsupported(
            "pressure_of_the_host_is_the_kernels_and_nobody_has_it_unless_asked",
            "pressure",
        );
    }
    let group = Cgroup::new().expect("a cgroup");
    assert_told(&group, "/", |name| folder.join(name));

    let quiet = Sink::start(Protocol::Http, &[]);
    let agent = Agent::start(&["--interval", "1s", "--endpoint", &quiet.endpoint()]);
    quiet.wait("two requests", |received| received.len() >= 2);
    agent.terminate().exported();
    assert!(metrics::of_entity(&quiet.accepted(), "/", STALLED).is_empty());
}

#[test]
fn pressure_of_a_cgroup_is_the_kernels() {
    let group = Cgroup::new().expect("a cgroup");
    let file = |name: &str| group.dir().join(format!("{name}.pressure"));
    if fs::read_to_string(file("cpu")).is_err() {
        return unsupported("pressure_of_a_cgroup_is_the_kernels", "pressure of cgroups");
    }
    assert_told(&group, &group.path(), file);
}
