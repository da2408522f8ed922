use super::*;
use crate::sample::CgroupId;
use proptest::prelude::*;

const DEVICE: DeviceId = DeviceId { major: 8, minor: 0 };
const ALL: Observed = Observed { sampled: 0 };
const MS: u64 = 1_000_000;

fn owner(number: u64) -> DiskOwner {
    DiskOwner::Cgroup(CgroupId(number))
}

fn request(number: u64, start: u64, issued: u64, done: u64) -> Request {
    Request {
        owner: owner(number),
        operation: Operation::Read,
        start,
        issued: Some(issued),
        done,
        bytes: 4096,
    }
}

fn settled(requests: &[Request], until: u64) -> BTreeMap<Stream, DiskWait> {
    let mut attribution = Attribution::new(0);
    for request in requests {
        assert!(attribution.add(DEVICE, *request));
    }
    attribution.settle(until, ALL);
    attribution.waits()
}

fn wait_of(waits: &BTreeMap<Stream, DiskWait>, number: u64) -> DiskWait {
    let stream = Stream {
        owner: owner(number),
        device: DEVICE,
        operation: Operation::Read,
    };
    waits.get(&stream).cloned().unwrap_or_default()
}

fn total(wait: &DiskWait) -> u64 {
    let neighbors: u64 = wait.neighbor_ns.values().sum();
    neighbors + wait.self_ns + wait.device_ns + wait.held_ns + wait.unattributed_ns
}

#[test]
fn who_is_in_service_is_waited_for() {
    let waits = settled(
        &[
            request(1, 0, 0, 30 * MS),
            request(2, 10 * MS, 30 * MS, 40 * MS),
            request(2, 20 * MS, 40 * MS, 50 * MS),
        ],
        60 * MS,
    );
    let first = wait_of(&waits, 1);
    assert_eq!((first.device_ns, total(&first)), (30 * MS, 30 * MS));
    let second = wait_of(&waits, 2);
    assert_eq!(second.neighbor_ns, BTreeMap::from([(owner(1), 30 * MS)]));
    assert_eq!((second.self_ns, second.device_ns), (10 * MS, 20 * MS));
    assert_eq!(total(&second), 60 * MS);
}

#[test]
fn what_waits_while_nothing_is_served_is_held() {
    let waits = settled(&[request(1, 5 * MS, 9 * MS, 10 * MS)], 20 * MS);
    assert_eq!(wait_of(&waits, 1).held_ns, 4 * MS);
}

#[test]
fn beyond_what_the_device_needs_alone_is_the_work_of_others() {
    let mut attribution = Attribution::new(0);
    for number in 0..20 {
        let start = number * 10 * MS;
        attribution.add(DEVICE, request(1, start, start, start + MS));
    }
    attribution.settle(200 * MS, ALL);
    let before = attribution.waits();
    for number in [1, 2, 2, 2] {
        attribution.add(DEVICE, request(number, 300 * MS, 300 * MS, 304 * MS));
    }
    attribution.settle(400 * MS, ALL);
    let (before, after) = (wait_of(&before, 1), wait_of(&attribution.waits(), 1));
    let alone = after.device_ns - before.device_ns;
    assert!((MS..MS * 6 / 5).contains(&alone), "{alone}");
    assert_eq!(
        after.neighbor_ns,
        BTreeMap::from([(owner(2), 4 * MS - alone)])
    );
    let other = wait_of(&attribution.waits(), 2);
    let delay = 4 * MS - alone;
    assert_eq!(other.neighbor_ns[&owner(1)], delay);
    assert!(other.self_ns.abs_diff(2 * delay) <= 3);
}

#[test]
fn concurrency_alone_is_no_harm() {
    let requests: Vec<Request> = (0..200)
        .map(|number| request(1 + number % 2, number * MS, number * MS, (number + 10) * MS))
        .collect();
    let mut attribution = Attribution::new(0);
    for window in requests.chunks(50) {
        for request in window {
            attribution.add(DEVICE, *request);
        }
        attribution.settle(window[49].done, ALL);
    }
    for number in [1, 2] {
        let wait = wait_of(&attribution.waits(), number);
        assert_eq!(wait.device_ns, total(&wait));
    }
}

#[test]
fn what_is_settled_late_counts_once() {
    let long = request(1, 0, 10 * MS, 90 * MS);
    let mut attribution = Attribution::new(0);
    attribution.settle(50 * MS, ALL);
    attribution.add(DEVICE, long);
    attribution.settle(80 * MS, ALL);
    assert_eq!(total(&wait_of(&attribution.waits(), 1)), 30 * MS);
    attribution.settle(100 * MS, ALL);
    assert_eq!(total(&wait_of(&attribution.waits(), 1)), 40 * MS);
}

#[test]
fn who_is_forgotten_is_waited_for_by_nobody() {
    let mut attribution = Attribution::new(0);
    attribution.add(DEVICE, request(1, 0, 0, 30 * MS));
    attribution.add(DEVICE, request(2, 10 * MS, 30 * MS, 40 * MS));
    attribution.settle(50 * MS, ALL);
    let gone = Stream {
        owner: owner(1),
        device: DEVICE,
        operation: Operation::Read,
    };
    attribution.forget(&gone);
    let waits = attribution.waits();
    assert!(!waits.contains_key(&gone));
    let nobody = Stream {
        owner: DiskOwner::Other,
        ..gone
    };
    assert_eq!(waits[&nobody].device_ns, 30 * MS);
    let left = wait_of(&waits, 2);
    assert_eq!(
        left.neighbor_ns,
        BTreeMap::from([(DiskOwner::Other, 20 * MS)])
    );
}

#[test]
fn a_flush_of_the_kernel_is_in_service_once() {
    let flush = |owner, start| Request {
        owner,
        operation: Operation::Flush,
        ..request(1, start, start, 20 * MS)
    };
    let own = flush(owner(1), 0);
    let waits = settled(
        &[
            own,
            flush(DiskOwner::Device, 5 * MS),
            request(2, 10 * MS, 20 * MS, 30 * MS),
        ],
        40 * MS,
    );
    let all: Vec<&DiskWait> = waits.values().collect();
    assert!(all.iter().all(|wait| wait.unattributed_ns == 0));
    let last = wait_of(&waits, 2);
    assert_eq!(last.neighbor_ns, BTreeMap::from([(owner(1), 10 * MS)]));
    assert_eq!(all.iter().map(|wait| wait.device_ns).sum::<u64>(), 45 * MS);
}

/// The same by small steps.
fn by_steps(requests: &[Request], until: u64, step: u64) -> BTreeMap<(u64, u64), f64> {
    let mut waited = BTreeMap::new();
    let number = |request: &Request| match request.owner {
        DiskOwner::Cgroup(id) => id.0,
        _ => 0,
    };
    for at in (0..until).step_by(step as usize) {
        let at = at + step / 2;
        let in_service = |request: &&Request| request.issued.unwrap() <= at && at < request.done;
        let served: Vec<&Request> = requests.iter().filter(in_service).collect();
        for request in requests {
            if request.start <= at && at < request.issued.unwrap() && !served.is_empty() {
                for other in &served {
                    *waited.entry((number(request), number(other))).or_default() +=
                        step as f64 / served.len() as f64;
                }
            }
        }
    }
    waited
}

prop_compose! {
    fn any_request()(
        number in 1u64..4, start in 0u64..500, queue in 0u64..100, service in 1u64..100
    ) -> Request {
        let issued = start + queue;
        request(number, start * 1000, issued * 1000, (issued + service) * 1000)
    }
}

proptest! {
    #[test]
    fn parts_add_up_however_time_is_cut(
        requests in prop::collection::vec(any_request(), 1..40),
        cuts in prop::collection::btree_set(1u64..700_000, 0..6),
    ) {
        let mut attribution = Attribution::new(0);
        for request in &requests {
            attribution.add(DEVICE, *request);
        }
        for cut in &cuts {
            attribution.settle(*cut, ALL);
        }
        attribution.settle(800_000, ALL);
        let waits = attribution.waits();
        let whole: u64 = requests.iter().map(|request| request.done - request.start).sum();
        let sum: u64 = waits.values().map(total).sum();
        prop_assert!(sum.abs_diff(whole) < 100, "{sum} of {whole}");
    }

    #[test]
    fn the_queue_is_shared_as_by_small_steps(requests in prop::collection::vec(any_request(), 1..25)) {
        let waits = settled(&requests, 800_000);
        let expected = by_steps(&requests, 800_000, 1000);
        for number in 1..4 {
            let wait = wait_of(&waits, number);
            for other in (1..4).filter(|other| *other != number) {
                let ours = wait.neighbor_ns.get(&owner(other)).copied().unwrap_or(0) as f64;
                let exact = expected.get(&(number, other)).copied().unwrap_or(0.0);
                prop_assert!((ours - exact).abs() < 5.0, "{number} for {other}: {ours}, {exact}");
            }
        }
    }
}
