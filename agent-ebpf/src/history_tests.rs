//! Against a naive list of slices.

use std::collections::BTreeMap;

use super::*;
use crate::{
    owner::KernelFamily,
    throttle::{Interval, Windows},
    walk::{Found, Tally, Walk},
};
use proptest::prelude::*;

/// A slice as the naive list keeps it.
#[derive(Clone, Copy, Debug)]
struct Ran {
    owner: Owner,
    length: u64,
    steal: u64,
}

fn fold(history: &mut History) -> Rest {
    let rest = history.fold();
    match rest {
        Rest::Nothing => {}
        Rest::Slices => history.fold_slices(),
        Rest::Shares(merge) => {
            let mut shares = 0..;
            while shares
                .next()
                .is_some_and(|share| history.merge(merge, share))
            {}
        }
    }
    rest
}

fn history_of(slices: &[Ran]) -> Box<History> {
    recorded(slices, |_| {})
}

/// A history of these slices; `folded` gets what each fold left to do.
fn recorded(slices: &[Ran], mut folded: impl FnMut(Rest)) -> Box<History> {
    let mut history: Box<History> = bytemuck::allocation::zeroed_box();
    let mut now = 1_000;
    history.start(now);
    for slice in slices {
        now += slice.length;
        history.record(Slice {
            owner: slice.owner.0,
            end: now,
            steal: slice.steal,
            ..Slice::default()
        });
        if history.is_unfolded() {
            folded(fold(&mut history));
        }
    }
    history
}

fn now(history: &History) -> u64 {
    history.slice(history.open()).end
}

fn owner(number: u32) -> Owner {
    match number {
        0 => Owner::IDLE,
        1 => Owner::kernel(KernelFamily::Kworker),
        n => Owner::new(40 + n, 1),
    }
}

/// Slices of one owner in a row are one slice: that is how the history keeps them.
fn slices(owners: u32, count: core::ops::Range<usize>) -> impl Strategy<Value = Vec<Ran>> {
    let all = prop::collection::vec(slice(owners), count);
    (all, any::<bool>()).prop_map(|(all, is_stolen_from)| {
        let mut merged: Vec<Ran> = Vec::new();
        for mut next in all {
            next.steal *= u64::from(is_stolen_from);
            match merged.last_mut() {
                Some(last) if last.owner == next.owner => {
                    last.length += next.length;
                    last.steal += next.steal;
                }
                _ => merged.push(next),
            }
        }
        merged
    })
}

fn slice(owners: u32) -> impl Strategy<Value = Ran> {
    (0..owners, 1u64..5_000, 0u64..100).prop_map(|(number, length, steal)| Ran {
        owner: owner(number),
        length,
        steal: steal.min(length) / 2,
    })
}

/// Exact amounts by owner over a window, with steal apart.
fn naive(slices: &[Ran], window: Interval) -> (BTreeMap<u32, f64>, f64) {
    let (mut by_owner, mut steal, mut start) = (BTreeMap::new(), 0.0, 1_000);
    for slice in slices {
        let end = start + slice.length;
        let overlap = end.min(window.end).saturating_sub(start.max(window.start)) as f64;
        let share = overlap / slice.length as f64;
        steal += slice.steal as f64 * share;
        *by_owner.entry(slice.owner.0).or_default() += overlap - slice.steal as f64 * share;
        start = end;
    }
    (by_owner, steal)
}

/// Slices of one length, in which these owners take turns.
fn in_turn(owners: &[u32], count: usize, length: u64) -> Vec<Ran> {
    let owners = owners.iter().cycle().take(count);
    owners
        .map(|number| Ran {
            owner: owner(*number),
            length,
            steal: 0,
        })
        .collect()
}

/// The latest part of a history.
fn latest(history: &History, length: u64) -> Interval {
    let end = now(history);
    Interval {
        start: end - length,
        end,
    }
}

/// What a walk found, and its steps.
struct Walked {
    tally: Tally,
    blame: BTreeMap<u32, u64>,
    steps: u64,
}

fn walked(history: &History, parts: &[Interval], victim: Owner) -> Walked {
    let mut windows: Windows = Zeroable::zeroed();
    windows.count = parts.len() as u64;
    windows.parts[..parts.len()].copy_from_slice(parts);
    let (mut walk, mut blame, mut steps) = (Walk::default(), BTreeMap::new(), 0);
    walk.start(history.open() + 1, &windows);
    while !walk.is_done() {
        let mut blame = |owner, ns| *blame.entry(owner).or_default() += ns;
        match walk.step(history, &windows, victim) {
            Found::Nothing => {}
            Found::Culprit => blame(walk.culprit.owner, walk.culprit.ns),
            Found::Summary => walk.add_shares(history, victim, &mut blame),
        }
        steps += 1;
        assert!(steps < 4096, "a walk without end");
    }
    Walked {
        tally: walk.tally,
        blame,
        steps,
    }
}

#[test]
fn two_that_take_turns_are_folded_at_once() {
    for owners in [[2, 3], [0, 2], [2, 0], [1, 2]] {
        let (mut groups, mut others) = (0, 0);
        recorded(&in_turn(&owners, 1_024, 10), |rest| match rest {
            Rest::Nothing => groups += 1,
            _ => others += 1,
        });
        // The first 64 begin with what is not known; of the rest only whole 64s are folded again.
        assert!(groups >= 127, "{groups} groups of 128");
        assert!(others <= 8 + 16 + 2, "{others} folds of another kind");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn recent_waits_are_exact(
        slices in (2u32..9).prop_flat_map(|owners| slices(owners, 80..600)),
        back in 1usize..56,
        cut in 0u64..5_000,
    ) {
        let history = history_of(&slices);
        let now = now(&history);
        let reach: u64 = slices[slices.len().saturating_sub(back)..].iter().map(|s| s.length).sum();
        let window = Interval { start: now - reach + cut.min(reach - 1), end: now };
        let Walked { tally, blame, .. } = walked(&history, &[window], owner(2));
        let (by_owner, steal) = naive(&slices, window);
        prop_assert_eq!(tally.total(), window.end - window.start);
        prop_assert_eq!(tally.estimated, 0);
        prop_assert!((tally.steal as f64 - steal).abs() <= 2.0);
        for (owner, ns) in by_owner {
            let ours = match owner {
                o if o == Owner::IDLE.0 => tally.idle,
                o if o == tests::owner(2).0 => tally.own,
                o => blame.get(&o).copied().unwrap_or(0),
            };
            prop_assert!((ours as f64 - ns).abs() <= 3.0, "owner {owner}: {ours}, exact {ns}");
        }
    }

    #[test]
    fn long_waits_add_up_and_stay_near(
        slices in (2u32..11).prop_flat_map(|owners| slices(owners, 100..4_000)),
        part in 0.05f64..1.0,
    ) {
        let history = history_of(&slices);
        let length = ((now(&history) - 1_000) as f64 * part) as u64;
        let window = latest(&history, length);
        let Walked { tally, blame, .. } = walked(&history, &[window], owner(3));
        let (by_owner, _) = naive(&slices, window);
        let missing = length - tally.total();
        prop_assert!(missing as f64 <= 1e-4 * length as f64 + 20.0, "missing {missing} of {length}");
        // What is estimated is at most one summary at the far end.
        prop_assert!(tally.estimated as f64 <= 0.5 * length as f64);
        let kernel = by_owner.get(&owner(1).0).copied().unwrap_or(0.0);
        let slack = tally.estimated as f64 + 50.0;
        prop_assert!((tally.kernel as f64 - kernel).abs() <= slack);
        let neighbors: u64 = blame.values().sum();
        prop_assert_eq!(neighbors, tally.neighbor + tally.kernel);
    }

    #[test]
    fn windows_leave_out_what_is_between(
        slices in slices(6, 60..400),
        cuts in prop::collection::btree_set(1u64..40_000, 2..12),
    ) {
        let history = history_of(&slices);
        let now = now(&history);
        let cuts: Vec<u64> = cuts.into_iter().filter(|cut| now - cut > 1_000).collect();
        let parts: Vec<Interval> = cuts
            .chunks_exact(2)
            .map(|pair| Interval { start: now - pair[1], end: now - pair[0] })
            .collect();
        prop_assume!(!parts.is_empty());
        let Walked { tally, .. } = walked(&history, &parts, owner(2));
        let wanted: u64 = parts.iter().map(|part| part.end - part.start).sum();
        let missing = wanted.abs_diff(tally.total());
        prop_assert!(missing as f64 <= 1e-4 * wanted as f64 + 40.0, "missing {missing} of {wanted}");
        if tally.estimated == 0 {
            let own: f64 = parts
                .iter()
                .map(|part| naive(&slices, *part).0.get(&owner(2).0).copied().unwrap_or(0.0))
                .sum();
            prop_assert!((tally.own as f64 - own).abs() <= 3.0 * cuts.len() as f64);
        }
    }
}

#[test]
fn a_storm_of_two_owners_is_known_far_back() {
    let history = history_of(&in_turn(&[2, 3], 300_000, 3));
    let window = latest(&history, 700_000);
    let Walked {
        tally,
        blame,
        steps,
    } = walked(&history, &[window], owner(4));
    assert!(tally.total().abs_diff(700_000) < 50);
    assert!(steps < 160, "{steps} steps");
    for culprit in [owner(2), owner(3)] {
        assert!(blame[&culprit.0].abs_diff(350_000) < 1_000, "{blame:?}");
    }
}

#[test]
fn more_owners_than_shares_keep_the_cause() {
    let owners: Vec<u32> = (2..42).collect();
    let history = history_of(&in_turn(&owners, 10_000, 100));
    let window = latest(&history, 500_000);
    let Walked { tally, blame, .. } = walked(&history, &[window], owner(90));
    assert!(tally.total().abs_diff(500_000) < 50);
    assert_eq!(tally.total(), tally.neighbor);
    assert!(blame.values().sum::<u64>() < tally.neighbor);
}

#[test]
fn time_before_the_first_slice_is_not_invented() {
    let history = history_of(&[Ran {
        owner: owner(2),
        length: 500,
        steal: 0,
    }]);
    let Walked { tally, .. } = walked(
        &history,
        &[Interval {
            start: 0,
            end: 1_500,
        }],
        owner(3),
    );
    assert_eq!(tally.total(), 500);
    let empty: Box<History> = bytemuck::allocation::zeroed_box();
    let Walked { tally, .. } = walked(
        &empty,
        &[Interval {
            start: 0,
            end: 1_500,
        }],
        owner(3),
    );
    assert_eq!(tally.total(), 0);
}
