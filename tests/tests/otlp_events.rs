//! A neighbor that makes others wait is told of as events: each of them once, over whatever a receiver does.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use tests::agent::Agent;
use tests::capability::test_cpu;
use tests::cgroup::{Cgroup, Weight};
use tests::events::{Event, events};
use tests::load::{Load, Plan};
use tests::metrics;
use tests::shape::{Mode, Shape};
use tests::sink::{Protocol, Reply, Sink};

/// Until then the agent judges nobody.
const WARM_UP: Duration = Duration::from_secs(31);
const STARTED: &str = "crosstalk.interference.started";
const ENDED: &str = "crosstalk.interference.ended";

/// A service of little weight, and loops that take its CPU.
struct Scene {
    victim: Cgroup,
    culprit: Cgroup,
    loads: [Load; 2],
}

impl Scene {
    fn new() -> Self {
        let [victim, culprit] = [Cgroup::new(), Cgroup::new()].map(|one| one.expect("a cgroup"));
        // It waits for more than the 10 ms that make a wait matter.
        victim.set_weight(Weight::Tenth).expect("our own cgroup");
        let milli = Duration::from_millis(2);
        let served = Shape::new(Mode::Sleeper).threads(2);
        let served = served.period(milli).work(milli);
        let noise = Shape::new(Mode::Spin).threads(4);
        let loads = [(served, &victim), (noise, &culprit)].map(|(shape, cgroup)| {
            let plan = Plan::new(shape, cgroup).on(&[test_cpu()]);
            plan.start().expect("the load starts")
        });
        Self {
            victim,
            culprit,
            loads,
        }
    }
}

fn agent(sink: &Sink, protocol: Protocol, more: &[&str]) -> Agent {
    let endpoint = sink.endpoint();
    let args = ["--interval", "1s", "--timeout", "2s", "--protocol"];
    let args = [&args[..], &[protocol.name(), "--endpoint", &endpoint], more].concat();
    Agent::start(&args)
}

/// What was told of one victim, in the order in which it came.
fn told(sink: &Sink, victim: &Cgroup) -> Vec<Event> {
    let all = events(&sink.accepted_logs()).into_iter();
    all.filter(|event| event.victim() == victim.path())
        .collect()
}

fn has_started(sink: &Sink, victim: &Cgroup) -> bool {
    told(sink, victim).iter().any(|event| event.name == STARTED)
}

#[test]
fn an_episode_is_told_once_whatever_the_receiver_does_and_ends_with_the_agent() {
    let script = [Reply::Unavailable, Reply::Cut, Reply::Later(1)];
    let sinks = [Protocol::Http, Protocol::Grpc].map(|protocol| {
        let sink = Sink::start(protocol, &[]).log_script(&script);
        (protocol, sink)
    });
    let mut scene = Scene::new();
    let agents = sinks.each_ref().map(|(protocol, sink)| {
        // The other one tells no names.
        let names = if *protocol == Protocol::Http {
            "full"
        } else {
            "hash"
        };
        agent(sink, *protocol, &["--culprit-names", names])
    });
    std::thread::sleep(WARM_UP);
    scene.loads.iter_mut().for_each(Load::go);
    for (_, sink) in &sinks {
        sink.wait_until("the start", || has_started(sink, &scene.victim));
    }
    // Some seconds in the episode are counted.
    std::thread::sleep(Duration::from_secs(3));
    let logs = agents.map(|agent| {
        let ended = agent.terminate();
        assert!(ended.status.success(), "{}", ended.log);
        ended.log
    });
    for ((protocol, sink), log) in sinks.iter().zip(&logs) {
        check(*protocol, sink, &scene);
        let all = events(&sink.accepted_logs()).len();
        let summary =
            format!("exported {all} events; 0 rejected, 0 refused, 0 dropped, 0 not delivered");
        assert!(log.contains(&summary), "no `{summary}` in {log}");
    }
    scene.loads.iter_mut().for_each(Load::stop);
}

fn check(protocol: Protocol, sink: &Sink, scene: &Scene) {
    let refused = sink
        .logs()
        .iter()
        .filter(|one| !one.reply.is_accepted())
        .count();
    assert_eq!(refused, 3, "the faults were staged");
    let told = told(sink, &scene.victim);
    let names: Vec<&str> = told.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, [STARTED, ENDED], "{told:#?}");
    let ids: BTreeSet<&str> = told
        .iter()
        .map(|event| event.text("crosstalk.episode.id"))
        .collect();
    assert_eq!(ids.len(), 1, "start and end have one id");
    let [start, end] = &told[..] else {
        unreachable!("there are two");
    };
    assert_eq!(
        (start.severity.as_str(), end.severity.as_str()),
        ("WARN", "INFO")
    );
    assert!(start.at < end.at);
    assert_eq!(end.text("crosstalk.episode.end_reason"), "agent stopped");
    for event in &told {
        assert_eq!(event.text("crosstalk.resource"), "cpu");
        assert!(event.number("crosstalk.lost.share") >= 0.25, "{event:?}");
        assert!(
            event.number("crosstalk.episode.duration") >= 2.5,
            "{event:?}"
        );
        assert!(event.number("crosstalk.threshold.severe") > 0.0);
        assert_eq!(event.text("crosstalk.rules.hash").len(), 16);
        check_culprit(protocol, event, scene);
    }
    let metric = |name| metrics::of_entity(&sink.accepted(), &scene.victim.path(), name);
    if protocol == Protocol::Grpc {
        let interference = format!("{:?}", metric("crosstalk.cpu.interference.time"));
        assert!(
            interference.contains("crosstalk.culprit.name"),
            "{interference}"
        );
        assert!(
            !interference.contains(&scene.culprit.path()),
            "{interference}"
        );
    }
    let on_cpu = |of: &metrics::Attributes| of["crosstalk.resource"] == "cpu";
    let episodes = metrics::total(&metric("crosstalk.episodes"), on_cpu);
    assert!((episodes - 1.0).abs() < 1e-9, "{episodes} episodes");
    let time = metrics::total(&metric("crosstalk.episode.time"), on_cpu);
    let duration = end.number("crosstalk.episode.duration");
    assert!(
        (time - duration).abs() < 1e-6,
        "{time} s counted, {duration} s told"
    );
}

fn check_culprit(protocol: Protocol, event: &Event, scene: &Scene) {
    let (names, path) = (event.texts("crosstalk.culprit.name"), scene.culprit.path());
    let own = scene.victim.path();
    assert!(event.body.contains(&own), "{}", event.body);
    match protocol {
        Protocol::Http => {
            // Others of a busy machine may be beside it.
            assert!(names.contains(&path), "{event:?}");
            assert!(event.body.contains(&path), "{}", event.body);
        }
        Protocol::Grpc => {
            let is_hash =
                |name: &String| name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(!names.is_empty() && names.iter().all(is_hash), "{names:?}");
            assert!(!format!("{event:?}").contains(&path), "{event:?}");
        }
    }
    let kinds = event.texts("crosstalk.culprit.kind");
    assert!(kinds.contains(&"cgroup".to_owned()), "{kinds:?}");
    assert_eq!(kinds.len(), names.len());
}

#[test]
fn a_receiver_that_refuses_events_gets_metrics_all_the_same() {
    let sink = Sink::start(Protocol::Http, &[]).log_script(&[Reply::Refuse; 100]);
    let mut scene = Scene::new();
    scene.loads.iter_mut().for_each(Load::go);
    let agent = agent(&sink, Protocol::Http, &[]);
    sink.wait_until("an event", || !sink.logs().is_empty());
    let first = &events(std::slice::from_ref(&sink.logs()[0].request))[0];
    let decided = UNIX_EPOCH + Duration::from_nanos(first.at);
    let took = decided.elapsed().expect("it is over");
    assert!(took < Duration::from_secs(2), "it came after {took:?}");
    let before = sink.received().len();
    sink.wait("metrics after it", |received| received.len() > before + 1);
    let ended = agent.terminate();
    let refused: usize = sink
        .logs()
        .iter()
        .map(|one| events(std::slice::from_ref(&one.request)).len())
        .filter(|events| *events == 1)
        .sum();
    let summary =
        format!("exported 0 events; 0 rejected, {refused} refused, 0 dropped, 0 not delivered");
    assert!(
        ended.log.contains(&summary),
        "no `{summary}` in {}",
        ended.log
    );
    scene.loads.iter_mut().for_each(Load::stop);
}

#[test]
fn without_events_none_come() {
    let sink = Sink::start(Protocol::Http, &[]);
    let mut scene = Scene::new();
    scene.loads.iter_mut().for_each(Load::go);
    let agent = agent(&sink, Protocol::Http, &["--events", "false"]);
    // The counts are metrics, and are there all the same.
    let path = scene.victim.path();
    sink.wait_until("an episode among the metrics", || {
        !metrics::of_entity(&sink.accepted(), &path, "crosstalk.episodes").is_empty()
    });
    agent.terminate();
    assert!(sink.logs().is_empty());
    scene.loads.iter_mut().for_each(Load::stop);
}
