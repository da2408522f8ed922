//! A collector that others wrote takes all that the agent sends, and reads the same in it.

use std::time::Duration;

use tests::agent::Agent;
use tests::capability::unsupported;
use tests::cgroup::Cgroup;
use tests::load::{Load, spinner};
use tests::receiver::Rotel;
use tests::sink::Protocol;

#[test]
fn rotel_takes_all_over_grpc() {
    takes_all(Protocol::Grpc, "rotel_takes_all_over_grpc");
}

#[test]
fn rotel_takes_all_over_http() {
    takes_all(Protocol::Http, "rotel_takes_all_over_http");
}

fn takes_all(protocol: Protocol, test: &str) {
    let rotel = match Rotel::start() {
        Ok(rotel) => rotel,
        Err(capability) => return unsupported(test, &capability),
    };
    let endpoint = rotel.endpoint(protocol);
    let args = ["--interval", "1s", "--compression", "gzip", "--protocol"];
    let args = [&args[..], &[protocol.name(), "--endpoint", &endpoint]].concat();
    let agent = Agent::start(&args);
    let groups = [Cgroup::new(), Cgroup::new()].map(|group| group.expect("a cgroup"));
    let mut loads: Vec<Load> = groups
        .iter()
        .map(|group| spinner(group, Duration::from_secs(3)))
        .collect();
    loads.iter_mut().for_each(Load::go);
    for load in &mut loads {
        load.wait_done().expect("the load ends");
    }
    let exported = agent.terminate().exported();
    let not_taken = exported.rejected + exported.refused + exported.superseded + exported.failed;
    assert!(exported.requests >= 3 && not_taken == 0, "{exported:?}");

    let log = rotel.log_of(exported.points);
    for (metric, kind) in [
        ("crosstalk.cpu.run.time", "Sum"),
        ("crosstalk.cpu.wait.time", "Sum"),
        ("crosstalk.cpu.interference.time", "Sum"),
        ("crosstalk.cpu.runqueue.delay", "ExponentialHistogram"),
        ("crosstalk.saturation", "Gauge"),
    ] {
        assert_eq!(kind_of(&log, metric), Some(kind), "{metric}");
    }
    for group in &groups {
        let attribute = format!("-> crosstalk.cgroup.path: Str({})", group.path());
        assert!(log.contains(&attribute), "{attribute}");
    }
}

/// What the collector takes a metric for.
fn kind_of<'a>(log: &'a str, metric: &str) -> Option<&'a str> {
    let name = format!("-> Name: {metric}");
    let mut lines = log.lines().skip_while(|line| line.trim() != name);
    lines.find_map(|line| line.trim().strip_prefix("-> DataType: "))
}
