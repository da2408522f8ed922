//! A node of Kubernetes as the kubelet makes it: each container has its own name and its own time, wherever the name is
//! told, however the cgroups are called, and however fast pods come and go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::capability::{emulated, leaving_moment, unsupported};
use tests::cgroup::Cgroup;
use tests::kubelet::{LAYOUTS, Listed, Node, Pod, Source};
use tests::load::{Load, Plan};
use tests::metrics::{self, Attributes, Point};
use tests::shape::{Mode, Shape};
use tests::sink::{Protocol, Sink};
use tests::truth::Snapshot;

/// What each container wants.
const WORK: Duration = Duration::from_millis(30);
/// Between two pods that begin.
const PERIOD: Duration = Duration::from_millis(100);
/// Until then all sources have told a name.
const LASTS: Duration = Duration::from_secs(3);

/// A container at work, and what the kernel says of it.
struct Work {
    pod: Pod,
    load: Load,
    before: Snapshot,
}

/// What a container used for certain, and what it used at most, seconds.
#[derive(Clone, Copy, Debug)]
struct Used {
    least: f64,
    most: f64,
}

impl Work {
    fn begin(pod: Pod) -> Self {
        let plan = Plan::new(Shape::new(Mode::Spin).cpu_time(WORK), &pod.inside);
        let mut load = plan.start().expect("the load starts");
        let before = Snapshot::at_rest(&pod.inside);
        load.go();
        Self { pod, load, before }
    }

    /// Waits for its end; the pod is left.
    fn end(mut self) -> (Pod, Used) {
        self.load.wait_done().expect("the load ends");
        let work = Snapshot::at_rest(&self.pod.inside).since(&self.before);
        // Its process came from elsewhere and is about to end, which it does in its cgroup.
        drop(self.load);
        let most = whole_at_rest(&self.pod.container).unwrap_or(work.run_s() + 0.005);
        // It has some twenty slices beside those of its work.
        let moments = leaving_moment() * (work.slices + 20) as f64;
        let used = Used {
            least: work.run_s() * 0.99 - moments,
            most: most * 1.01 + moments,
        };
        (self.pod, used)
    }
}

/// By how much the clocks of a single container may differ, seconds: under emulation an interrupt takes milliseconds.
fn noise() -> f64 {
    if emulated() { 0.005 } else { 0.0 }
}

/// What `cpu.stat` says of a cgroup whose processes were waited for, seconds; `None` where its hierarchy does not say. One
/// that was waited for may be on its CPU for a moment longer.
fn whole_at_rest(cgroup: &Cgroup) -> Option<f64> {
    let mut before = whole(cgroup)?;
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let now = whole(cgroup)?;
        if now == before {
            return Some(now as f64 / 1e6);
        }
        before = now;
    }
}

/// In microseconds.
fn whole(cgroup: &Cgroup) -> Option<u64> {
    let stat = fs::read_to_string(cgroup.dir().join("cpu.stat")).expect("our own cgroup");
    let mut lines = stat.lines();
    let micros = lines.find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(micros.parse().expect("microseconds"))
}

/// Starts an agent that asks all sources.
fn agent(node: &Node, sink: &Sink) -> Agent {
    let (url, endpoint) = (node.url(), sink.endpoint());
    let args = ["--interval", "1s", "--kubelet", &url, "--endpoint"];
    Agent::start(&[&args[..], &[&endpoint]].concat())
}

/// All that was told, as a receiver has it in the end.
struct Told(Vec<Point>);

impl Told {
    fn of(sink: &Sink) -> Self {
        Self(sink.accepted().iter().flat_map(metrics::points).collect())
    }

    /// Time on CPUs of all Resources that are wanted, seconds. That of a name that came late is a part of it.
    fn run_s(&self, wanted: impl Fn(&Attributes) -> bool) -> f64 {
        let mut latest = BTreeMap::new();
        for point in &self.0 {
            let is_time = ["crosstalk.cpu.run.time", "crosstalk.cpu.steal.time"]
                .contains(&point.metric.as_str());
            if let Some(value) = point.value.filter(|_| is_time && wanted(&point.resource)) {
                latest.insert((&point.resource, &point.metric), value);
            }
        }
        latest.values().sum()
    }

    /// Resources with a container's id.
    fn of_container(&self, id: &str) -> BTreeSet<&Attributes> {
        let resources = self.0.iter().map(|point| &point.resource);
        resources.filter(|resource| is_of(resource, id)).collect()
    }

    /// The latest amount of what the agent says of itself.
    fn own(&self, metric: &str, reason: Option<&str>) -> f64 {
        let is_wanted = |point: &&Point| {
            let told = point.attributes.get("crosstalk.reason");
            point.metric == metric && told.map(String::as_str) == reason
        };
        let latest = self.0.iter().rev().filter(is_wanted);
        let latest = { latest }.find_map(|point| point.value);
        latest.unwrap_or_else(|| panic!("no {metric} of {reason:?}"))
    }
}

fn is_of(resource: &Attributes, id: &str) -> bool {
    resource.get("container.id").is_some_and(|it| it == id)
}

/// Whether a Resource has all names of a container; panics where it has those of another.
fn is_named(resource: &Attributes, pod: &Listed, path: &str) -> bool {
    let service = match pod.source {
        Source::LogFolders => None,
        Source::PodsApi | Source::Kubelet => pod.deployment.as_deref(),
    };
    let always = [
        ("crosstalk.entity.kind", "container"),
        ("crosstalk.cgroup.path", path),
        ("k8s.pod.uid", &pod.uid),
    ];
    for (key, expected) in always {
        let told = resource.get(key).map(String::as_str);
        assert_eq!(told, Some(expected), "{key} of {pod:?} in {resource:?}");
    }
    let names = [
        ("k8s.namespace.name", Some(pod.namespace.as_str())),
        ("k8s.pod.name", Some(&pod.name)),
        ("k8s.container.name", Some(&pod.container)),
        ("service.namespace", Some(&pod.namespace)),
        ("service.name", service),
        ("k8s.deployment.name", service),
    ];
    let told = names.map(|(key, expected)| {
        let told = resource.get(key).map(String::as_str);
        let is_right = told.is_none() || told == expected;
        assert!(is_right, "{key} of {pod:?} in {resource:?}");
        told == expected
    });
    told == [true; 6]
}

#[test]
fn every_layout_is_known_and_named_by_every_source() {
    let test = "every_layout_is_known_and_named_by_every_source";
    let Some(node) = Node::start() else {
        return unsupported(test, "a host without a kubelet");
    };
    let sink = Sink::start(Protocol::Http, &[]);
    let agent = agent(&node, &sink);
    let kinds = Source::ALL
        .into_iter()
        .flat_map(|source| LAYOUTS.iter().map(move |layout| (layout, source)));
    let works: Vec<Work> = kinds
        .zip(0..)
        .map(|((layout, source), number)| Work::begin(node.pod(number, layout, source)))
        .collect();
    let done: Vec<(Pod, Used)> = works.into_iter().map(Work::end).collect();
    sink.wait_until("a name of each container", || {
        let told = Told::of(&sink);
        done.iter().all(|(pod, _)| {
            let resources = told.of_container(&pod.listed.id);
            let path = pod.container.path();
            let mut resources = resources.into_iter();
            resources.any(|resource| is_named(resource, &pod.listed, &path))
        })
    });
    agent.terminate().exported();
    let told = Told::of(&sink);
    for (pod, used) in &done {
        let run_s = told.run_s(|resource| is_of(resource, &pod.listed.id));
        assert!(
            (used.least - noise()..=used.most + noise()).contains(&run_s),
            "{run_s} s are told of {:?}, which used {used:?}",
            pod.listed
        );
    }
    // What is inside a container is the container.
    let containers: BTreeSet<String> = done.iter().map(|(pod, _)| pod.container.path()).collect();
    for point in &told.0 {
        // The agent's own Resource has none.
        let path = point.resource.get("crosstalk.cgroup.path");
        let path = path.map_or("", String::as_str);
        let is_inside = |container: &String| path.starts_with(&format!("{container}/"));
        assert!(!containers.iter().any(is_inside), "{path} is told");
    }
}

/// Bytes of all maps that a process holds.
fn bytes_of_maps(id: u32) -> u64 {
    let folder = fs::read_dir(format!("/proc/{id}/fdinfo")).expect("our own child");
    let infos = folder.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let maps = infos.filter(|info| info.contains("\nmap_type:"));
    let bytes = maps.filter_map(|info| {
        let mut lines = info.lines();
        let bytes = lines.find_map(|line| line.strip_prefix("memlock:"))?;
        bytes.trim().parse::<u64>().ok()
    });
    bytes.sum()
}

#[test]
fn pods_come_and_go() {
    let Some(node) = Node::start() else {
        return unsupported("pods_come_and_go", "a host without a kubelet");
    };
    // A process takes some ten milliseconds to make under emulation: fewer there, as fast as they can be made.
    let count = if emulated() { 60 } else { 300 };
    let sink = Sink::start(Protocol::Http, &[]);
    let agent = agent(&node, &sink);
    let maps = bytes_of_maps(agent.id());
    assert!(maps > 0, "no maps are seen");

    // Some live for three seconds, in which all sources have told their names; others as long as their work takes.
    let (start, mut alive, mut done) = (Instant::now(), VecDeque::new(), Vec::new());
    let mut end = |work: Work, lasted: bool| {
        let path = work.pod.container.path();
        let (pod, used) = work.end();
        done.push((pod.listed.clone(), path, used, lasted));
    };
    for number in 0..count {
        let due = start + PERIOD * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let layout = &LAYOUTS[number as usize % LAYOUTS.len()];
        let source = Source::ALL[number as usize / 2 % Source::ALL.len()];
        let work = Work::begin(node.pod(number, layout, source));
        if number.is_multiple_of(2) {
            end(work, false);
        } else {
            alive.push_back((Instant::now() + LASTS, work));
        }
        while alive
            .front()
            .is_some_and(|(until, _)| *until <= Instant::now())
        {
            end(alive.pop_front().expect("there is one").1, true);
        }
    }
    for (until, work) in alive {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        end(work, true);
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();

    assert_eq!(bytes_of_maps(agent.id()), maps, "its maps grow");
    agent.terminate().exported();
    let told = Told::of(&sink);

    let (mut sum, mut named) = (0.0, 0);
    for (pod, path, used, lasted) in &done {
        let run_s = told.run_s(|resource| is_of(resource, &pod.id));
        assert!(
            run_s <= used.most + noise(),
            "{run_s} s are told of {pod:?}, which used {used:?}"
        );
        sum += run_s;
        let resources = told.of_container(&pod.id).into_iter();
        let all = resources.filter(|resource| is_named(resource, pod, path));
        let is_named = all.count() > 0;
        assert!(is_named || !lasted, "no name of {pod:?}");
        named += u32::from(is_named);
    }
    let text = |resource: &Attributes, key: &str| resource.get(key).cloned().unwrap_or_default();
    let is_nameless =
        |resource: &Attributes| text(resource, "crosstalk.cgroup.path").starts_with("cgroup ");
    let resources = told.0.iter().map(|point| &point.resource);
    let nameless: BTreeSet<&Attributes> = resources.filter(|one| is_nameless(one)).collect();
    let lost_s = told.run_s(is_nameless);
    let other_s = told.run_s(|resource| text(resource, "crosstalk.entity.kind") == "other");
    let lost = |reason| told.own("crosstalk.agent.lost", Some(reason));
    let (names_lost, slots_lost) = (lost("names"), lost("slots"));
    let (least, most) = done
        .iter()
        .fold((0.0, 0.0), |(least, most), (_, _, used, _)| {
            (least + used.least, most + used.most)
        });
    println!(
        "{count} pods at {rate:.1} a second, {named} with names; {sum:.3} s told, {lost_s:.3} s of {} nameless ({names_lost}), \
         {other_s:.3} s of others ({slots_lost}); {least:.3} to {most:.3} s used",
        nameless.len()
    );
    assert!(sum <= most, "{sum} s are told, and {most} s were used");
    assert!(
        sum + lost_s + other_s >= least,
        "{sum} s, {lost_s} s and {other_s} s are told"
    );
    assert!(
        nameless.len() as f64 <= names_lost,
        "{nameless:?} and {names_lost} lost names"
    );
    let is_counted = other_s == 0.0 || slots_lost > 0.0;
    assert!(
        is_counted,
        "{other_s} s are nobody's, and nobody lacked a slot"
    );
}
