//! How many series a full node has: 110 pods with two containers each, as many as a kubelet takes.

use std::time::Duration;

use serde_json::Value;
use tests::cgroup::Cgroup;
use tests::container::{Container, Pod};
use tests::load::{Load, Plan};
use tests::report::crosstalk;
use tests::shape::{Mode, Shape};

const PODS: u32 = 110;
/// Series of a node where histograms are one series each.
const MOST: usize = 3_000;
/// The same for VictoriaMetrics, where a histogram is its sum, its count, and a series for each bucket that holds something.
const MOST_WITH_BUCKETS: usize = 6_000;
/// That is promised where one in so many has been slowed down noticeably.
const AFFECTED: usize = 5;
/// Series of one container, whatever happens to it.
const MOST_OF_ONE: usize = 24;

/// One pod in ten works, with twenty wake-ups a second; the others wake up now and then. All of them together want most of
/// one CPU, so that they wait for each other sometimes.
fn shape(pod: u32) -> Shape {
    let (period, work) = if pod.is_multiple_of(10) {
        (50, 1_000)
    } else {
        (1_000, 500)
    };
    Shape::new(Mode::Sleeper)
        .period(Duration::from_millis(period))
        .work(Duration::from_micros(work))
}

fn once(how: &[&str]) -> String {
    let output = crosstalk(&[&["agent", "--once"], how].concat()).output();
    let output = output.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

/// 64-bit integers are text in the JSON of protobuf.
fn is_zero(number: &Value) -> bool {
    number
        .as_str()
        .map_or_else(|| number.as_u64() == Some(0), |text| text == "0")
}

/// Series of a metric: all of them, and as VictoriaMetrics keeps them.
fn series(metric: &Value) -> (usize, usize) {
    if let Some(points) = metric["exponentialHistogram"]["dataPoints"].as_array() {
        let buckets = points.iter().map(|point| {
            let counts = point["positive"]["bucketCounts"].as_array();
            let counts = counts.into_iter().flatten();
            let zero = usize::from(!is_zero(&point["zeroCount"]));
            zero + counts.filter(|count| !is_zero(count)).count()
        });
        return (points.len(), buckets.map(|buckets| buckets + 2).sum());
    }
    let points = metric["sum"]["dataPoints"].as_array();
    let points = points.or(metric["gauge"]["dataPoints"].as_array());
    let number = points
        .unwrap_or_else(|| panic!("no points in {metric}"))
        .len();
    (number, number)
}

#[test]
fn a_full_node_has_few_series() {
    let root = Cgroup::new().expect("a cgroup");
    let kubepods = root.child("kubepods").expect("a cgroup");
    let burstable = kubepods.child("burstable").expect("a cgroup");
    let pods = (0..PODS).map(|number| {
        let (namespace, name) = (
            format!("team-{}", number % 12),
            format!("service-{number}-0"),
        );
        Pod::new(&burstable, number, [&namespace, &name])
    });
    let pods: Vec<Pod> = pods.collect();
    let containers = pods.iter().zip(0..).flat_map(|(pod, number)| {
        ["app", "proxy"]
            .into_iter()
            .zip(0..)
            .map(move |(name, second)| (number, pod.container(2 * number + second, name)))
    });
    let containers: Vec<(u32, Container)> = containers.collect();
    let loads = containers.iter().map(|(pod, container)| {
        let plan = Plan::new(shape(*pod), &container.cgroup);
        let mut load = plan.start().expect("the load starts");
        load.go();
        load
    });
    let mut loads: Vec<Load> = loads.collect();

    let cardinality = once(&["--cardinality"]);
    let (host, calm) = costs(&once(&["--stdout"]), &containers, false);
    let (_, affected) = costs(&once(&["--stdout", "--detail", "all"]), &containers, true);
    loads.iter_mut().for_each(Load::stop);
    println!(
        "most of one: {calm:?} calm, {affected:?} affected; {host:?} of the rest\n{cardinality}"
    );
    let some = containers.len() / AFFECTED;
    let node = |of: fn(&Cost) -> usize| {
        of(&host) + some * of(&affected) + (containers.len() - some) * of(&calm)
    };
    assert!(node(|cost| cost.native) <= MOST);
    assert!(node(|cost| cost.with_buckets) <= MOST_WITH_BUCKETS);
    assert!(affected.native <= MOST_OF_ONE, "{affected:?}");
}

/// What is told of all else than the containers, and the most that is told of one of them: of those that were affected, or
/// of those that were not.
fn costs(told: &str, containers: &[(u32, Container)], of_affected: bool) -> (Cost, Cost) {
    let told: Value = serde_json::from_str(told).expect("JSON");
    let resources = told["resourceMetrics"].as_array().expect("a list").iter();
    let (mut rest, mut most, mut named) = (Cost::default(), Cost::default(), 0);
    for resource in resources {
        let text = resource["resource"].to_string();
        let metrics = resource["scopeMetrics"][0]["metrics"].as_array();
        let metrics = metrics.expect("a list");
        let cost = metrics.iter().map(series).fold(Cost::default(), Cost::plus);
        if !containers.iter().any(|(_, one)| text.contains(&one.id)) {
            rest = rest.plus((cost.native, cost.with_buckets));
            continue;
        }
        named += 1;
        let is_affected = metrics
            .iter()
            .any(|metric| metric["name"] == "crosstalk.cpu.runqueue.delay");
        if is_affected == of_affected {
            most = most.most(cost);
        }
    }
    assert_eq!(named, containers.len(), "containers with series");
    (rest, most)
}

/// Series of somebody: all of them, and as VictoriaMetrics keeps them.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    native: usize,
    with_buckets: usize,
}

impl Cost {
    fn plus(self, (native, with_buckets): (usize, usize)) -> Self {
        Self {
            native: self.native + native,
            with_buckets: self.with_buckets + with_buckets,
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            native: self.native.max(other.native),
            with_buckets: self.with_buckets.max(other.with_buckets),
        }
    }
}
