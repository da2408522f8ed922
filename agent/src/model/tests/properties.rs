use std::time::Duration;

use agent_ebpf::{cause::Cause, owner::KernelFamily};
use proptest::prelude::*;

use crate::{
    model::{
        Key, Model, Resource, Table,
        fixture::{Scene, identify},
    },
    sample::{
        Account, Blame, CgroupId, Counts, CpuTime, Party, Quota, Sample, StealSource,
        ThrottleSource, WaitInProgress,
    },
};

const PATHS: [&str; 8] = [
    "/a.service",
    "/a.service/x",
    "/a.service/y",
    "/b",
    "/b/c.scope",
    "/b/c.scope/init",
    "/b/d.scope",
    "/b/e",
];

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![
        8 => (1u64..12).prop_map(|id| Party::Cgroup(CgroupId(id))),
        2 => (0usize..3).prop_map(|family| Party::Kernel(KernelFamily::ALL[family])),
        1 => Just(Party::Other),
    ]
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0u64..1_000, 0u64..20_000_000_000, 0u64..1 << 50]
}

prop_compose! {
    fn account()(
        times in prop::array::uniform3(amount()),
        wait_ns in prop::array::uniform8(amount()),
        counts in prop::array::uniform4(0u64..1 << 40),
        phantom_ns in amount(),
        delays in prop::collection::vec((0usize..=104, 0u64..1 << 40), 0..5),
    ) -> Account {
        let mut delay = Counts::default();
        for (bucket, count) in delays {
            delay.change()[bucket] += count;
        }
        Account {
            run_ns: times[0],
            steal_ns: times[1],
            irq_ns: times[2],
            wait_ns,
            waits: counts[0],
            switches_voluntary: counts[1],
            switches_involuntary: counts[2],
            migrations: counts[3],
            phantom_ns,
            throttled: delay.clone(),
            delay,
        }
    }
}

fn blame() -> impl Strategy<Value = Blame> {
    let pairs = prop::collection::btree_map((party(), party()), amount(), 0..20);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

fn cpus() -> impl Strategy<Value = Vec<Option<CpuTime>>> {
    let cpu = prop::array::uniform4(amount()).prop_map(|ns| CpuTime {
        run_ns: ns[0],
        idle_ns: ns[1],
        steal_ns: ns[2],
        irq_ns: ns[3],
    });
    prop::collection::vec(prop::option::of(cpu), 0..4)
}

prop_compose! {
    pub(super) fn sample()(
        accounts in prop::collection::btree_map(party(), account(), 0..12),
        blame in blame(),
        cpus in cpus(),
        cgroups in prop::collection::vec((any::<bool>(), prop::option::of(0u64..3000), 0u8..4), 8),
        waiting in prop::option::of(prop::collection::vec((party(), 0u64..100_000), 0..5)),
        able in (any::<bool>(), any::<bool>(), 0u8..3),
        health in prop::array::uniform8(0u64..1 << 40),
        clock in (0u64..20_000, 0u64..100_000),
        kernel_run_delay_ns in prop::option::of(0u64..1 << 40),
    ) -> Sample {
        let mut scene = Scene::new(1);
        for (id, (path, (there, weight, quota))) in (2u64..).zip(PATHS.into_iter().zip(cgroups)) {
            scene.cgroup(id, path);
            let cgroup = scene.after.cgroups.get_mut(&CgroupId(id)).unwrap();
            cgroup.weight = weight;
            cgroup.quota = match quota {
                0 => None,
                1 => Some(Quota::Cpus(0.25)),
                _ => Some(Quota::Unlimited),
            };
            cgroup.cpuset = (quota == 3).then(|| vec![0, 2]);
            if !there {
                scene.before.cgroups.insert(CgroupId(id), cgroup.clone());
            }
        }
        let mut sample = scene.after;
        sample.monotonic = Duration::from_millis(clock.0);
        sample.wall = std::time::UNIX_EPOCH + Duration::from_secs(clock.1);
        sample.accounts = accounts;
        sample.blame = blame;
        sample.cpus = cpus;
        sample.abilities.steal = able.0.then_some(StealSource::Tick);
        sample.abilities.irq = able.1;
        sample.abilities.throttle = match able.2 {
            0 => None,
            1 => Some(ThrottleSource::NoQuotas),
            _ => Some(ThrottleSource::Hooks),
        };
        sample.waiting = waiting.map(|waiting| {
            let wait = |(party, ms)| WaitInProgress {
                party,
                tid: 1,
                waited: Duration::from_millis(ms),
            };
            waiting.into_iter().map(wait).collect()
        });
        sample.health.seen = health[0];
        sample.health.accounted = health[1];
        sample.health.dropped[0] = health[2];
        sample.health.estimated_ns = health[3];
        sample.health.cost_ns = health[4];
        sample.health.cost_runs = health[5];
        sample.health.unattributed_ns[1] = health[6];
        sample.health.kernel_run_delay_ns = kernel_run_delay_ns;
        sample
    }
}

/// Samples of which the second need not belong to the first.
fn pair() -> impl Strategy<Value = (Sample, Sample)> {
    prop_oneof![(sample(), sample()).prop_map(some_come_and_go), grown()]
}

/// Samples as they are taken: counters grow, and some cgroups are forgotten in between.
fn grown() -> impl Strategy<Value = (Sample, Sample)> {
    let forgotten = prop::collection::btree_set(1u64..12, 0..4);
    (sample(), sample(), forgotten).prop_map(|(before, mut after, forgotten)| {
        after = succeeding(&before, after);
        for id in forgotten {
            let party = Party::Cgroup(CgroupId(id));
            if let Some(account) = after.accounts.remove(&party) {
                after
                    .accounts
                    .entry(Party::Other)
                    .or_default()
                    .add(&account);
            }
            after
                .blame
                .retain(|(victim, culprit)| *victim != party && *culprit != party);
        }
        some_come_and_go((before, after))
    })
}

/// A sample whose counters go on from those before.
pub(super) fn succeeding(before: &Sample, mut after: Sample) -> Sample {
    after.monotonic += before.monotonic;
    for (party, account) in &before.accounts {
        after.accounts.entry(*party).or_default().add(account);
    }
    after
        .blame
        .add(&mut before.blame.iter().collect::<Vec<_>>());
    let (sum, more) = (&mut after.health, &before.health);
    sum.seen += more.seen;
    sum.accounted += more.accounted;
    sum.dropped[0] += more.dropped[0];
    sum.estimated_ns += more.estimated_ns;
    sum.cost_ns += more.cost_ns;
    sum.cost_runs += more.cost_runs;
    sum.unattributed_ns[1] += more.unattributed_ns[1];
    let both = sum.kernel_run_delay_ns.zip(more.kernel_run_delay_ns);
    sum.kernel_run_delay_ns = both.map(|(sum, more)| sum + more);
    after
}

pub(super) fn some_come_and_go((mut before, mut after): (Sample, Sample)) -> (Sample, Sample) {
    before.cgroups.retain(|id, _| id.0 != 3);
    after.cgroups.retain(|id, _| id.0 != 4);
    (before, after)
}

pub(super) fn blame_adds_up(table: &Table) -> Result<(), TestCaseError> {
    let of = |victim| table.blame_of(victim, Resource::Cpu);
    for (index, row) in table.rows.iter().enumerate() {
        let named: u64 = of(index).map(|b| b.ns).sum();
        let Some(usage) = &row.usage else {
            prop_assert_eq!(named, 0);
            continue;
        };
        let caused = usage.wait.known(Cause::Neighbor) + usage.wait.known(Cause::Kernel);
        prop_assert_eq!(named, caused, "{:?}", row.key);
        let share: f64 = of(index).map(|b| b.share).sum();
        prop_assert!(share <= 1.000_001);
    }
    for blame in &table.blame {
        prop_assert!(blame.ns > 0 && (0.0..=1.0).contains(&blame.share));
        let itself = blame.victim == blame.culprit;
        prop_assert!(!itself || table.rows[blame.victim].key == Key::Other);
    }
    Ok(())
}

pub(super) fn causes_add_up(model: &Model) -> Result<(), TestCaseError> {
    let able = model.abilities;
    for row in model.entities.rows.iter().chain(&model.cgroups.rows) {
        let Some(usage) = &row.usage else { continue };
        let by_cause = Cause::ALL.map(|cause| usage.wait.get(cause));
        prop_assert_eq!(by_cause.iter().flatten().sum::<u64>(), usage.wait.total());
        prop_assert_eq!(
            by_cause[Cause::Steal as usize].is_some(),
            able.steal.is_some()
        );
        prop_assert_eq!(by_cause[Cause::Irq as usize].is_some(), able.irq);
        prop_assert_eq!(
            by_cause[Cause::Throttled as usize].is_some(),
            able.throttle.is_some()
        );
        prop_assert!(usage.steal_ns.is_none() || able.steal.is_some());
    }
    Ok(())
}

pub(super) fn entities_add_up(model: &Model) -> Result<(), TestCaseError> {
    let whole = model.entities.rows.iter().all(|row| row.usage.is_some());
    let sum = |table: &Table, of: fn(&crate::model::Usage) -> u64| -> u64 {
        table
            .rows
            .iter()
            .filter_map(|row| row.usage.as_ref())
            .map(of)
            .sum()
    };
    if whole {
        let run = |usage: &crate::model::Usage| usage.run_ns;
        let wait = |usage: &crate::model::Usage| usage.wait.total();
        let idle = |usage: &crate::model::Usage| usage.wait.known(Cause::Idle);
        prop_assert_eq!(sum(&model.entities, run), sum(&model.cgroups, run));
        prop_assert_eq!(sum(&model.entities, wait), model.host.wait.total());
        prop_assert_eq!(
            sum(&model.entities, idle),
            model.host.wait.known(Cause::Idle)
        );
        prop_assert_eq!(model.accounting.wait_ns, model.host.wait.total());
    }
    Ok(())
}

fn numbers_are_numbers(model: &Model) -> Result<(), TestCaseError> {
    let capacity = model.host.capacity_s().unwrap_or(0.0);
    for row in model.entities.rows.iter().chain(&model.cgroups.rows) {
        let entitled = row.entitled_s.unwrap_or(0.0);
        prop_assert!((0.0..=capacity + 1e-6).contains(&entitled), "{entitled}");
        let delay = row.usage.as_ref().and_then(|usage| usage.delay.as_ref());
        let quantiles = [0.5, 0.99, 0.999].map(|q| delay.and_then(|d| d.quantile(q)));
        prop_assert!(
            quantiles
                .iter()
                .flatten()
                .all(|q| q.is_finite() && *q >= 0.0)
        );
    }
    let accounting = &model.accounting;
    for ratio in [accounting.coverage(), accounting.cost_per_switch_ns()] {
        prop_assert!(ratio.is_none_or(|ratio| ratio.is_finite() && ratio >= 0.0));
    }
    for share in [
        accounting.estimated_share(),
        accounting.unattributed_share(),
    ] {
        prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn sums_hold((before, after) in pair()) {
        let model = Model::new(&before, &after, &identify);
        blame_adds_up(&model.entities)?;
        blame_adds_up(&model.cgroups)?;
        causes_add_up(&model)?;
        entities_add_up(&model)?;
        numbers_are_numbers(&model)?;
    }

    #[test]
    fn what_was_forgotten_still_counts((before, after) in grown()) {
        prop_assume!(after.monotonic > before.monotonic);
        let model = Model::new(&before, &after, &identify);
        let run = |sample: &Sample| sample.accounts.values().map(|a| a.run_ns).sum::<u64>();
        let wait = |sample: &Sample| -> u64 {
            sample.accounts.values().flat_map(|account| account.wait_ns).sum()
        };
        for table in [&model.entities, &model.cgroups] {
            let usages = table.rows.iter().map(|row| row.usage.as_ref());
            let usages: Vec<_> = usages.collect::<Option<_>>().expect("no counter fell");
            let sum: u64 = usages.iter().map(|usage| usage.run_ns).sum();
            prop_assert_eq!(sum, run(&after) - run(&before));
            let sum: u64 = usages.iter().map(|usage| usage.wait.total()).sum();
            prop_assert_eq!(sum, wait(&after) - wait(&before));
        }
        prop_assert_eq!(model.host.wait.total(), wait(&after) - wait(&before));
    }

    #[test]
    fn nothing_happened_between_a_sample_and_itself(sample in sample()) {
        let mut later = sample.clone();
        later.monotonic += Duration::from_secs(1);
        let model = Model::new(&sample, &later, &identify);
        prop_assert_eq!(model.host.wait.total(), 0);
        prop_assert!(model.entities.blame.is_empty());
    }

    #[test]
    fn the_wall_clock_does_not_matter((before, after) in pair(), step in 0u64..7200) {
        let model = Model::new(&before, &after, &identify);
        let mut stepped = after;
        stepped.wall += Duration::from_secs(step);
        let other = Model::new(&before, &stepped, &identify);
        prop_assert_eq!(model.entities, other.entities);
        prop_assert_eq!(model.length, other.length);
    }

    #[test]
    fn every_party_is_in_one_row((before, after) in pair()) {
        let model = Model::new(&before, &after, &identify);
        let keys: Vec<_> = model.entities.rows.iter().map(|row| &row.key).collect();
        prop_assert!(keys.is_sorted_by(|a, b| a < b));
        prop_assert!(model.entities.rows.len() <= model.cgroups.rows.len());
    }
}
