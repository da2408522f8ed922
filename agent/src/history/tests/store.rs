use std::time::Duration;

use agent_ebpf::cause::Cause;
use proptest::prelude::*;

use super::fixture::{Did, Host, path};
use crate::{
    history::{BUDGET, Store, Window, window::Found},
    model::{Consecutive, Model, Resource, Row, Table, Usage},
};

fn window(since: u64, until: u64) -> Window {
    Window {
        since: Duration::from_secs(since),
        until: Duration::from_secs(until),
    }
}

fn found(store: &Store, since: u64, until: u64) -> (Found, Model) {
    let found = store.find(window(since, until)).expect("it is remembered");
    let model = found.model().expect("it can be decoded");
    (found, model.expect("it has a length"))
}

fn joined(models: &[Model]) -> Model {
    let mut whole = Consecutive::default();
    whole.extend(models.iter().cloned());
    whole.finish().expect("it has a length")
}

fn run_s(model: &Model, id: u64) -> Option<f64> {
    let row = row(&model.entities, &path(id))?;
    Some(row.usage.as_ref()?.run_ns as f64 / 1e9)
}

fn row<'a>(table: &'a Table, path: &str) -> Option<&'a Row> {
    table.rows.iter().find(|row| row.path == path)
}

/// Rows that did something, and all the rest.
fn assert_same(ours: &Model, theirs: &Model) {
    let active = |model: &Model| -> Vec<Row> {
        let rows = model.entities.rows.iter().cloned();
        let is_active = |row: &Row| row.usage.as_ref().is_none_or(Usage::is_active);
        rows.filter(is_active).map(rounded).collect()
    };
    assert_eq!(active(ours), active(theirs));
    assert_eq!(blame(ours), blame(theirs));
    assert_eq!((ours.start, ours.length), (theirs.start, theirs.length));
    assert_eq!(ours.host, theirs.host);
    assert_eq!(ours.disks, theirs.disks);
    assert_eq!(ours.accounting, theirs.accounting);
    assert_eq!(ours.unknown, theirs.unknown);
}

/// Entitlements are kept in nanoseconds.
fn rounded(row: Row) -> Row {
    let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
    Row {
        entitled_s: row.entitled_s.map(round),
        contract_s: row.contract_s.map(round),
        ..row
    }
}

fn blame(model: &Model) -> Vec<(String, String, Resource, u64)> {
    let table = &model.entities;
    let name = |row: usize| table.rows[row].name.clone();
    let blame = table.blame.iter();
    let mut blame: Vec<_> = blame
        .map(|b| (name(b.victim), name(b.culprit), b.resource, b.ns))
        .collect();
    blame.sort();
    blame
}

#[test]
fn nothing_is_remembered_of_no_time() {
    let store = Store::new(BUDGET);
    assert!(store.find(window(60, 0)).is_none());
    let mut store = Store::new(BUDGET);
    store
        .add(&Host::new().second(&[(2, Did::Ran(0.5))]))
        .unwrap();
    assert!(store.find(window(60, 30)).is_none());
}

#[test]
fn the_latest_minutes_are_exact_to_the_second() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    let mut models = Vec::new();
    for second in 0..100u32 {
        let ran = f64::from(second) / 200.0;
        let model = host.second(&[(2, Did::Ran(ran)), (3, Did::Waited(0.1, 0.2, 2))]);
        store.add(&model).unwrap();
        models.push(model);
    }
    let (found, model) = found(&store, 30, 10);
    assert!(found.extent.whole && !found.extent.others_together);
    assert_same(&model, &joined(&models[70..90]));
}

#[test]
fn of_a_longer_time_whole_minutes_are_told_of_all() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    let models: Vec<Model> = (0..600)
        .map(|_| {
            host.second(&[
                (2, Did::Ran(0.5)),
                (3, Did::Waited(0.1, 0.2, 2)),
                (4, Did::Ran(0.001)),
            ])
        })
        .collect();
    for model in &models {
        store.add(model).unwrap();
    }
    let (found, model) = found(&store, 400, 0);
    assert!(found.extent.whole && !found.extent.others_together);
    // It begins with a minute, before the time that was asked for.
    assert_same(&model, &joined(&models[180..]));
    let (_, model) = self::found(&store, 400, 200);
    assert_same(&model, &joined(&models[180..420]));
}

#[test]
fn of_a_short_time_who_lost_is_told_to_the_second_and_sums_hold() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    let mut models = Vec::new();
    for second in 0..400 {
        let mut did = vec![(2, Did::Ran(0.5)), (3, Did::Ran(0.3)), (4, Did::Ran(0.001))];
        if second == 119 {
            did[1].1 = Did::Waited(0.3, 0.1, 2);
        }
        models.push(host.second(&did));
    }
    for model in &models {
        store.add(model).unwrap();
    }
    // From 105 s to 135 s: in two minutes.
    let (found, model) = found(&store, 295, 265);
    assert!(found.extent.whole && found.extent.others_together);
    let whole = joined(&models[105..135]);
    assert_eq!(model.length, whole.length);
    for id in [2, 3] {
        assert_eq!(run_s(&model, id), run_s(&whole, id), "{id}");
    }
    assert_eq!(run_s(&model, 4), None);
    let sum = |model: &Model| -> u64 {
        let rows = model.entities.rows.iter();
        rows.map(|row| row.usage.as_ref().unwrap().run_ns).sum()
    };
    assert_eq!(sum(&model), sum(&whole));
    let victim = row(&model.entities, &path(3)).unwrap();
    let waits = victim.usage.as_ref().unwrap().wait;
    assert_eq!(waits.known(Cause::Neighbor), 100_000_000);
    let named = blame(&model);
    let named = named.iter().filter(|(_, _, on, _)| *on == Resource::Cpu);
    assert_eq!(named.count(), 2, "of a neighbor and of the kernel");
}

#[test]
fn what_is_older_than_the_history_is_said_to_be_missing() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    for _ in 0..20 {
        store.add(&host.second(&[(2, Did::Ran(0.5))])).unwrap();
    }
    let (found, model) = found(&store, 600, 0);
    assert!(!found.extent.whole);
    assert_eq!(model.length, Duration::from_secs(20));
}

#[test]
fn minutes_are_kept_for_two_hours_and_seconds_for_a_quarter_of_one() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    for _ in 0..(3 * 60 * 60 / 30) {
        let model = host.interval(Duration::from_secs(30), &[(2, Did::Waited(5.0, 5.0, 3))]);
        store.add(&model).unwrap();
    }
    let (found, model) = found(&store, 3 * 60 * 60, 0);
    assert!(!found.extent.whole);
    let minutes = model.length.as_secs() / 60;
    assert!((120..=122).contains(&minutes), "{minutes} min");
    let short = |since: u64| store.find(window(since, since - 30)).unwrap();
    assert!(short(800).extent.others_together);
    assert!(!short(1_200).extent.others_together);
}

#[test]
fn names_that_nothing_has_any_more_are_forgotten() {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    let mut bytes = 0;
    for minute in 0..(5 * 60) {
        let model = host.interval(Duration::from_mins(1), &[(100 + minute, Did::Ran(5.0))]);
        store.add(&model).unwrap();
        if minute == 150 {
            bytes = store.bytes();
        }
    }
    assert!(
        store.bytes() < bytes + bytes / 10,
        "{bytes} and then {}",
        store.bytes()
    );
}

/// Of what one is entitled to while idle nothing is kept.
fn unentitled(mut model: Model) -> Model {
    for row in &mut model.entities.rows {
        (row.entitled_s, row.contract_s) = (None, None);
    }
    model
}

fn did() -> impl Strategy<Value = Did> {
    prop_oneof![
        3 => (0u32..200).prop_map(|ms| Did::Ran(f64::from(ms) / 1e3)),
        1 => (0u32..100, 1u32..100, 2u64..8).prop_map(|(ran, waited, culprit)| {
            Did::Waited(f64::from(ran) / 1e3, f64::from(waited) / 1e3, culprit)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_window_is_the_sum_of_what_was_in_it_and_the_budget_is_kept(
        seconds in prop::collection::vec(
            (1u64..4, prop::collection::vec((10u64..20, did()), 0..6)), 1..300),
        windows in prop::collection::vec((1u64..900, 0u64..900), 1..6),
        budget in prop_oneof![Just(BUDGET), 20_000usize..200_000],
    ) {
        let (mut host, mut store) = (Host::new(), Store::new(budget));
        let mut models: Vec<(Duration, Model)> = Vec::new();
        let mut end = Duration::ZERO;
        for (length, did) in &seconds {
            let model = host.interval(Duration::from_secs(*length), did);
            store.add(&model).unwrap();
            let one_slice = 8_000;
            prop_assert!(store.bytes() <= budget.max(one_slice), "{}", store.bytes());
            models.push((end, model));
            end += Duration::from_secs(*length);
        }
        for (length, until) in windows {
            let Some(found) = store.find(window(until + length, until)) else { continue };
            let Some(model) = found.model().unwrap() else { continue };
            let (from, to) = (found.extent.from, found.extent.to);
            let inside = models.iter().filter(|(begin, model)| {
                (from..to).contains(&(*begin + model.length / 2))
            });
            let whole: Vec<Model> = inside.map(|(_, model)| model.clone()).collect();
            let whole = joined(&whole);
            if found.extent.others_together {
                prop_assert_eq!(&model.host, &whole.host);
                let wait = |model: &Model| -> u64 {
                    let rows = model.entities.rows.iter();
                    rows.map(|row| row.usage.as_ref().unwrap().wait.total()).sum()
                };
                let all: u64 = blame(&model).iter().map(|(.., ns)| ns).sum();
                prop_assert_eq!(all, blame(&whole).iter().map(|(.., ns)| ns).sum::<u64>());
                prop_assert_eq!(model.length, whole.length);
                prop_assert!(wait(&model) == wait(&whole));
            } else {
                assert_same(&unentitled(model), &unentitled(whole));
            }
            if found.extent.whole {
                prop_assert!(from <= end.saturating_sub(Duration::from_secs(until + length)));
            }
        }
    }
}
