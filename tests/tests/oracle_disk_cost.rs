//! How many requests a device loses that takes no time itself.

use std::time::{Duration, Instant};

use tests::capability::{emulated, unsupported};
use tests::cgroup::Cgroup;
use tests::disk::null_blk::{self, NullBlk, NullPlan};
use tests::load::Plan;
use tests::report::Running;
use tests::shape::{Mode, Shape, Transfer};

const ROUNDS: usize = 10;
const REQUESTS: usize = 2_000;

/// Requests per second of each round.
fn rates(device: &NullBlk, cgroup: &Cgroup) -> Vec<f64> {
    let rate = |_| {
        let shape = Shape::new(Mode::Disk(Transfer::Read))
            .threads(4)
            .count(REQUESTS)
            .size(4096)
            .target(&device.device().path());
        let mut load = Plan::new(shape, cgroup).start().expect("it starts");
        let start = Instant::now();
        load.go();
        load.tally().requests as f64 / start.elapsed().as_secs_f64()
    };
    let mut rates: Vec<f64> = (0..ROUNDS).map(rate).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// Where time is counted in instructions, a rate is as exact as a count: that is where it is judged.
#[test]
fn a_null_device_serves_nearly_as_many_requests() {
    let test = "a_null_device_serves_nearly_as_many_requests";
    let plan = NullPlan {
        delay: Duration::from_micros(1),
        size: 256,
        ..NullPlan::default()
    };
    let Some(device) = NullBlk::new(plan) else {
        return unsupported(test, null_blk::CAPABILITY);
    };
    let cgroup = Cgroup::with_io().expect("a cgroup");
    let before = rates(&device, &cgroup);
    let report = Running::start(&["--duration", "10m"]);
    let during = rates(&device, &cgroup);
    drop(report.interrupt());
    let after = rates(&device, &cgroup);
    let mut without = [before, after].concat();
    without.sort_by(f64::total_cmp);
    let (without, with) = (without[ROUNDS], during[ROUNDS / 2]);
    let lost = 100.0 * (1.0 - with / without);
    println!("{without:.0} requests/s, {with:.0} while observed: {lost:.1} % fewer");
    if emulated() {
        assert!(lost < 15.0, "{lost:.1} % fewer requests");
    }
}
