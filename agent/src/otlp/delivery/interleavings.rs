//! Whatever a receiver does and whatever happens meanwhile, it knows the truth in the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use clap::ValueEnum as _;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, metric::Data, number_data_point},
};
use proptest::prelude::*;

use super::*;
use crate::{
    canary::Outcome as Run,
    config::{Form, Temporality},
    entity::identify,
    model::{Identity, Model, fixture::Scene},
    names::Names,
    otlp::{
        ledger::{Ledger, Life, Limits},
        registry::Tier,
        resource::Host,
    },
    sample::{Cgroup, CgroupId, Party},
};

const RUN: &str = "crosstalk.cpu.run.time";
const WAIT: &str = "crosstalk.cpu.wait.time";
const DELAY: &str = "crosstalk.cpu.runqueue.delay";
/// Of the agent itself, a number and a time.
const SKIPPED: &str = "crosstalk.agent.intervals.skipped";
const CANARY: &str = "crosstalk.agent.canary.time";
/// In place of a cgroup.
const AGENT: &str = "";
/// The one that gets another name, the one that comes and goes, and the one that waits.
const PATHS: [&str; 3] = ["/renamed.service", "/job.service", "/victim.service"];
const JOB: CgroupId = CgroupId(11);

/// By cgroup and metric: nanoseconds, or how many values and the nanoseconds of all.
type Sums = BTreeMap<(String, String), (u64, u64)>;

/// What happens in an interval.
#[derive(Clone, Debug)]
struct Course {
    ran_ms: [u64; 3],
    waits: u64,
    gets_a_name: bool,
    comes_or_goes: bool,
}

/// What becomes of a request, and what happens meanwhile.
#[derive(Clone, Debug)]
struct Try {
    fate: Fate,
    meanwhile: Option<Course>,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Accept,
    Divide,
    Refuse,
    Fail,
    /// The receiver takes it, and its answer is lost.
    Silent,
}

fn course() -> impl Strategy<Value = Course> {
    let ran = prop::array::uniform3(prop_oneof![Just(0u64), 1u64..50]);
    let rarely = || prop::bool::weighted(0.2);
    (ran, 0u64..3, rarely(), rarely()).prop_map(|(ran_ms, waits, gets_a_name, comes_or_goes)| {
        Course {
            ran_ms,
            waits,
            gets_a_name,
            comes_or_goes,
        }
    })
}

/// An interval, and the requests after it.
type Step = (Course, Vec<Try>);

fn steps(fate: impl Strategy<Value = Fate>) -> impl Strategy<Value = Vec<Step>> {
    let tries = prop::collection::vec(a_try(fate), 0..5);
    prop::collection::vec((course(), tries), 1..12)
}

fn clear_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Accept),
        1 => Just(Fate::Divide),
        1 => Just(Fate::Refuse),
        3 => Just(Fate::Fail),
    ]
}

fn temporality() -> impl Strategy<Value = Temporality> {
    prop::sample::select(Temporality::value_variants())
}

fn a_try(fate: impl Strategy<Value = Fate>) -> impl Strategy<Value = Try> {
    (fate, prop::option::weighted(0.4, course()))
        .prop_map(|(fate, meanwhile)| Try { fate, meanwhile })
}

/// A host, its agent, and its receiver.
struct World {
    scene: Scene,
    parties: [Party; 3],
    job: Option<Cgroup>,
    names: usize,
    shared: Arc<Shared>,
    outbox: TotalsOutbox,
    truth: Sums,
    receiver: Receiver,
}

impl World {
    fn new(temporality: Temporality) -> World {
        let mut scene = Scene::new(2);
        let parties = [0, 1, 2].map(|n| scene.cgroup(JOB.0 - 1 + n as u64, PATHS[n]));
        let limits = Limits {
            calm: Tier::Affected,
            ..Limits::default()
        };
        let form = Form {
            temporality,
            ..Form::default()
        };
        let shared = Shared::new(Ledger::new(Host::default(), limits).telling(form));
        World {
            scene,
            parties,
            job: None,
            names: 0,
            outbox: TotalsOutbox::new(Arc::clone(&shared)),
            shared,
            truth: Sums::new(),
            receiver: Receiver::default(),
        }
    }

    fn pass(&mut self, course: &Course) {
        self.names += usize::from(course.gets_a_name);
        if course.comes_or_goes {
            match self.job.take() {
                Some(job) => _ = self.scene.after.cgroups.insert(JOB, job),
                None => self.job = self.scene.after.cgroups.remove(&JOB),
            }
        }
        for ((path, party), ms) in PATHS.iter().zip(self.parties).zip(course.ran_ms) {
            let is_there = self.job.is_none() || *path != PATHS[1];
            if is_there && ms > 0 {
                self.scene.ran(party, ms as f64 / 1e3);
                self.is_true(path, RUN, (ms * 1_000_000, 0));
            }
        }
        if course.waits > 0 {
            let [culprit, _, victim] = self.parties;
            let seconds = course.waits as f64 / 1e3;
            self.scene.waited_for(victim, culprit, seconds, 0.001);
            self.is_true(PATHS[2], WAIT, (course.waits * 1_000_000, 0));
            self.is_true(PATHS[2], DELAY, (course.waits, course.waits * 1_000_000));
        }
        self.shared.skip();
        self.is_true(AGENT, SKIPPED, (1, 0));
        if course.waits > 0 {
            let waited_ns = course.waits * 1_000_000;
            self.shared.count_canary(Run {
                measured_ns: waited_ns,
                ..Run::default()
            });
            self.is_true(AGENT, CANARY, (waited_ns, 0));
        }
        let renamed = format!("name {}", self.names);
        let named = |path: &std::ffi::OsStr| {
            let identity = identify(path);
            let name = if path == PATHS[0] {
                renamed.clone()
            } else {
                identity.name
            };
            Identity { name, ..identity }
        };
        let model = Model::new(&self.scene.before, &self.scene.after, &named);
        self.shared.add(&model, &Names::default());
        self.scene.before = self.scene.after.clone();
        self.scene.after.monotonic += Duration::from_secs(10);
        self.scene.after.wall += Duration::from_secs(10);
    }

    fn is_true(&mut self, path: &str, metric: &str, more: (u64, u64)) {
        add(
            self.truth.entry((path.into(), metric.into())).or_default(),
            more,
        );
    }

    /// As [`Delivery`] does it.
    fn round(&mut self, tries: &mut impl Iterator<Item = Try>, largest: usize) {
        let mut pending = chunks::<TotalsOutbox>(self.outbox.pending(), largest);
        while let Some(mut chunk) = pending.pop() {
            let items = chunk.iter().map(TotalsOutbox::items).sum();
            let request = TotalsOutbox::request(&mut chunk);
            let next = tries.next();
            if let Some(course) = next.as_ref().and_then(|next| next.meanwhile.as_ref()) {
                self.pass(course);
            }
            let fate = next.map_or(Fate::Accept, |next| next.fate);
            match fate {
                Fate::Accept => {
                    self.receiver.take(&request);
                    self.outbox
                        .note(&chunk, items, Outcome::Accepted { rejected: 0 });
                }
                Fate::Divide if chunk.len() > 1 => {
                    self.outbox.note(&chunk, items, Outcome::Divided);
                    let (one, other) = chunk.split_at(chunk.len() / 2);
                    pending.extend([one, other].map(|half| self.outbox.renewed(half)));
                    pending.retain(|half| !half.is_empty());
                }
                Fate::Divide | Fate::Refuse => {
                    // What never changes would be given up.
                    let for_its_content = chunk.iter().all(|part| part.subject.may_change());
                    self.outbox
                        .note(&chunk, items, Outcome::Refused { for_its_content });
                }
                Fate::Fail | Fate::Silent => {
                    let may_have_arrived = matches!(fate, Fate::Silent);
                    if may_have_arrived {
                        self.receiver.has_taken_in_silence = true;
                        self.receiver.take(&request);
                    }
                    self.outbox
                        .note(&chunk, items, Outcome::Failed { may_have_arrived });
                    return;
                }
            }
        }
        self.outbox.delivered();
    }
}

/// What a receiver has, by series.
#[derive(Default)]
struct Receiver {
    has_taken_in_silence: bool,
    /// Sums of deltas, and when the latest one ended.
    deltas: BTreeMap<Series, ((u64, u64), u64)>,
    /// By start, when the latest total was so, and the total.
    totals: BTreeMap<(Series, u64), (u64, (u64, u64))>,
}

/// Cgroup, metric, and all other attributes.
type Series = (String, String, String);

impl Receiver {
    fn take(&mut self, request: &ExportMetricsServiceRequest) {
        for of in &request.resource_metrics {
            let resource = &of.resource.as_ref().unwrap().attributes;
            let path = resource
                .iter()
                .find(|pair| pair.key == "crosstalk.cgroup.path");
            let path = path.map_or(AGENT.to_owned(), text);
            for metric in of.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                let series = |own: &[KeyValue]| {
                    let others = format!("{resource:?}{own:?}");
                    (path.clone(), metric.name.clone(), others)
                };
                match metric.data.as_ref().unwrap() {
                    Data::Sum(sum) => {
                        for point in &sum.data_points {
                            let value = match point.value {
                                Some(number_data_point::Value::AsDouble(value)) => ns(value),
                                Some(number_data_point::Value::AsInt(value)) => value as u64,
                                None => continue,
                            };
                            let times = [point.start_time_unix_nano, point.time_unix_nano];
                            let temporality = sum.aggregation_temporality();
                            self.keep(temporality, series(&point.attributes), times, (value, 0));
                        }
                    }
                    Data::ExponentialHistogram(histogram) => {
                        for point in histogram
                            .data_points
                            .iter()
                            .filter(|point| point.flags == 0)
                        {
                            let value = (point.count, ns(point.sum.unwrap()));
                            let times = [point.start_time_unix_nano, point.time_unix_nano];
                            let temporality = histogram.aggregation_temporality();
                            self.keep(temporality, series(&point.attributes), times, value);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn keep(
        &mut self,
        temporality: AggregationTemporality,
        series: Series,
        [start, at]: [u64; 2],
        value: (u64, u64),
    ) {
        if temporality != AggregationTemporality::Delta {
            // The 0 of the beginning may come again.
            let (latest, total) = self.totals.entry((series, start)).or_default();
            if at >= *latest {
                assert!(*total <= value, "a total fell");
                (*latest, *total) = (at, value);
            }
            return;
        }
        let (sum, until) = self.deltas.entry(series.clone()).or_default();
        let is_next = *until <= start || self.has_taken_in_silence;
        assert!(start < at && is_next, "{start} to {at} after {until}");
        // The SDK tells a delta of each series at each collection.
        assert!(value.0 > 0 || series.0 == AGENT, "a delta of nothing");
        add(sum, value);
        *until = at;
    }

    fn sums(&self) -> Sums {
        let deltas = self.deltas.iter().map(|(series, (sum, _))| (series, sum));
        let totals = self
            .totals
            .iter()
            .map(|((series, _), (_, sum))| (series, sum));
        let mut sums = Sums::new();
        for ((path, metric, _), sum) in deltas.chain(totals) {
            if sum.0 > 0 && [RUN, WAIT, DELAY, SKIPPED, CANARY].contains(&metric.as_str()) {
                add(
                    sums.entry((path.clone(), metric.clone())).or_default(),
                    *sum,
                );
            }
        }
        sums
    }
}

fn add(sum: &mut (u64, u64), more: (u64, u64)) {
    sum.0 += more.0;
    sum.1 += more.1;
}

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

/// The world after all that, once everything was delivered.
fn played(temporality: Temporality, steps: Vec<Step>, largest: usize) -> World {
    let mut world = World::new(temporality);
    for (course, tries) in steps {
        world.pass(&course);
        world.round(&mut tries.into_iter(), largest);
    }
    let quiet = Course {
        ran_ms: [0; 3],
        waits: 0,
        gets_a_name: false,
        comes_or_goes: false,
    };
    for _ in 0..4 {
        world.pass(&quiet);
        world.round(&mut std::iter::empty(), largest);
    }
    world
}

proptest! {
    #[test]
    fn nothing_is_lost_or_counted_twice_whatever_a_receiver_does(
        temporality in temporality(),
        steps in steps(clear_fate()),
        largest in 500usize..20_000,
    ) {
        let world = played(temporality, steps, largest);
        prop_assert_eq!(world.receiver.sums(), world.truth);
        prop_assert_eq!(world.shared.total().points_ambiguous, 0);
        let ledger = world.shared.ledger();
        let left = ledger.entities().filter(|(_, entity)| entity.life != Life::Alive);
        prop_assert_eq!(left.count(), 0, "the dead are forgotten");
    }

    #[test]
    fn what_may_count_twice_is_counted_and_totals_never_do(
        temporality in temporality(),
        steps in steps(prop_oneof![2 => clear_fate(), 1 => Just(Fate::Silent)]),
        largest in 500usize..20_000,
    ) {
        let World { receiver, truth, shared, .. } = played(temporality, steps, largest);
        let told = receiver.sums();
        let ambiguous = shared.total().points_ambiguous;
        prop_assert!(ambiguous == 0 || temporality != Temporality::Cumulative);
        if ambiguous == 0 {
            prop_assert_eq!(&told, &truth);
        }
        for (series, sum) in truth {
            prop_assert!(told[&series] >= sum, "{series:?} is lost");
        }
    }
}
