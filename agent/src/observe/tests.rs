use std::time::{Duration, Instant};

use super::*;
use crate::{host::privileges, sample::Party};

#[test]
fn limits_are_read_for_those_who_did_most() {
    let ms = LEAST_FOR_LIMITS;
    let active = (0..1_000).map(|n| (CgroupId(n), ms * (n % 500))).collect();
    let most = most_active(&active, |_| true);
    assert_eq!(most.len(), MOST_LIMITS);
    let least = ms * (500 - MOST_LIMITS as u64 / 2);
    assert!(most.iter().all(|id| active[id] >= least));
    let one = BTreeMap::from([(CgroupId(3), 0)]);
    assert_eq!(most_active(&one, |_| false), [CgroupId(3)]);
    assert_eq!(most_active(&one, |_| true), []);
}

#[test]
fn an_observer_may_change_threads() {
    fn check<T: Send>() {}
    check::<Observer>();
}

fn may_observe() -> bool {
    let privileges = privileges::read(Path::new(PROC), Path::new(SYS)).unwrap();
    privileges.effective.can_trace() && Path::new("/sys/kernel/btf/vmlinux").exists()
}

fn work(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::black_box(start);
    }
}

#[test]
fn this_machine_is_accounted_whole() {
    if !may_observe() {
        println!("UNSUPPORTED this_machine_is_accounted_whole: privileges or btf");
        return;
    }
    let mut observer = Observer::start().unwrap_or_else(|error| panic!("{error}"));
    assert!(observer.capabilities().len() >= 13);
    let first = observer.sample().unwrap();
    work(Duration::from_millis(200));
    let second = observer.sample().unwrap();

    let elapsed = second.monotonic.saturating_sub(first.monotonic).as_nanos() as f64;
    for (before, after) in first.cpus.iter().zip(&second.cpus) {
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let used = (after.run_ns - before.run_ns)
            + (after.idle_ns - before.idle_ns)
            + (after.steal_ns - before.steal_ns)
            + (after.irq_ns - before.irq_ns);
        let share = used as f64 / elapsed;
        // A machine that does other things may stop this test in the middle of a reading.
        assert!(
            (0.8..1.2).contains(&share),
            "{share} of the time: {after:?}"
        );
    }
    for (party, before) in &first.accounts {
        let after = &second.accounts[party];
        assert!(after.run_ns >= before.run_ns, "{party:?}");
        for (after, before) in after.wait_ns.iter().zip(&before.wait_ns) {
            assert!(after >= before, "{party:?}");
        }
    }
    let health = &second.health;
    let dropped: u64 = health.dropped.iter().sum();
    let in_work = health.seen - health.accounted - dropped;
    assert!(in_work <= second.cpus.len() as u64, "{health:?}");
    let is_namespaced = observer.hierarchy().is_namespaced();
    assert!(second.accounts.keys().all(|party| match party {
        Party::Cgroup(id) => is_namespaced || second.cgroups.contains_key(id),
        Party::Kernel(_) | Party::Other => true,
    }));
}
