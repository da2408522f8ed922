//! Whatever a receiver does, every point is accounted for, on both sides alike.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use tests::agent::{Agent, Exported};
use tests::cgroup::Cgroup;
use tests::load::Plan;
use tests::metrics::{self, Point};
use tests::shape::{Mode, Shape};
use tests::sink::{Protocol, Received, Reply, Sink};
use tests::truth::Snapshot;

fn agent(sink: &Sink, protocol: Protocol, more: &[&str]) -> Agent {
    let endpoint = sink.endpoint();
    let args = ["--interval", "1s", "--timeout", "1s", "--protocol"];
    let args = [&args[..], &[protocol.name(), "--endpoint", &endpoint], more].concat();
    Agent::start(&args)
}

/// What the receiver saw, in the agent's words.
fn seen(received: &[Received]) -> Exported {
    let points = |wanted: fn(Reply) -> bool| {
        let of = received.iter().filter(|received| wanted(received.reply));
        of.map(Received::points).sum::<u64>()
    };
    let number = |wanted: fn(Reply) -> bool| {
        received
            .iter()
            .filter(|received| wanted(received.reply))
            .count() as u64
    };
    let rejected = received.iter().filter_map(|received| match received.reply {
        Reply::Reject(points) => u64::try_from(points).ok(),
        _ => None,
    });
    let rejected = rejected.sum();
    let is_failed = |reply| {
        matches!(
            reply,
            Reply::Unavailable | Reply::Later(_) | Reply::Hang | Reply::Cut
        )
    };
    Exported {
        points: points(Reply::is_accepted) - rejected,
        requests: number(Reply::is_accepted),
        rejected,
        refused: 0,
        superseded: points(is_failed),
        failed: number(is_failed),
    }
}

fn faults(protocol: Protocol) {
    let script = [
        Reply::Accept,
        Reply::Unavailable,
        Reply::Later(2),
        Reply::Hang,
        Reply::Cut,
        Reply::Reject(3),
    ];
    let sink = Sink::start(protocol, &script);
    let agent = agent(&sink, protocol, &["--header", "x-tenant=one"]);
    sink.wait("two requests after the faults", |received| {
        received.len() >= script.len() + 2
    });
    let exported = agent.terminate().exported();
    let received = sink.received();
    assert_eq!(exported, seen(&received));
    assert_eq!(exported.rejected, 3);
    assert_eq!(exported.failed, 4);
    let later = received[3].at - received[2].at;
    assert!(
        later >= Duration::from_secs(2),
        "asked for 2 s, and came after {later:?}"
    );
    assert!(
        received
            .iter()
            .all(|one| one.tenant.as_deref() == Some("one"))
    );
    assert!(received.iter().all(|one| one.is_compressed != Some(false)));
}

#[test]
fn every_point_is_accounted_for_over_http() {
    faults(Protocol::Http);
}

#[test]
fn every_point_is_accounted_for_over_grpc() {
    faults(Protocol::Grpc);
}

#[test]
fn a_refused_request_is_divided_until_it_is_known_who_is_refused() {
    let sink = Sink::start(Protocol::Http, &[Reply::Refuse]);
    let agent = agent(&sink, Protocol::Http, &["--compression", "none"]);
    sink.wait("the halves", |received| received.len() >= 3);
    agent.terminate();
    let received = sink.received();
    assert_eq!(received[0].is_compressed, Some(false));
    let resources = |at: usize| received[at].request.resource_metrics.len();
    assert_eq!(resources(0), resources(1) + resources(2));
    let difference = received[2].at - received[0].at;
    assert!(difference < Duration::from_millis(500), "{difference:?}");
}

#[test]
fn totals_are_right_after_a_time_without_a_receiver() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    // Nobody listens there now.
    drop(listener);
    let endpoint = format!("http://{address}");
    let agent = Agent::start(&["--interval", "1s", "--endpoint", &endpoint]);
    let cgroup = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Spin).wall(Duration::from_secs(3));
    let mut load = Plan::new(shape, &cgroup).start().expect("the load starts");
    let before = Snapshot::at_rest(&cgroup);
    load.go();
    load.wait_done().expect("the load ends");
    let truth = Snapshot::at_rest(&cgroup).since(&before);
    let listener = TcpListener::bind(address).expect("the same port");
    let sink = Sink::on(listener, Protocol::Http, &[]);
    sink.wait("a request", |received| !received.is_empty());
    let exported = agent.terminate().exported();
    assert!(
        exported.failed > 0,
        "there was a receiver all along: {exported:?}"
    );
    let run = metrics::of_entity(&sink.accepted(), &cgroup.path(), "crosstalk.cpu.run.time");
    let (told, true_s) = (metrics::total(&run, |_| true), truth.run_s());
    let steal = metrics::of_entity(&sink.accepted(), &cgroup.path(), "crosstalk.cpu.steal.time");
    let told = told + metrics::total(&steal, |_| true);
    assert!(
        (told - true_s).abs() <= 0.01 * true_s + 0.005,
        "{told} s told, {true_s} s true"
    );
    assert_eq!(run[0].value, Some(0.0), "a series begins at 0");
    assert_eq!(run[0].at, run[0].start);
}

fn deltas(protocol: Protocol) {
    let script = [
        Reply::Accept,
        Reply::Unavailable,
        Reply::Unavailable,
        Reply::Accept,
        Reply::Hang,
        Reply::Cut,
        Reply::Reject(3),
    ];
    let sink = Sink::start(protocol, &script);
    let more = ["--temporality", "delta", "--detail", "all"];
    let agent = agent(&sink, protocol, &more);
    let cgroup = Cgroup::new().expect("a cgroup");
    let shape = Shape::new(Mode::Spin).wall(Duration::from_secs(4));
    let mut load = Plan::new(shape, &cgroup).start().expect("the load starts");
    let before = Snapshot::at_rest(&cgroup);
    load.go();
    load.wait_done().expect("the load ends");
    let truth = Snapshot::at_rest(&cgroup).since(&before);
    sink.wait("two requests after the faults", |received| {
        received.len() >= script.len() + 2
    });
    let exported = agent.terminate().exported();
    let received = sink.received();
    assert_eq!(exported, seen(&received));
    let accepted = sink.accepted();
    let of = |metric| metrics::of_entity(&accepted, &cgroup.path(), metric);
    let told = ["crosstalk.cpu.run.time", "crosstalk.cpu.steal.time"];
    let told: f64 = told
        .map(|metric| metrics::total(&of(metric), |_| true))
        .iter()
        .sum();
    let true_s = truth.run_s();
    assert!(
        (told - true_s).abs() <= 0.01 * true_s + 0.005,
        "{told} s told, {true_s} s true"
    );
    let points: Vec<Point> = accepted.iter().flat_map(metrics::points).collect();
    assert_deltas(&points);
    // No answer says that the request did not arrive.
    let is_ambiguous = |reply| match protocol {
        Protocol::Http => matches!(reply, Reply::Hang | Reply::Cut),
        Protocol::Grpc => reply == Reply::Hang,
    };
    let ambiguous = received.iter().filter(|one| is_ambiguous(one.reply));
    let ambiguous = ambiguous.flat_map(|one| metrics::points(&one.request));
    let ambiguous = ambiguous.filter(|point| point.is_delta).count();
    let name = "crosstalk.agent.export.points.ambiguous";
    let counted: Vec<Point> = points
        .into_iter()
        .filter(|point| point.metric == name)
        .collect();
    let counted = metrics::total(&counted, |_| true);
    assert!(
        (counted - ambiguous as f64).abs() < 0.5,
        "{counted} of {ambiguous} are counted"
    );
}

/// Each has its own time, in which something came; gauges are as ever.
fn assert_deltas(points: &[Point]) {
    let mut ends = BTreeMap::new();
    for point in points {
        let is_own = point.metric.starts_with("crosstalk.agent.");
        // The SDK says of gauges, too, since when they are collected.
        assert!(point.is_delta == (point.start > 0) || is_own, "{point:?}");
        if !point.is_delta {
            continue;
        }
        // The SDK tells a delta of each series at each collection.
        let has_something = point.value > Some(0.0) || point.count > 0 || is_own;
        assert!(point.start < point.at && has_something, "{point:?}");
        assert_eq!(point.count, point.in_buckets);
        let series = (&point.resource, &point.metric, &point.attributes);
        if let Some(end) = ends.insert(series, point.at) {
            assert!(
                end <= point.start,
                "{point:?} overlaps with one until {end}"
            );
        }
    }
    for metric in [
        "crosstalk.cpu.runqueue.delay",
        "crosstalk.agent.switches.seen",
    ] {
        let of = ends.keys().filter(|(_, name, _)| *name == metric);
        assert!(of.count() > 0, "no deltas of {metric}");
    }
    let gauges = points.iter().filter(|point| !point.is_delta);
    assert!(gauges.count() > 0, "no gauges");
}

#[test]
fn deltas_add_up_to_what_the_kernel_says_over_http() {
    deltas(Protocol::Http);
}

#[test]
fn deltas_add_up_to_what_the_kernel_says_over_grpc() {
    deltas(Protocol::Grpc);
}

/// Memory that a process has, bytes.
fn memory(agent: &Agent) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id()));
    let status = status.expect("our own child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.expect("every process has memory");
    let number = line.trim().trim_end_matches(" kB").parse::<u64>();
    number.expect("a number of kilobytes") << 10
}

/// As many intervals as an hour has of ten seconds, and thousands of cgroups that come and go meanwhile. What an agent
/// needs for them in any case is told by another one, whose receiver takes everything.
#[test]
fn memory_is_bounded_while_nobody_takes_anything() {
    const INTERVALS: u32 = 360;
    const LENGTH: Duration = Duration::from_millis(100);
    const MOST: u64 = 8 << 20;
    let sinks = [(); 2].map(|()| Sink::start(Protocol::Http, &[]));
    let agents = sinks.each_ref().map(|sink| {
        let endpoint = sink.endpoint();
        Agent::start(&["--interval", "100ms", "--endpoint", &endpoint])
    });
    let [sink, _] = &sinks;
    let (home, away) = (
        Cgroup::new().expect("a cgroup"),
        Cgroup::new().expect("a cgroup"),
    );
    // A child, so that the controller is switched on for what is made beside it.
    let _first = away.child("first").expect("a cgroup");
    let churn = |count| {
        let work = Duration::from_millis(1);
        let shape = Shape::new(Mode::Churn).count(count).work(work);
        let plan = Plan::new(shape.dir(away.dir()), &home);
        let mut load = plan.start().expect("the load starts");
        load.go();
        load
    };
    // What is remembered of the dead has a bound of its own, which is reached here.
    churn(2_000).wait_done().expect("the load ends");
    sink.wait("some requests", |received| received.len() > 10);
    let before = agents.each_ref().map(memory);

    sink.then(Reply::Unavailable);
    let outage = std::time::Instant::now();
    let mut load = churn(2_000);
    load.wait_done().expect("the load ends");
    let rest = (INTERVALS * LENGTH).saturating_sub(outage.elapsed());
    std::thread::sleep(rest);
    let after = agents.each_ref().map(memory);
    let [more, anyway] = [0, 1].map(|agent| after[agent].saturating_sub(before[agent]));
    let failed = sink
        .received()
        .iter()
        .filter(|one| !one.reply.is_accepted())
        .count();
    println!(
        "{} KiB more after {failed} requests that failed, {} KiB without",
        more >> 10,
        anyway >> 10
    );
    assert!(failed > 0, "everything was taken");
    assert!(
        more <= anyway + MOST,
        "{more} bytes more, {anyway} in any case"
    );

    sink.then(Reply::Accept);
    let taken = sink.accepted().len();
    let [agent, _] = agents;
    assert_eq!(agent.terminate().exported(), seen(&sink.received()));
    assert!(sink.accepted().len() > taken, "the end brought nothing");
}

#[test]
fn the_end_comes_in_time_when_nobody_answers() {
    let sink = Sink::start(Protocol::Http, &[Reply::Hang; 100]);
    let endpoint = sink.endpoint();
    let agent = Agent::start(&[
        "--interval",
        "1s",
        "--timeout",
        "60s",
        "--shutdown-timeout",
        "2s",
        "--endpoint",
        &endpoint,
    ]);
    sink.wait("a request", |received| !received.is_empty());
    let start = std::time::Instant::now();
    let ended = agent.terminate();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(ended.exported(), seen(&sink.received()));
}
