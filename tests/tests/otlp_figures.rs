//! The numbers that a receiver gets are those of a report of the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::agent::Agent;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::disk::device::Device;
use tests::disk::loop_device::{self, Backing, LoopDevice};
use tests::disk::scratch::ScratchFile;
use tests::load::{Load, Plan, spinner};
use tests::metrics::{self, Attributes, Point};
use tests::report::{CAUSES, crosstalk};
use tests::shape::{Mode, Shape, Transfer};
use tests::sink::{Protocol, Sink};
use tests::stage::observe;

/// Both see the same events, yet each has programs of its own, that begin and end at their time.
fn assert_same(what: &str, ours: f64, report: f64) {
    assert!(
        (ours - report).abs() <= 0.005 * report + 0.010,
        "{what}: {ours} told over OTLP, {report} in the report"
    );
}

#[test]
fn run_time_waits_and_culprits_are_those_of_the_report() {
    let sink = Sink::start(Protocol::Grpc, &[]);
    let endpoint = sink.endpoint();
    let groups = [Cgroup::new(), Cgroup::new()].map(|group| group.expect("a cgroup"));
    let mut loads: Vec<Load> = groups
        .iter()
        .map(|group| spinner(group, Duration::from_secs(4)))
        .collect();
    let agent = Agent::start(&[
        "--interval",
        "1s",
        "--protocol",
        "grpc",
        "--endpoint",
        &endpoint,
    ]);
    let report = observe(&mut loads).report;
    agent.terminate().exported();
    let accepted = sink.accepted();
    for (group, other) in [(0, 1), (1, 0)] {
        let (path, culprit) = (groups[group].path(), groups[other].path());
        let of = |metric: &str| metrics::of_entity(&accepted, &path, metric);
        let run = metrics::total(&of("crosstalk.cpu.run.time"), |_| true);
        assert_same("run time", run, report.figure(&path, "run_s"));
        let waits = of("crosstalk.cpu.wait.time");
        for cause in CAUSES {
            let told = metrics::total(&waits, |a| a["crosstalk.cause"] == cause);
            assert_same(cause, told, report.cause(&path, cause));
        }
        let interference = of("crosstalk.cpu.interference.time");
        let named = |a: &Attributes| a.get("crosstalk.culprit.name") == Some(&culprit);
        let told = metrics::total(&interference, named);
        assert_same("the culprit", told, report.blame(&path, &culprit));
        assert_histogram(&of("crosstalk.cpu.runqueue.delay"));
        assert_only_grows(&[waits, interference].concat());
    }
}

fn assert_histogram(points: &[Point]) {
    assert!(
        !points.is_empty(),
        "no histogram of a load that waits all the time"
    );
    for point in points {
        assert_eq!(point.count, point.in_buckets, "{point:?}");
    }
}

fn assert_only_grows(points: &[Point]) {
    let mut latest: Vec<&Point> = Vec::new();
    for point in points {
        let before = latest
            .iter_mut()
            .find(|before| before.metric == point.metric && before.attributes == point.attributes);
        let Some(before) = before else {
            assert_eq!(point.value, Some(0.0), "it does not begin at 0: {point:?}");
            latest.push(point);
            continue;
        };
        let is_next = point.value >= before.value && point.start == before.start;
        assert!(is_next && point.at >= before.at, "{before:?}\n{point:?}");
        *before = point;
    }
}

#[test]
fn points_say_whose_they_are_where_they_are_told_to() {
    let sink = Sink::start(Protocol::Http, &[]);
    let endpoint = sink.endpoint();
    let (places, set) = (["--identity", "points"], ["--resource", "team=a"]);
    let args = ["--interval", "1s", "--endpoint", &endpoint];
    let agent = Agent::start(&[&args[..], &places, &set].concat());
    sink.wait("two requests", |received| received.len() >= 2);
    agent.terminate().exported();
    let points: Vec<Point> = sink.accepted().iter().flat_map(metrics::points).collect();
    let mut series = BTreeMap::new();
    for point in &points {
        for key in ["host.name", "service.instance.id", "team"] {
            assert_eq!(
                point.attributes.get(key),
                point.resource.get(key),
                "{point:?}"
            );
            assert!(point.attributes.contains_key(key), "no {key}: {point:?}");
        }
        let path = "crosstalk.cgroup.path";
        assert_eq!(
            point.attributes.get(path),
            point.resource.get(path),
            "{point:?}"
        );
        // Without Resources no two are the same series.
        let whose = series
            .entry((&point.metric, &point.attributes))
            .or_insert(&point.resource);
        assert_eq!(*whose, &point.resource);
    }
    assert!(series.len() > 10, "{} series of a host", series.len());
}

#[test]
fn one_interval_is_printed_as_otlp_json() {
    let output = crosstalk(&["agent", "--once", "--stdout", "--interval", "1s"]).output();
    let output = output.expect("the binary starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let resources = json["resourceMetrics"].as_array().expect("a list");
    let metrics = resources.iter().flat_map(|of| {
        let metrics = of["scopeMetrics"][0]["metrics"].as_array();
        metrics.expect("a list").iter()
    });
    let seen = metrics
        .clone()
        .find(|metric| metric["name"] == "crosstalk.agent.switches.seen");
    let seen = &seen.expect("the agent tells of itself")["sum"]["dataPoints"][0];
    let [start, at] = ["startTimeUnixNano", "timeUnixNano"].map(|key| {
        let time = seen[key].as_str().expect("text");
        time.parse::<u64>().expect("a number")
    });
    assert!(at - start >= 1_000_000_000, "all of the interval: {seen}");
    let run: Vec<_> = metrics
        .filter(|metric| metric["name"] == "crosstalk.cpu.run.time")
        .collect();
    assert!(!run.is_empty(), "somebody runs on every host");
    for metric in run {
        let points = metric["sum"]["dataPoints"].as_array().expect("a list");
        assert_eq!(metric["sum"]["isMonotonic"], true);
        for point in points {
            // 64-bit integers are text in the JSON of protobuf.
            let at = point["timeUnixNano"].as_str().expect("text");
            assert!(at.parse::<u64>().expect("a number") > 1_600_000_000_000_000_000);
            assert!(point["asDouble"].as_f64().expect("a number") >= 0.0);
        }
    }
}

/// What one interval of everybody has: each metric with its kind, and the content of that.
fn printed(more: &[&str]) -> Vec<(String, serde_json::Value)> {
    let args = [
        "agent",
        "--once",
        "--stdout",
        "--interval",
        "1s",
        "--detail",
        "all",
    ];
    let output = crosstalk(&[&args[..], more].concat()).output();
    let output = output.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let resources = json["resourceMetrics"].as_array().expect("a list").iter();
    let scopes = resources.flat_map(|of| of["scopeMetrics"].as_array().expect("a list"));
    let metrics = scopes.flat_map(|scope| scope["metrics"].as_array().expect("a list"));
    let kinds = ["sum", "gauge", "histogram", "exponentialHistogram"];
    let data = metrics.flat_map(|metric| {
        let found = kinds.iter().filter(|kind| metric[**kind].is_object());
        found.map(|kind| ((*kind).to_owned(), metric[*kind].clone()))
    });
    data.collect()
}

#[test]
fn a_backend_gives_the_form_and_what_is_set_alone_covers_it() {
    let preset = ["--backend", "dynatrace"];
    let own = [&preset[..], &["--histograms", "exponential"]].concat();
    for (more, has, lacks) in [
        (&preset[..], "histogram", "exponentialHistogram"),
        (&own, "exponentialHistogram", "histogram"),
    ] {
        let metrics = printed(more);
        let is_there = |kind: &str| metrics.iter().any(|(of, _)| of == kind);
        assert!(
            is_there("sum") && is_there(has) && !is_there(lacks),
            "{more:?}"
        );
        for (kind, data) in &metrics {
            if kind != "gauge" {
                assert_eq!(data["aggregationTemporality"], 1, "{more:?}: {kind}");
            }
            for point in data["dataPoints"].as_array().expect("a list") {
                let attributes = point["attributes"].as_array().expect("a list");
                let has_host = attributes.iter().any(|pair| pair["key"] == "host.name");
                assert!(has_host, "{more:?}: {point}");
            }
        }
    }
}

/// The kernel's count of the seconds in which a device had requests in flight.
fn in_flight(device: &Device) -> f64 {
    let text = device.get("../stat").expect("a device has statistics");
    let milliseconds = text.split_whitespace().nth(9).expect("io_ticks");
    milliseconds.parse::<f64>().expect("a number") / 1e3
}

#[test]
fn a_disk_is_busy_while_the_kernel_counts_it_so() {
    let test = "a_disk_is_busy_while_the_kernel_counts_it_so";
    let file = ScratchFile::in_memory(16 << 20);
    let Some(made) = LoopDevice::over(file.path(), Backing::Cached) else {
        unsupported(test, loop_device::CAPABILITY);
        return;
    };
    let device = made.device();
    let sink = Sink::start(Protocol::Http, &[]);
    let endpoint = sink.endpoint();
    let shape = Shape::new(Mode::Disk(Transfer::Read)).target(&device.path());
    let group = Cgroup::with_io().expect("a cgroup");
    let start = |shape| Plan::new(shape, &group).start().expect("the load starts");
    let mut first = start(shape.clone().count(1));
    let mut load = start(shape.threads(4).count(0));
    let agent = Agent::start(&["--interval", "1s", "--endpoint", &endpoint]);
    // Where several requests begin at once, the kernel may count all the time since the one before them.
    first.go();
    first.tally();
    let before = in_flight(device);
    load.go();
    std::thread::sleep(Duration::from_secs(6));
    load.stop();
    load.tally();
    let kernel = in_flight(device) - before;
    std::thread::sleep(Duration::from_secs(2));
    agent.terminate().exported();
    let accepted = sink.accepted();
    let of_device = |metric| {
        let points = metrics::of_entity(&accepted, "/", metric);
        let is_it = |point: &Point| {
            let name = point.attributes.get("system.device");
            name.is_some_and(|name| name == device.name())
        };
        points.into_iter().filter(is_it).collect::<Vec<Point>>()
    };
    let levels = of_device("crosstalk.saturation");
    // Intervals follow each other without a gap.
    let ends = levels.iter().map(|point| point.at as f64 / 1e9);
    let lengths = ends
        .clone()
        .skip(1)
        .zip(ends)
        .map(|(end, start)| end - start);
    let busy = levels.iter().skip(1).zip(lengths);
    let busy: f64 = busy
        .map(|(point, length)| point.value.expect("it is there") * length)
        .sum();
    println!("busy for {busy:.3} s, {kernel:.3} s by the kernel");
    assert!(kernel > 2.0, "four threads keep it busy");
    // The first interval has no length that is told.
    assert!(busy <= kernel + 0.1 && busy >= kernel - 1.1, "{levels:?}");
    assert!(levels.iter().all(|point| point.value <= Some(1.0)));
    let idle = levels.last().expect("some").value;
    assert!(idle < Some(0.1), "nobody reads any more: {idle:?}");
    let full = of_device("crosstalk.saturation.time");
    assert_only_grows(&full);
    let full = metrics::total(&full, |_| true);
    assert!(full <= kernel / 0.9 + 0.1, "{full} s of {kernel} s");
    // 5.7 s of 6 s.
    assert!(kernel < 5.7 || full >= 3.0, "{full} s of {kernel} s");
}

#[test]
fn cardinality_adds_up() {
    let output = crosstalk(&["agent", "--once", "--cardinality", "--interval", "1s"]).output();
    let text = String::from_utf8(output.expect("the binary starts").stdout).expect("text");
    let lines: Vec<(usize, &str)> = text
        .lines()
        .map(|line| line.trim().split_once("  ").expect("number and name"))
        .map(|(number, name)| (number.parse().expect("a number"), name))
        .collect();
    let (all, metrics) = lines.split_last().expect("some lines");
    assert_eq!(all.1, "all");
    assert_eq!(
        all.0,
        metrics.iter().map(|(number, _)| number).sum::<usize>()
    );
    for metric in ["crosstalk.cpu.run.time", "crosstalk.agent.switches.seen"] {
        let is_there = metrics.iter().any(|(_, name)| *name == metric);
        assert!(is_there, "no {metric}: {text}");
    }
}
