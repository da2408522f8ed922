//! Run time against contracts over the latest seconds: a burst of one second is nothing that a
//! contract forbids.

use std::{collections::BTreeMap, time::Duration};

use super::{Ratios, used};
use crate::model::{Key, Model, Row};

/// What entities did in the latest seconds of a window.
#[derive(Debug)]
pub(in crate::signal) struct Recent {
    /// Whole seconds, at least one.
    window: u64,
    /// Since the first reading.
    now: Duration,
    entities: BTreeMap<Key, Seconds>,
}

/// One place for each second of the window. Readings that end in the same second are one; where run
/// time or contract is unknown there is none.
#[derive(Debug)]
struct Seconds {
    latest: u64,
    /// Single precision: those that are gone are many, and in each reading for minutes.
    ring: Box<[Second]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    run_s: f32,
    contract_s: f32,
}

impl Recent {
    pub(in crate::signal) fn new(window: Duration) -> Recent {
        Recent {
            window: window.as_secs().max(1),
            now: Duration::ZERO,
            entities: BTreeMap::new(),
        }
    }

    /// Takes in the reading that follows. The ratio of a row is that of its run time in the window and
    /// its contract of the same time.
    pub(in crate::signal) fn observe(&mut self, model: &Model) -> Ratios {
        self.now = self.now.saturating_add(model.length);
        let number = self.now.as_secs();
        let first = (number + 1).saturating_sub(self.window);
        self.entities.retain(|_, seconds| seconds.latest >= first);
        let ratio = |row: &Row| {
            if let Some(used) = used(row) {
                if let Some(seconds) = self.entities.get_mut(&row.key) {
                    seconds.add(number, used);
                } else {
                    let mut seconds = Seconds::none(number, self.window);
                    seconds.add(number, used);
                    self.entities.insert(row.key.clone(), seconds);
                }
            }
            self.entities.get(&row.key)?.ratio(first)
        };
        Ratios(model.entities.rows.iter().map(ratio).collect())
    }
}

impl Seconds {
    fn none(number: u64, window: u64) -> Seconds {
        Seconds {
            latest: number,
            ring: vec![Second::default(); window as usize].into(),
        }
    }

    fn add(&mut self, number: u64, (run_s, contract_s): (f64, f64)) {
        let skipped = self.latest + 1..=number;
        for missing in skipped.take(self.ring.len()) {
            *self.place(missing) = Second::default();
        }
        *self.place(number) = {
            let sum = *self.place(number);
            Second {
                run_s: sum.run_s + run_s as f32,
                contract_s: sum.contract_s + contract_s as f32,
            }
        };
        self.latest = number;
    }

    fn place(&mut self, number: u64) -> &mut Second {
        let length = self.ring.len() as u64;
        &mut self.ring[(number % length) as usize]
    }

    /// Over the seconds from `first` on.
    fn ratio(&self, first: u64) -> Option<f64> {
        let length = self.ring.len() as u64;
        let oldest = (self.latest + 1).saturating_sub(length).max(first);
        let known = || (oldest..=self.latest).map(|number| self.ring[(number % length) as usize]);
        let sum = |of: fn(Second) -> f32| known().map(|second| f64::from(of(second))).sum::<f64>();
        let contract_s = sum(|second| second.contract_s);
        (contract_s > 0.0).then(|| sum(|second| second.run_s) / contract_s)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fixture::Scene;

    const ENTITIES: usize = 4;
    const WINDOW: u64 = 10;

    /// Of each entity that is there, run time and contract, milliseconds.
    type Deeds = [Option<(Option<u64>, Option<u64>)>; ENTITIES];

    fn model(length: Duration, deeds: &Deeds) -> Model {
        let mut scene = Scene::new(1);
        scene.after.monotonic = scene.before.monotonic + length;
        let paths: Vec<String> = (0..ENTITIES).map(|n| format!("/{n}.service")).collect();
        for (number, deed) in deeds.iter().enumerate().filter(|(_, deed)| deed.is_some()) {
            let party = scene.cgroup(10 + number as u64, &paths[number]);
            let run = deed.and_then(|(run, _)| run).unwrap_or(0);
            scene.ran(party, run as f64 / 1e3);
        }
        let mut model = scene.model();
        for row in &mut model.entities.rows {
            let number = paths.iter().position(|path| row.path == **path);
            let Some((run, contract)) = number.and_then(|number| deeds[number]) else {
                continue;
            };
            row.contract_s = contract.map(|contract| contract as f64 / 1e3);
            if run.is_none() {
                row.usage = None;
            }
        }
        model
    }

    fn deed() -> impl Strategy<Value = Option<(Option<u64>, Option<u64>)>> {
        let known = |most: u64| prop::option::weighted(0.9, 0..most);
        prop::option::weighted(0.8, (known(1_000), known(1_000)))
    }

    fn readings() -> impl Strategy<Value = Vec<(u64, Deeds)>> {
        let length = prop_oneof![8 => Just(1_000u64), 2 => 100u64..4_000, 1 => 5_000u64..30_000];
        let deeds = prop::array::uniform4(deed());
        prop::collection::vec((length, deeds), 1..60)
    }

    proptest! {
        /// As from all readings together, each time; and nothing older is kept.
        #[test]
        fn it_is_what_all_readings_of_the_window_come_to(readings in readings()) {
            let mut recent = Recent::new(Duration::from_secs(WINDOW));
            let mut all: Vec<(u64, Deeds)> = Vec::new();
            let mut now_ms = 0;
            for (length, deeds) in readings {
                now_ms += length;
                all.push((now_ms / 1_000, deeds));
                let model = model(Duration::from_millis(length), &deeds);
                let ratios = recent.observe(&model);
                for (index, row) in model.entities.rows.iter().enumerate() {
                    let number = (0..ENTITIES).find(|n| row.path == *format!("/{n}.service"));
                    let Some(number) = number else { continue };
                    let within = all.iter().filter(|(second, _)| second + WINDOW > now_ms / 1_000);
                    let known = within.filter_map(|(_, deeds)| {
                        let (run, contract) = deeds[number]?;
                        Some((run?, contract?))
                    });
                    let (run, contract) = known.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
                    let expected = (contract > 0).then(|| run as f64 / contract as f64);
                    match (ratios.get(index), expected) {
                        (Some(told), Some(expected)) => {
                            prop_assert!((told - expected).abs() <= 1e-6 * expected.max(1.0));
                        }
                        (told, expected) => prop_assert_eq!(told, expected),
                    }
                }
                for seconds in recent.entities.values() {
                    prop_assert_eq!(seconds.ring.len(), WINDOW as usize);
                }
            }
            let nobody = model(Duration::from_secs(WINDOW), &[None; ENTITIES]);
            recent.observe(&nobody);
            prop_assert!(recent.entities.is_empty());
        }
    }

    #[test]
    fn a_burst_of_one_second_is_within_a_contract_of_ten() {
        let mut recent = Recent::new(Duration::from_secs(WINDOW));
        let mut ratio = |run| {
            let deed = Some((Some(run), Some(300)));
            let ratios = recent.observe(&model(Duration::from_secs(1), &[deed, None, None, None]));
            ratios.get(0).unwrap()
        };
        for _ in 0..9 {
            assert!((ratio(100) - 1.0 / 3.0).abs() < 1e-6);
        }
        assert!((ratio(900) - 0.6).abs() < 1e-6, "three times for a second");
        for _ in 0..3 {
            ratio(900);
        }
        assert!(ratio(900) > 1.1, "and for five");
    }
}
