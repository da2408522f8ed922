//! How many series a node has when everybody is slowed down by many.

use agent_ebpf::{cause::Cause, owner::KernelFamily};

use super::*;

const CONTAINERS: u64 = 220;
const CULPRITS: u64 = 8;
/// Promised of a node of that many containers.
const MOST: usize = 3_000;
const MOST_WITH_BUCKETS: usize = 6_000;
/// Lengths of waits, which fall into buckets of their own.
const LENGTHS: i32 = 30;

/// Everybody waits for eight others, in waits of all lengths. The later ones lose more.
fn crowd(has_quotas: bool) -> (Course, Vec<Party>) {
    let mut course = Course::new(Limits::default());
    let ids = 10..10 + CONTAINERS;
    let all: Vec<Party> = ids
        .clone()
        .map(|id| course.cgroup(id, &format!("/{id}.service")))
        .collect();
    for id in ids.filter(|_| has_quotas) {
        course.scene.quota(id, 1.0);
    }
    (course, all)
}

fn everybody_waits(course: &mut Course, all: &[Party]) {
    for (number, victim) in all.iter().enumerate() {
        course.scene.ran(*victim, 0.05);
        let after = (1..=CULPRITS as usize).map(|next| all[(number + next) % all.len()]);
        for (rank, culprit) in after.enumerate() {
            let seconds = 0.5 + 0.1 * rank as f64 + 0.001 * number as f64;
            course.scene.waited_for(*victim, culprit, seconds, 0.010);
        }
        // Too short for a place of its own.
        let other = all[(number + 20) % all.len()];
        course.scene.waited_for(*victim, other, 0.02, 0.010);
        for cause in [Cause::Steal, Cause::Irq, Cause::Idle, Cause::Unattributed] {
            course.scene.waited(*victim, cause, 0.01, 0.010);
        }
        let worker = Party::Kernel(KernelFamily::Ksoftirqd);
        course.scene.waited_for(*victim, worker, 0.02, 0.010);
        for length in 0..LENGTHS {
            let each = 1e-5 * 1.2f64.powi(length);
            course
                .scene
                .waited(*victim, Cause::SelfInflicted, each, each);
        }
    }
}

/// Series of all, and as many with a series for each bucket.
fn counts(ledger: &Ledger) -> (usize, usize) {
    let all = ledger.entities().flat_map(|(_, entity)| entity.series());
    all.fold((0, 0), |(native, with_buckets), (.., series)| {
        let buckets = match &series.total {
            Amount::Histogram(counts, _) => 2 + counts.iter().filter(|count| **count > 0).count(),
            _ => 1,
        };
        (native + 1, with_buckets + buckets)
    })
}

fn sum(totals: &BTreeMap<Attributes, u64>, wanted: impl Fn(&str) -> bool) -> u64 {
    let of = |attributes: &Attributes| wanted(&attributes[0].1);
    let found = totals.iter().filter(|(attributes, _)| of(attributes));
    found.map(|(_, total)| total).sum()
}

#[test]
fn a_full_node_where_everybody_is_slowed_down_by_many_has_few_series() {
    for has_quotas in [false, true] {
        let (mut course, all) = crowd(has_quotas);
        for _ in 0..12 {
            everybody_waits(&mut course, &all);
            course.step();
        }
        let (native, with_buckets) = counts(&course.ledger);
        println!("{native} series, {with_buckets} with buckets; quotas: {has_quotas}");
        assert!(native <= MOST, "{native}");
        assert!(with_buckets <= MOST_WITH_BUCKETS, "{with_buckets}");
        assert!(course.refused[1] > 0);
        let mut with_culprits = 0;
        for id in 10..10 + CONTAINERS {
            let path = format!("/{id}.service");
            assert_eq!(course.totals(&path, RUN).len(), 1, "everybody has this");
            let waits = course.totals(&path, "crosstalk.cpu.wait.time");
            assert_eq!(waits.len(), 7, "and this: {waits:?}");
            let waited = sum(&waits, |cause| ["neighbor", "kernel"].contains(&cause));
            let interference = course.totals(&path, INTERFERENCE);
            assert_eq!(sum(&interference, |_| true), waited, "{path}");
            let is_told = interference
                .keys()
                .any(|attributes| attributes[0].1 != OTHER);
            with_culprits += u64::from(is_told);
        }
        println!("{with_culprits} with culprits");
        assert!(with_culprits >= CONTAINERS / 8, "{with_culprits}");
        let most = format!("/{}.service", 10 + CONTAINERS - 1);
        let delay = "crosstalk.cpu.runqueue.delay";
        assert_eq!(course.totals(&most, delay).len(), 1, "it lost most");
    }
}

#[test]
fn one_in_five_slowed_down_by_many_have_all_of_it() {
    let (mut course, all) = crowd(false);
    let some = &all[..all.len() / 5];
    for _ in 0..3 {
        everybody_waits(&mut course, some);
        course.step();
    }
    for id in 10..10 + some.len() {
        let path = format!("/{id}.service");
        assert_eq!(course.totals(&path, INTERFERENCE).len(), 9, "{path}");
        assert_eq!(
            course.totals(&path, "crosstalk.cpu.runqueue.delay").len(),
            1
        );
    }
    assert_eq!(course.refused, [0, 0]);
}

proptest! {
    /// Whatever the limits, culprits add up to the wait since they are told, and no series falls.
    #[test]
    fn refusals_never_break_sums(
        details in 0usize..60,
        culprits in 0usize..5,
        intervals in prop::collection::vec(
            prop::collection::vec((0usize..6, 0usize..6, 1u32..400), 0..30),
            1..8,
        ),
    ) {
        let limits = Limits { details, culprits, ..Limits::default() };
        let mut course = Course::new(limits);
        let all: Vec<Party> = (0..6)
            .map(|n| course.cgroup(10 + n, &format!("/{}.service", 10 + n)))
            .collect();
        let mut before: BTreeMap<String, (u64, BTreeMap<Attributes, u64>)> = BTreeMap::new();
        for waits in intervals {
            for party in &all {
                course.scene.ran(*party, 0.1);
            }
            for (victim, culprit, centiseconds) in waits {
                if victim != culprit {
                    let seconds = f64::from(centiseconds) / 100.0;
                    course.scene.waited_for(all[victim], all[culprit], seconds, 0.010);
                }
            }
            course.step();
            for number in 0..6 {
                let path = format!("/{}.service", 10 + number);
                let waits = course.totals(&path, "crosstalk.cpu.wait.time");
                let waited = sum(&waits, |cause| ["neighbor", "kernel"].contains(&cause));
                let told = course.totals(&path, INTERFERENCE);
                let (waited_before, told_before) = before.remove(&path).unwrap_or_default();
                let grown = sum(&told, |_| true) - sum(&told_before, |_| true);
                if !told.is_empty() {
                    prop_assert_eq!(grown, waited - waited_before);
                }
                for (attributes, total) in &told_before {
                    prop_assert!(told[attributes] >= *total, "{attributes:?} fell");
                }
                before.insert(path, (waited, told));
            }
            let is_detail = |metric: usize| METRICS[metric].tier > Tier::All;
            let series = course.ledger.entities().flat_map(|(_, entity)| entity.series());
            let told = series.filter(|(metric, ..)| is_detail(*metric)).count();
            // A victim's others have a place beside that of a culprit, whenever they come.
            prop_assert!(told <= details + 6, "{told} of {details}");
        }
    }
}
