//! Series over several intervals.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    entity::identify,
    model::Identity,
    model::{Resource, fixture::Scene},
    otlp::{
        encode,
        registry::{CULPRIT_KIND, OTHER},
    },
    sample::{Party, Sample},
    signal::Class,
};

mod bound;

/// A host of which one interval follows another.
struct Course {
    scene: Scene,
    ledger: Ledger,
    /// Amounts, and culprits, that found no place.
    refused: [u64; 2],
}

impl Course {
    fn new(limits: Limits) -> Course {
        Course {
            scene: Scene::new(2),
            ledger: Ledger::new(Host::default(), limits),
            refused: [0; 2],
        }
    }

    fn cgroup(&mut self, id: u64, path: &str) -> Party {
        self.scene.cgroup(id, path)
    }

    /// Ends the interval of 10 s and begins the next.
    fn step(&mut self) {
        let added = self.ledger.add(&self.model(), &Names::default());
        if let Some(added) = added {
            self.refused[0] += added.refused;
            self.refused[1] += added.culprits_refused;
        }
        let after: Sample = self.scene.after.clone();
        self.scene.before = after;
        self.scene.after.monotonic += Duration::from_secs(10);
        self.scene.after.wall += Duration::from_secs(10);
    }

    fn model(&self) -> Model {
        Model::new(&self.scene.before, &self.scene.after, &identify)
    }

    fn take(&mut self) -> Vec<(Whose, Life)> {
        let parts: Vec<_> = encode::parts(&self.ledger).map(told_of).collect();
        for (whose, told) in &parts {
            self.ledger.taken(whose, *told);
        }
        let of_entities = parts
            .into_iter()
            .filter(|(whose, _)| matches!(whose, Whose::Entity(_)));
        of_entities
            .map(|(whose, told)| (whose, told.life))
            .collect()
    }

    /// Totals of one metric, nanoseconds or counts, by attributes.
    fn totals(&self, path: &str, name: &str) -> BTreeMap<Attributes, u64> {
        let whose = Whose::Entity(Key::Entity(path.into()));
        let Some(entity) = self.ledger.entities.get(&whose) else {
            return BTreeMap::new();
        };
        let of = entity
            .series()
            .filter(|(metric, ..)| METRICS[*metric].name == name);
        of.map(|(_, attributes, series)| {
            let total = match &series.total {
                Amount::Ns(sum) | Amount::Count(sum) => *sum,
                Amount::Histogram(counts, _) => counts.iter().sum(),
                Amount::Level(_) => panic!("a gauge"),
            };
            (attributes.clone(), total)
        })
        .collect()
    }
}

/// Whose part it is, and up to when.
fn told_of(part: encode::Part) -> (Whose, Told) {
    match part.subject {
        encode::Subject::Entity(whose, told) => (whose, told),
        encode::Subject::Agent(_) => panic!("a ledger has no part of the agent"),
    }
}

const RUN: &str = "crosstalk.cpu.run.time";
const INTERFERENCE: &str = "crosstalk.cpu.interference.time";

#[test]
fn totals_are_the_sums_of_intervals() {
    let mut course = Course::new(Limits::default());
    let web = course.cgroup(2, "/web.service");
    for _ in 0..3 {
        course.scene.ran(web, 1.5);
        course.step();
    }
    assert_eq!(course.totals("/web.service", RUN)[&vec![]], 4_500_000_000);
}

#[test]
fn nothing_to_count_has_no_series() {
    let mut course = Course::new(Limits::default());
    course.cgroup(2, "/idle.service");
    course.step();
    assert!(course.totals("/idle.service", RUN).is_empty());
    assert_eq!(course.ledger.entities.len(), 1, "the host");
}

#[test]
fn the_dead_tell_their_last_totals_then_that_they_are_gone_then_nothing() {
    let mut course = Course::new(Limits::default());
    let job = course.cgroup(2, "/job.service");
    course.scene.ran(job, 1.0);
    course.step();
    assert_eq!(course.take()[0].1, Life::Alive);
    course
        .scene
        .after
        .cgroups
        .remove(&crate::sample::CgroupId(2));
    course.step();
    course.step();
    let lives = |course: &mut Course| -> Vec<Life> {
        course.take().into_iter().map(|(_, life)| life).collect()
    };
    assert_eq!(lives(&mut course), [Life::Ending]);
    assert_eq!(course.totals("/job.service", RUN)[&vec![]], 1_000_000_000);
    course.step();
    assert_eq!(lives(&mut course), [Life::Stale]);
    course.step();
    assert_eq!(lives(&mut course), []);
}

#[test]
fn whoever_comes_back_after_its_end_begins_anew() {
    let mut course = Course::new(Limits::default());
    let job = course.cgroup(2, "/job.service");
    course.scene.ran(job, 1.0);
    course.step();
    let cgroup = course
        .scene
        .after
        .cgroups
        .remove(&crate::sample::CgroupId(2))
        .unwrap();
    course.step();
    course.step();
    course.take();
    course
        .scene
        .after
        .cgroups
        .insert(crate::sample::CgroupId(2), cgroup);
    course.scene.ran(job, 0.5);
    course.step();
    assert_eq!(course.totals("/job.service", RUN)[&vec![]], 500_000_000);
}

#[test]
fn an_answer_to_an_earlier_end_does_not_end_the_next_life() {
    let id = crate::sample::CgroupId(2);
    let mut course = Course::new(Limits::default());
    let job = course.cgroup(2, "/job.service");
    course.scene.ran(job, 1.0);
    course.step();
    let cgroup = course.scene.after.cgroups.remove(&id).unwrap();
    course.step();
    course.step();
    let answered: Vec<_> = encode::parts(&course.ledger).map(told_of).collect();
    // It comes back, works and goes before the answer is there.
    course.scene.after.cgroups.insert(id, cgroup);
    course.scene.ran(job, 0.5);
    course.step();
    course.scene.after.cgroups.remove(&id);
    course.step();
    course.step();
    for (whose, told) in answered {
        course.ledger.taken(&whose, told);
    }
    let told: Vec<Life> = course.take().into_iter().map(|(_, life)| life).collect();
    assert_eq!(told, [Life::Ending]);
    assert_eq!(course.totals("/job.service", RUN)[&vec![]], 1_500_000_000);
}

#[test]
fn a_clock_that_is_set_begins_all_series_anew() {
    for hours in [-1i64, 1] {
        let mut course = Course::new(Limits::default());
        let web = course.cgroup(2, "/web.service");
        course.scene.ran(web, 1.0);
        course.step();
        let step = Duration::from_hours(hours.unsigned_abs());
        for sample in [&mut course.scene.before, &mut course.scene.after] {
            sample.wall = if hours < 0 {
                sample.wall - step
            } else {
                sample.wall + step
            };
        }
        course.scene.ran(web, 2.0);
        course.step();
        assert_eq!(course.totals("/web.service", RUN)[&vec![]], 2_000_000_000);
        let (_, web) = course.ledger.entities().last().unwrap();
        for (.., series) in web.series() {
            assert!(series.start < course.ledger.now());
        }
    }
}

#[test]
fn series_beyond_the_limit_are_refused_and_counted() {
    let mut course = Course::new(Limits {
        series: 3,
        ..Limits::default()
    });
    for id in 2..8 {
        let party = course.cgroup(id, &format!("/s{id}.service"));
        course.scene.ran(party, 1.0);
    }
    let added = course.ledger.add(&course.model(), &Names::default());
    assert_eq!(added.unwrap().refused, 3);
    assert_eq!(course.totals("/s2.service", RUN).len(), 1);
    assert_eq!(course.totals("/s7.service", RUN).len(), 0);
}

fn episode(victim: Victim, class: Option<Class>, opened: u64, seconds: u64) -> EpisodeUse {
    EpisodeUse {
        victim,
        resource: Resource::Cpu,
        device: None,
        class,
        opened,
        length: Duration::from_secs(seconds),
    }
}

#[test]
fn episodes_of_seconds_come_to_the_accounts_of_the_interval() {
    let mut course = Course::new(Limits::default());
    let web = course.cgroup(2, "/web.service");
    course.scene.ran(web, 1.0);
    let who = std::sync::Arc::new(course.model().entities.rows[0].clone());
    for opened in [1, 0] {
        course.ledger.count_episodes(&Observed {
            uses: vec![
                episode(
                    Victim::Entity(who.clone()),
                    Some(Class::NoisyNeighbor),
                    opened,
                    3,
                ),
                episode(Victim::Host, None, opened, 1),
            ],
            full: vec![Resource::Cpu],
            length: Duration::from_secs(1),
            ..Observed::default()
        });
    }
    course.step();
    course.step();
    let of_class = |class: &str| -> Attributes {
        vec![
            ("crosstalk.resource", "cpu".into()),
            ("crosstalk.class", class.into()),
        ]
    };
    let noisy = of_class("noisy_neighbor");
    assert_eq!(
        course.totals("/web.service", "crosstalk.episodes")[&noisy],
        1
    );
    let time = course.totals("/web.service", "crosstalk.episode.time");
    assert_eq!(time[&noisy], 6_000_000_000);
    let host = &course.ledger.entities[&Whose::Host];
    let total = |name: &str, attributes: &Attributes| {
        let mut all = host.series();
        let found = all.find(|(metric, of, _)| METRICS[*metric].name == name && *of == attributes);
        found.map(|(.., series)| series.total.clone())
    };
    let saturation = of_class("saturation");
    assert_eq!(
        total("crosstalk.episodes", &saturation),
        Some(Amount::Count(1))
    );
    assert_eq!(
        total("crosstalk.episode.time", &saturation),
        Some(Amount::Ns(2_000_000_000))
    );
    let cpu = vec![("crosstalk.resource", "cpu".to_owned())];
    assert_eq!(
        total("crosstalk.saturation.time", &cpu),
        Some(Amount::Ns(2_000_000_000))
    );
    // Of the second interval, in which nobody ran.
    assert!(total("crosstalk.saturation", &cpu).is_some());
    assert!(
        course
            .totals("/web.service", "crosstalk.saturation")
            .is_empty()
    );
}

proptest! {
    #[test]
    fn series_of_culprits_never_fall_and_add_up(
        intervals in prop::collection::vec(prop::collection::vec(0u32..3_000, 12), 1..8),
        culprits in 0usize..6,
    ) {
        let mut course = Course::new(Limits { culprits, ..Limits::default() });
        let victim = course.cgroup(2, "/victim.service");
        let others: Vec<Party> =
            (0..12).map(|n| course.cgroup(10 + n, &format!("/c{n}.service"))).collect();
        let mut before: BTreeMap<Attributes, u64> = BTreeMap::new();
        let mut affected = false;
        let mut whole = 0;
        for waits in intervals {
            for (culprit, ms) in others.iter().zip(&waits) {
                course.scene.waited_for(victim, *culprit, f64::from(*ms) / 1e3, 0.001);
            }
            let sum = waits.iter().map(|ms| u64::from(*ms) * 1_000_000).sum::<u64>();
            affected |= sum >= 100_000_000;
            course.step();
            if affected {
                whole += sum;
            }
            let now = course.totals("/victim.service", INTERFERENCE);
            for (attributes, total) in &before {
                prop_assert!(now[attributes] >= *total, "{attributes:?} fell");
            }
            prop_assert_eq!(now.values().sum::<u64>(), whole);
            let own = now.keys().filter(|key| !key.contains(&(CULPRIT_KIND, OTHER.to_owned())));
            prop_assert!(own.count() <= culprits);
            before = now;
        }
    }
}

/// What is told of a container, by its name and life.
fn told(course: &Course) -> Vec<(String, Life, u64)> {
    let parts = encode::parts(&course.ledger).map(told_of);
    let parts = parts.filter(|(whose, _)| matches!(whose, Whose::Entity(_) | Whose::Former(..)));
    let told = parts.map(|(whose, _)| {
        let entity = &course.ledger.entities[&whose];
        let run = entity.series().find_map(|(metric, _, series)| {
            let is_run = METRICS[metric].name == RUN;
            series.total.ns().filter(|_| is_run)
        });
        let name = entity.resource["crosstalk.entity.name"].clone();
        (name, entity.life, run.unwrap_or(0))
    });
    told.collect()
}

#[test]
fn a_name_that_comes_late_begins_other_series_and_ends_the_old_ones() {
    let mut course = Course::new(Limits::default());
    let web = course.cgroup(2, "/web.service");
    let mut name = "at first".to_owned();
    let step = |course: &mut Course, name: &str| {
        course.scene.ran(web, 1.0);
        let identify = |path: &std::ffi::OsStr| Identity {
            name: name.to_owned(),
            ..identify(path)
        };
        let model = Model::new(&course.scene.before, &course.scene.after, &identify);
        course.ledger.add(&model, &Names::default());
        course.scene.before = course.scene.after.clone();
        course.scene.after.monotonic += Duration::from_secs(10);
        course.scene.after.wall += Duration::from_secs(10);
    };
    // Nobody was told: another name is no matter.
    step(&mut course, &name);
    name = "named".into();
    step(&mut course, &name);
    assert_eq!(
        told(&course),
        [("named".into(), Life::Alive, 2_000_000_000)]
    );
    course.take();
    step(&mut course, &name);
    name = "renamed".into();
    step(&mut course, &name);
    let mut both = told(&course);
    both.sort_by_key(|(name, ..)| name.clone());
    assert_eq!(
        both,
        [
            ("named".into(), Life::Ending, 3_000_000_000),
            ("renamed".into(), Life::Alive, 1_000_000_000),
        ]
    );
    for _ in 0..2 {
        course.take();
        step(&mut course, &name);
    }
    assert_eq!(told(&course).len(), 1, "the old one has ended");
}

#[test]
fn a_container_waits_for_its_name_unless_it_ends() {
    let there = Names {
        sources: vec![crate::names::SourceHealth {
            name: "pods_api",
            state: crate::names::SourceState::Failed("not yet".into()),
            failures: 1,
        }],
        ..Names::default()
    };
    let id = "ab".repeat(32);
    for (names, is_held) in [(&there, true), (&Names::default(), false)] {
        let mut course = Course::new(Limits::default());
        course.ledger = course.ledger.waiting_for_names(Duration::from_secs(20));
        let container = course.cgroup(2, &format!("/docker-{id}.scope"));
        let mut alive = Vec::new();
        for _ in 0..4 {
            course.scene.ran(container, 1.0);
            let model = Model::new(&course.scene.before, &course.scene.after, &identify);
            course.ledger.add(&model, names);
            alive.push(!told(&course).is_empty());
            course.scene.before = course.scene.after.clone();
            course.scene.after.monotonic += Duration::from_secs(10);
            course.scene.after.wall += Duration::from_secs(10);
        }
        let expected = [!is_held, !is_held, true, true];
        assert_eq!(alive, expected);
        course.ledger.stop_waiting();
        assert!(!told(&course).is_empty());
    }
}
