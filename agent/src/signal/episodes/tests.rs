//! Episodes over many seconds.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    model::fixture::Scene,
    sample::{Party, disk::InFlight},
    signal::Class,
};

/// What happens in one second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Now {
    /// A web server loses this part of what it wants to a batch job.
    Loses(f64),
    /// It is not there.
    Absent,
    /// There is no reading.
    Skipped,
}

/// A host, second by second.
struct Host {
    episodes: Episodes,
    at: Duration,
    length: Duration,
    /// Others that take part in what the batch job does.
    crowd: u64,
}

impl Host {
    fn new() -> Host {
        let mut host = Host {
            episodes: Episodes::new(Rules::default(), Thresholds::default(), 7),
            at: Duration::ZERO,
            length: Duration::ZERO,
            crowd: 0,
        };
        let events = host.run(30, Now::Loses(0.0));
        assert!(events.is_empty());
        host
    }

    fn run(&mut self, seconds: u32, now: Now) -> Vec<Event> {
        (0..seconds).flat_map(|_| self.second(now).events).collect()
    }

    fn second(&mut self, now: Now) -> Observed {
        self.at += Duration::from_secs(1);
        self.length += Duration::from_secs(1);
        if now == Now::Skipped {
            return Observed::default();
        }
        let model = self.model(now);
        self.length = Duration::ZERO;
        let signals = self.episodes.judge(&model);
        self.episodes.observe(&model, &signals)
    }

    fn model(&self, now: Now) -> Model {
        let seconds = self.length.as_secs_f64();
        let mut scene = Scene::new(4);
        scene.after.monotonic = scene.before.monotonic + self.length;
        scene.before.wall += self.at;
        for cpu in scene.after.cpus.iter_mut().flatten() {
            cpu.idle_ns = self.length.as_nanos() as u64;
        }
        let batch = scene.cgroup(3, "/batch.service");
        scene.ran(batch, 2.8 * seconds);
        let Now::Loses(share) = now else {
            return scene.model();
        };
        let web = scene.cgroup(2, "/web.service");
        let wanted = 0.6 * seconds;
        scene.ran(web, (1.0 - share) * wanted);
        if share > 0.0 {
            let each = share * wanted / (self.crowd + 1) as f64;
            scene.waited_for(web, batch, each, 0.020);
            for id in 0..self.crowd {
                let other = scene.cgroup(10 + id, format!("/other{id}.service"));
                scene.waited_for(web, other, each, 0.020);
            }
        }
        scene.model()
    }
}

fn told(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match &event.what {
        What::Started(_) => "started",
        What::Updated(_) => "updated",
        What::Ended(_, reason) => reason.name(),
        What::Untold(_) => "untold",
    };
    events.iter().map(name).collect()
}

fn ids(events: &[Event]) -> Vec<EpisodeId> {
    events
        .iter()
        .filter_map(|event| Some(of(event)?.id))
        .collect()
}

fn of(event: &Event) -> Option<&Episode> {
    match &event.what {
        What::Started(one) | What::Updated(one) | What::Ended(one, _) => Some(one),
        What::Untold(_) => None,
    }
}

#[test]
fn severe_loss_is_told_after_three_seconds_with_victim_class_and_culprit() {
    let mut host = Host::new();
    assert!(host.run(2, Now::Loses(1.0 / 3.0)).is_empty());
    let events = host.run(1, Now::Loses(1.0 / 3.0));
    assert_eq!(told(&events), ["started"]);
    let Victim::Entity(who) = &events[0].victim else {
        panic!("the host is not saturated");
    };
    assert_eq!(who.name, "web.service");
    let episode = of(&events[0]).unwrap();
    assert_eq!(episode.class, Some(Class::NoisyNeighbor));
    assert_eq!(episode.length, Duration::from_secs(3));
    assert_eq!(episode.observed, Duration::from_secs(3));
    assert!((episode.loss.share() - 1.0 / 3.0).abs() < 1e-6);
    assert_eq!(episode.culprits[0].who.name, "batch.service");
    assert!((episode.culprits[0].share - 1.0).abs() < 1e-6);
    assert_eq!((episode.culprits.len(), episode.neighbors), (1, 1));
}

#[test]
fn a_warning_needs_a_culprit_that_breaks_its_contract() {
    // CPUs that the victim may use were idle meanwhile: it is badly placed.
    let mut host = Host::new();
    let events = host.run(3, Now::Loses(0.3));
    assert_eq!(of(&events[0]).unwrap().severity, Severity::Notice);
    let mut scene = Scene::new(1);
    let web = scene.cgroup(2, "/web.service");
    let batch = scene.cgroup(3, "/batch.service");
    scene.ran(web, 2.0);
    scene.ran(batch, 8.0);
    scene.waited_for(web, batch, 2.0, 0.020);
    let model = scene.model();
    let signals = Signals::detect(&model, &Thresholds::default());
    let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
    let mut seen = |signals: &Signals| episodes.observe(&model, signals).events;
    // Each reading is of 10 s.
    let events: Vec<Event> = (0..6).flat_map(|_| seen(&signals)).collect();
    let of_web = |event: &&Event| matches!(event.victim, Victim::Entity(_));
    let started = events.iter().find(of_web).unwrap();
    assert_eq!(of(started).unwrap().severity, Severity::Warning);
    let mut doubtful = signals.clone();
    doubtful.doubts.push(Doubt::Interrupts(0.3));
    let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
    let mut seen = |signals: &Signals| episodes.observe(&model, signals).events;
    let events: Vec<Event> = (0..6).flat_map(|_| seen(&doubtful)).collect();
    let started = events.iter().find(of_web).unwrap();
    assert_eq!(of(started).unwrap().severity, Severity::Notice);
}

#[test]
fn a_loss_that_lasts_is_told_after_eight_seconds_of_ten() {
    let mut host = Host::new();
    assert!(host.run(5, Now::Loses(0.07)).is_empty());
    assert!(host.run(2, Now::Loses(0.0)).is_empty());
    assert!(host.run(2, Now::Loses(0.07)).is_empty());
    assert_eq!(told(&host.run(1, Now::Loses(0.07))), ["started"]);
}

#[test]
fn nobody_is_judged_while_agent_or_victim_are_young() {
    let mut host = Host {
        episodes: Episodes::new(Rules::default(), Thresholds::default(), 7),
        at: Duration::ZERO,
        length: Duration::ZERO,
        crowd: 0,
    };
    assert!(host.run(32, Now::Loses(0.5)).is_empty());
    assert_eq!(told(&host.run(1, Now::Loses(0.5))), ["started"]);
    let mut host = Host::new();
    host.run(5, Now::Absent);
    assert!(host.run(12, Now::Loses(0.5)).is_empty());
    assert_eq!(told(&host.run(1, Now::Loses(0.5))), ["started"]);
}

#[test]
fn an_episode_ends_after_calm_and_its_end_has_its_id_and_length() {
    let mut host = Host::new();
    let begun = host.run(10, Now::Loses(0.5));
    assert!(host.run(29, Now::Loses(0.02)).is_empty());
    let ended = host.run(1, Now::Loses(0.0));
    assert_eq!(told(&ended), ["calm"]);
    assert_eq!(ids(&begun), ids(&ended));
    let episode = of(&ended[0]).unwrap();
    assert_eq!(episode.length, Duration::from_secs(10));
    assert!((episode.loss.share() - 0.5).abs() < 1e-6);
}

#[test]
fn a_little_loss_is_no_calm() {
    let mut host = Host::new();
    host.run(3, Now::Loses(0.5));
    assert!(host.run(57, Now::Loses(0.03)).is_empty());
    assert_eq!(told(&host.run(3, Now::Loses(0.03))), ["updated"]);
}

#[test]
fn one_that_begins_again_soon_is_the_same_and_later_another() {
    let mut host = Host::new();
    let first = ids(&host.run(3, Now::Loses(0.5)));
    host.run(300, Now::Loses(0.0));
    let again = host.run(3, Now::Loses(0.5));
    assert_eq!(ids(&again), first);
    assert_eq!(of(&again[0]).unwrap().openings, 2);
    host.run(30 + 301, Now::Loses(0.0));
    let other = host.run(3, Now::Loses(0.5));
    assert_ne!(ids(&other), first);
    assert_eq!(of(&other[0]).unwrap().openings, 1);
}

#[test]
fn what_is_not_known_is_neither_calm_nor_harm() {
    let mut host = Host::new();
    host.run(2, Now::Loses(0.5));
    assert!(host.run(4, Now::Skipped).is_empty());
    assert_eq!(told(&host.run(1, Now::Loses(0.5))), ["started"]);
    host.run(29, Now::Loses(0.0));
    assert!(host.run(100, Now::Skipped).is_empty());
    assert_eq!(told(&host.run(2, Now::Loses(0.0))), ["calm"]);
    host.run(3, Now::Loses(0.5));
    let gone = host.run(180, Now::Absent);
    assert_eq!(told(&gone).last(), Some(&"not seen"));
}

#[test]
fn what_goes_on_at_the_end_of_the_agent_ends_with_it() {
    let mut host = Host::new();
    let begun = host.run(3, Now::Loses(0.5));
    let ended = host.episodes.stop(SystemTime::UNIX_EPOCH);
    assert_eq!(told(&ended), ["agent stopped"]);
    assert_eq!(ids(&begun), ids(&ended));
    assert!(host.episodes.stop(SystemTime::UNIX_EPOCH).is_empty());
}

#[test]
fn of_a_flapping_victim_twelve_events_and_a_sum_are_told_in_an_hour() {
    let mut host = Host::new();
    let mut events = Vec::new();
    for _ in 0..100 {
        events.extend(host.run(4, Now::Loses(0.5)));
        events.extend(host.run(32, Now::Loses(0.0)));
    }
    assert_eq!(told(&events), [["started", "calm"]; 6].concat()[..]);
    let rest = host.run(20, Now::Loses(0.0));
    assert_eq!(told(&rest), ["untold"]);
    let What::Untold(untold) = rest[0].what else {
        panic!("told as such");
    };
    assert_eq!((untold.episodes, untold.length.as_secs()), (94, 94 * 4));
    assert_eq!(told(&host.run(3, Now::Loses(0.5))), ["started"]);
}

#[test]
fn many_small_culprits_have_no_names() {
    let mut host = Host::new();
    host.crowd = 9;
    let events = host.run(3, Now::Loses(0.5));
    let episode = of(&events[0]).unwrap();
    assert_eq!((episode.culprits.len(), episode.neighbors), (0, 10));
}

#[test]
fn full_cpus_that_tasks_wait_for_are_saturated() {
    let mut scene = Scene::new(2);
    let batch: Party = scene.cgroup(3, "/batch.service");
    scene.ran(batch, 19.0);
    scene.waited(batch, agent_ebpf::cause::Cause::SelfInflicted, 19.0, 0.020);
    let saturated = scene.model();
    let signals = Signals::detect(&saturated, &Thresholds::default());
    let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
    let mut seen = || episodes.observe(&saturated, &signals).events;
    let events: Vec<Event> = (0..6).flat_map(|_| seen()).collect();
    assert_eq!(told(&events), ["started"]);
    assert!(matches!(events[0].victim, Victim::Host));
    let episode = of(&events[0]).unwrap();
    assert_eq!(episode.culprits[0].who.name, "batch.service");
    assert!((episode.loss.share() - 0.5).abs() < 1e-6);
    // With idle CPUs the same waits are no saturation.
    for cpu in scene.after.cpus.iter_mut().flatten() {
        cpu.idle_ns += 2_000_000_000;
    }
    let idle = scene.model();
    let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
    let mut seen = || episodes.observe(&idle, &signals).events;
    assert!((0..20).all(|_| seen().is_empty()));
}

#[test]
fn contracts_are_those_of_ten_seconds() {
    let second = |batch_ran: f64| {
        let mut scene = Scene::new(2);
        scene.after.monotonic = scene.before.monotonic + Duration::from_secs(1);
        let (web, batch) = (scene.cgroup(2, "/web"), scene.cgroup(3, "/batch"));
        scene.ran(web, 0.2);
        scene.ran(batch, batch_ran);
        scene.waited_for(web, batch, 0.5, 0.050);
        let mut model = scene.model();
        for row in &mut model.entities.rows {
            row.contract_s = Some(1.0);
        }
        model
    };
    let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
    for _ in 0..9 {
        episodes.judge(&second(0.5));
    }
    let burst = second(1.8);
    let alone = Signals::detect(&burst, &Thresholds::default());
    assert_eq!(alone.hurt[0].class, Some(Class::NoisyNeighbor));
    let mean = episodes.judge(&burst);
    assert_eq!(mean.hurt[0].class, Some(Class::SchedulingLatency));
    let over = mean.hurt[0].culprits.named()[0].over.unwrap();
    assert!((over - (9.0 * 0.5 + 1.8) / 10.0).abs() < 1e-6, "{over}");
    let observed = episodes.observe(&burst, &mean);
    assert!(observed.events.is_empty());
    for _ in 0..9 {
        episodes.judge(&second(1.8));
    }
    let lasting = episodes.judge(&burst);
    assert_eq!(lasting.hurt[0].class, Some(Class::NoisyNeighbor));
}

#[test]
fn whatever_is_busy_for_most_of_a_second_is_full() {
    let mut scene = Scene::new(1);
    let party = scene.cgroup(3, "/batch.service");
    scene.ran(party, 1.0);
    let disks = [(0, 9), (1, 8)].map(|(minor, busy)| {
        let id = scene.disk(minor, &format!("vd{minor}"));
        for (disk, time) in scene.disks().into_iter().zip([0, busy]) {
            let time = Duration::from_secs(time);
            disk.in_flight.insert(id, InFlight { time, requests: 1 });
        }
        id
    });
    let full = |scene: &Scene| {
        let model = scene.model();
        let signals = Signals::detect(&model, &Thresholds::default());
        let mut episodes = Episodes::new(Rules::default(), Thresholds::default(), 7);
        let observed = episodes.observe(&model, &signals);
        assert_eq!(observed.length, model.length);
        observed.full
    };
    assert_eq!(full(&scene), [Resource::Disk(disks[0])]);
    scene.ran(party, 8.0);
    assert_eq!(full(&scene), [Resource::Cpu, Resource::Disk(disks[0])]);
}

fn now() -> impl Strategy<Value = Now> {
    prop_oneof![
        4 => Just(Now::Loses(0.0)),
        4 => (0.0..1.0).prop_map(Now::Loses),
        2 => Just(Now::Loses(0.5)),
        1 => Just(Now::Skipped),
    ]
}

/// Stretches of the same, as loads are.
fn history() -> impl Strategy<Value = Vec<Now>> {
    let stretch = (now(), 1usize..50).prop_map(|(now, seconds)| vec![now; seconds]);
    prop::collection::vec(stretch, 1..20).prop_map(|all| all.concat())
}

/// What the rules say of the known seconds so far, spelled out.
fn begins(known: &[f64]) -> bool {
    let severe = known.len() >= 3 && known[known.len() - 3..].iter().all(|share| *share >= 0.25);
    let window = &known[known.len().saturating_sub(10)..];
    severe || window.iter().filter(|share| **share >= 0.05).count() >= 8
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn beginnings_and_ends_take_turns_and_time_in_episodes_adds_up(history in history()) {
        let mut host = Host::new();
        let (mut open, mut told_s, mut used) = (None, Duration::ZERO, Duration::ZERO);
        let mut opened = 0;
        let mut events = Vec::new();
        for now in history {
            let observed = host.second(now);
            used += observed.uses.iter().map(|one| one.length).sum::<Duration>();
            opened += observed.uses.iter().map(|one| one.opened).sum::<u64>();
            events.extend(observed.events);
        }
        events.extend(host.episodes.stop(SystemTime::UNIX_EPOCH));
        let mut distinct = std::collections::BTreeSet::new();
        for event in &events {
            match &event.what {
                What::Started(episode) => {
                    prop_assert!(open.is_none());
                    open = Some(episode.id);
                    distinct.insert(episode.id);
                }
                What::Updated(episode) => prop_assert_eq!(open, Some(episode.id)),
                What::Ended(episode, _) => {
                    prop_assert_eq!(open.take(), Some(episode.id));
                    told_s += episode.length;
                }
                What::Untold(untold) => told_s += untold.length,
            }
            if let Some(episode) = of(event) {
                let shares: f64 = episode.culprits.iter().map(|one| one.share).sum();
                prop_assert!(shares <= 1.0 + 1e-9);
                prop_assert!(episode.loss.lost_ns <= episode.loss.wanted_ns);
                prop_assert!(episode.observed <= episode.length);
            }
        }
        prop_assert!(open.is_none(), "what began ends with the agent");
        prop_assert_eq!(told_s, used);
        prop_assert!(distinct.len() as u64 <= opened);
    }

    #[test]
    fn an_episode_begins_when_the_rules_say_so(history in history()) {
        let rules = Rules::default();
        let mut course = Course::default();
        let mut known = Vec::new();
        let mut calm = 0;
        let mut at = Duration::ZERO;
        let mut gap = 0;
        for now in history {
            let from = at;
            at += Duration::from_secs(1);
            let share = match now {
                Now::Loses(share) => Some(share),
                _ => None,
            };
            gap = if share.is_none() { gap + 1 } else { gap };
            let was_open = course.open().is_some();
            let second = share.map(|share| plain(share, from, at, &rules));
            let change = course.step(second, at, &rules, EpisodeId { agent: 0, number: 1 });
            let Some(share) = share else {
                prop_assert!(matches!(change, Change::Nothing) || gap >= 180);
                continue;
            };
            if gap > 10 {
                known.clear();
            }
            gap = 0;
            known.push(share);
            if was_open {
                calm = if share < 0.025 { calm + 1 } else { 0 };
                prop_assert_eq!(course.open().is_none(), calm >= 30);
                if calm >= 30 {
                    known.clear();
                }
            } else {
                prop_assert_eq!(course.open().is_some(), begins(&known), "{:?}", known);
                calm = 0;
            }
        }
    }
}

fn plain(share: f64, from: Duration, until: Duration, rules: &Rules) -> Second {
    let span = Span {
        at: SystemTime::UNIX_EPOCH + until,
        from,
        until,
    };
    Second {
        span,
        loss: crate::signal::Loss {
            lost_ns: (share * 1e9) as u64,
            wanted_ns: 1_000_000_000,
        },
        grade: Grade::of(share, rules),
        warns: false,
        class: None,
        culprits: Vec::new(),
        whole_ns: 0,
        neighbors: 0,
    }
}
