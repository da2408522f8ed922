//! How much is remembered of how many entities.

use super::fixture::{Did, Host};
use crate::history::{BUDGET, Store};

/// What two hours of so many entities take, by what some minutes of them take: of ten entities one
/// loses time to another, three more run, and the rest are idle.
fn two_hours(entities: u64, minutes: u64) -> usize {
    let (mut host, mut store) = (Host::new(), Store::new(BUDGET));
    let mut random = fastrand::Rng::with_seed(entities);
    let mut second = 0;
    for number in 0..60 * minutes {
        let mut did = Vec::new();
        for id in 10..10 + entities {
            let mut seconds = || random.f64() / 100.0;
            match id % 10 {
                0 => did.push((id, Did::Waited(seconds(), seconds(), id + 1))),
                1..5 => did.push((id, Did::Ran(seconds()))),
                _ => {}
            }
        }
        store.add(&host.second(&did)).unwrap();
        if number == 59 {
            second = store.bytes() / 60;
        }
    }
    let folded = minutes as usize - 1;
    let (of_minutes, of_seconds) = store.bytes_by_length();
    let (minute, seconds) = (of_minutes / folded, of_seconds / folded);
    println!(
        "{entities} entities: {second} B a second, later {minute} B a minute and {seconds} B for its seconds"
    );
    120 * second + 120 * minute + 15 * seconds
}

#[test]
fn two_hours_of_a_thousand_entities_fit() {
    for (entities, minutes) in [(100, 4), (1_000, 2)] {
        let bytes = two_hours(entities, minutes);
        assert!(bytes < BUDGET, "{entities} entities take {bytes} bytes");
    }
}
