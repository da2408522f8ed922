use super::*;

fn total(requests: u64, untimed: u64, unissued: u64, unseen: u64, seen: u64) -> Total {
    let mut total = Total::default();
    total.account.requests = requests;
    total.account.untimed = untimed;
    total.account.unissued = unissued;
    total.unseen = unseen;
    total.seen_issued = seen;
    total
}

#[test]
fn most_requests_tell_how_times_are_known() {
    let of = |total: Total| timing([&total].into_iter());
    assert_eq!(of(total(10, 0, 1, 0, 0)), Timing::Kernel);
    assert_eq!(of(total(10, 0, 0, 0, 10)), Timing::Issues);
    assert_eq!(of(total(10, 0, 10, 0, 0)), Timing::TotalOnly);
    assert_eq!(of(total(10, 10, 0, 1, 9)), Timing::DeviceOnly);
    assert_eq!(of(total(10, 10, 0, 9, 1)), Timing::Nothing);
}
