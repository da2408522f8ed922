//! What a database answers is what the agent observed: totals, rates, quantiles, labels, and the end of who is gone.

use std::time::{Duration, Instant, SystemTime};

use tests::agent::Agent;
use tests::capability::{leaving_moment, unsupported};
use tests::cgroup::Cgroup;
use tests::container::Container;
use tests::load::{Load, spinner};
use tests::receiver::{Series, VictoriaMetrics, wait_until};
use tests::report::{BUCKET, CAUSES, Document};
use tests::stage::observe_while;
use tests::truth::Snapshot;

#[test]
fn totals_rates_and_quantiles_are_those_of_the_report() {
    const TEST: &str = "totals_rates_and_quantiles_are_those_of_the_report";
    let database = match VictoriaMetrics::start() {
        Ok(database) => database,
        Err(capability) => return unsupported(TEST, &capability),
    };
    let groups = [Cgroup::new(), Cgroup::new()].map(|group| group.expect("a cgroup"));
    let mut loads: Vec<Load> = groups
        .iter()
        .map(|group| spinner(group, Duration::from_secs(5)))
        .collect();
    let agent = agent(&database);
    let mut start = SystemTime::UNIX_EPOCH;
    let report = observe_while(&mut loads, &[], |_| start = SystemTime::now()).report;
    let exported = agent.terminate().exported();
    let not_taken = exported.rejected + exported.refused + exported.superseded + exported.failed;
    assert_eq!(not_taken, 0, "{exported:?}");

    for (group, other) in [(0, 1), (1, 0)] {
        let (path, culprit) = (groups[group].path(), groups[other].path());
        let of = Entity {
            database: &database,
            label: format!("crosstalk_cgroup_path=\"{path}\""),
        };
        assert_totals(&of, &report, &path, &culprit);
        let end = start + Duration::from_secs(5);
        let run = of.sum("rate", "cpu_run_time_seconds_total", "3s", end);
        let wait = of.sum("rate", "cpu_wait_time_seconds_total", "3s", end);
        // A load that never sleeps runs or waits: how much of each is the same at all times.
        let (share, run_s) = (run / (run + wait), report.figure(&path, "run_s"));
        let expected = run_s / (run_s + report.wait(&path));
        assert!(
            (share - expected).abs() <= 0.1 && (0.5..1.05).contains(&(run + wait)),
            "runs {run} s and waits {wait} s of each second, and {expected} of the time in the report"
        );
        let p99 = of.p99();
        let expected = report.cpu(&path)["delay"]["p99_s"].as_f64();
        let expected = expected.unwrap_or_else(|| panic!("{}", report.describe(&path)));
        assert!(
            p99 <= expected * BUCKET && p99 >= expected / BUCKET,
            "p99 is {p99} s, and {expected} s in the report"
        );
    }
}

#[test]
fn who_lived_five_seconds_has_a_name_exact_totals_and_an_end() {
    const TEST: &str = "who_lived_five_seconds_has_a_name_exact_totals_and_an_end";
    let database = match VictoriaMetrics::start() {
        Ok(database) => database,
        Err(capability) => return unsupported(TEST, &capability),
    };
    let root = Cgroup::new().expect("a cgroup");
    let kubepods = root.child("kubepods").expect("a cgroup");
    let burstable = kubepods.child("burstable").expect("a cgroup");
    let container = Container::new(&burstable, 1, ["shop", "checkout-7d9f-x2", "app"]);
    let mut load = spinner(&container.cgroup, Duration::from_secs(5));
    let before = Snapshot::at_rest(&container.cgroup);
    let agent = agent(&database);
    // A name that comes late would begin a second series.
    wait_until("a second interval", || {
        let intervals = database.values("crosstalk_agent_entities");
        intervals.iter().any(|values| values.len() > 1)
    });
    load.go();
    load.wait_done().expect("the load ends");
    let truth = Snapshot::at_rest(&container.cgroup).since(&before);
    let of = Entity {
        database: &database,
        label: format!("container_id=\"{}\"", container.id),
    };
    drop((load, container));
    let gone = Instant::now();
    let slack = 0.002 * truth.run_s() + leaving_moment() * truth.slices as f64;
    // The interval in which it ended is still to come.
    wait_until("its exact run time", || {
        let told = of.all("increase", "cpu_run_time_seconds_total");
        let steal: f64 = values(&of.all("increase", "cpu_steal_time_seconds_total")).sum();
        (values(&told).sum::<f64>() - truth.run_s()).abs() <= slack + steal
    });
    let run = of.all("increase", "cpu_run_time_seconds_total");
    let [one] = &run[..] else {
        panic!("one container is one series: {run:?}");
    };
    for (label, expected) in [
        ("k8s_namespace_name", "shop"),
        ("k8s_pod_name", "checkout-7d9f-x2"),
        ("k8s_container_name", "app"),
        ("crosstalk_entity_kind", "container"),
    ] {
        let told = one.labels.get(label).map(String::as_str);
        assert_eq!(told, Some(expected), "{label} in {:?}", one.labels);
    }

    let series = format!("crosstalk_cpu_run_time_seconds_total{{{}}}", of.label);
    let values = database.values(&series);
    assert!(!has_end(&values), "it may still come back: {values:?}");
    // It ends because the agent says so, and not because nothing came any more.
    while !has_end(&database.values(&series)) {
        let waited = gone.elapsed();
        assert!(waited < Duration::from_mins(4), "no end after {waited:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
    let alive = database.query(&series, SystemTime::now());
    assert!(alive.is_empty(), "alive after its end: {alive:?}");
    let total = of.all("increase", "cpu_run_time_seconds_total");
    assert_eq!(total, run, "it grew after its end");
    agent.terminate().exported();
}

fn agent(database: &VictoriaMetrics) -> Agent {
    let endpoint = database.endpoint();
    // A database for metrics takes no events.
    Agent::start(&[
        "--interval",
        "1s",
        "--events",
        "false",
        "--backend",
        "victoriametrics",
        "--endpoint",
        &endpoint,
    ])
}

/// Both see the same events, yet each has programs of its own, that begin and end at their time.
fn assert_totals(of: &Entity<'_>, report: &Document, path: &str, culprit: &str) {
    let now = SystemTime::now();
    let same = |what: &str, ours: f64, report: f64| {
        assert!(
            (ours - report).abs() <= 0.005 * report + 0.010,
            "{what}: {ours} in the database, {report} in the report"
        );
    };
    let run = of.sum("increase", "cpu_run_time_seconds_total", "10m", now);
    same("run time", run, report.figure(path, "run_s"));
    let waits = of.all("increase", "cpu_wait_time_seconds_total");
    for cause in CAUSES {
        let told = values(&with(&waits, "crosstalk_cause", cause)).sum();
        same(cause, told, report.cause(path, cause));
    }
    let interference = of.all("increase", "cpu_interference_time_seconds_total");
    let named = values(&with(&interference, "crosstalk_culprit_name", culprit)).sum::<f64>();
    let others = values(&with(&interference, "crosstalk_culprit_kind", "other")).sum::<f64>();
    // What a culprit took before it had a series of its own stays with the others.
    let blame = report.blame(path, culprit);
    same("the culprit, at most", named.max(blame), blame);
    same("the culprit, at least", (named + others).min(blame), blame);
    assert!(named >= 0.9 * blame, "{named} of {blame} are the culprit's");
}

/// What a database has of one entity.
struct Entity<'a> {
    database: &'a VictoriaMetrics,
    label: String,
}

impl Entity<'_> {
    /// A function of each series of a metric, over all of the test.
    fn all(&self, function: &str, metric: &str) -> Vec<Series> {
        let query = format!("{function}(crosstalk_{metric}{{{}}}[10m])", self.label);
        self.database.query(&query, SystemTime::now())
    }

    /// The sum over all series of a metric, over a window before some time; 0 of those that do not exist.
    fn sum(&self, function: &str, metric: &str, window: &str, at: SystemTime) -> f64 {
        let label = &self.label;
        let query = format!("sum({function}(crosstalk_{metric}{{{label}}}[{window}]))");
        values(&self.database.query(&query, at)).sum()
    }

    /// A bucket that nothing fell into yet does not exist in the database: it is told to count from 0.
    fn p99(&self) -> f64 {
        let buckets = format!(
            "crosstalk_cpu_runqueue_delay_seconds_bucket{{{}}}",
            self.label
        );
        let query =
            format!("histogram_quantile(0.99, sum(increase_pure({buckets}[10m])) by (vmrange))");
        let found = self.database.query(&query, SystemTime::now());
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].value
    }
}

fn with(series: &[Series], label: &str, value: &str) -> Vec<Series> {
    let has = |one: &&Series| one.labels.get(label).map(String::as_str) == Some(value);
    series.iter().filter(has).cloned().collect()
}

fn values(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().map(|one| one.value)
}

/// Whether the values of the one series that there is end with the word that there is none any more.
fn has_end(values: &[Vec<Option<f64>>]) -> bool {
    let [one] = values else {
        panic!("one container is one series: {values:?}");
    };
    one.last() == Some(&None)
}
