//! How much the programs account, so that they stay within their budget. Pure.
//!
//! Two readings in a row above the budget, on any CPU, step down once; a calm spell steps up once.
//! The dearer accounting may be what was too dear, so that each step down that follows a step up
//! doubles the spell.

use std::time::Duration;

use agent_ebpf::budget::Detail;

/// The budget that holds by default: this part of one CPU, on any CPU. A storm of 300,000 switches a
/// second stays below it, and keeps its causes.
pub(crate) const BUDGET: f64 = 0.06;

/// Switches of a CPU since the last reading, below which the cost of one is not believed: some
/// sixteen timed runs, one of which the hypervisor may have interrupted.
const FEWEST_SWITCHES: u64 = 16 * 1024;
/// Readings in a row.
const OVER: u32 = 2;
/// Calm is below this part of the budget.
const CALM: f64 = 0.5;
const SHORTEST_SPELL: Duration = Duration::from_secs(30);
const LONGEST_SPELL: Duration = Duration::from_mins(10);

/// Counters of one CPU since attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Switches.
    pub(crate) seen: u64,
    /// Time of the timed runs, nanoseconds.
    pub(crate) cost_ns: u64,
    /// Timed runs.
    pub(crate) cost_runs: u64,
}

/// The controller.
#[derive(Debug)]
pub(crate) struct StepDown {
    budget: f64,
    detail: Detail,
    last: Option<(Duration, Vec<Work>)>,
    over: u32,
    calm_since: Option<Duration>,
    spell: Duration,
}

impl StepDown {
    /// `budget` is a part of one CPU, 0 to 1.
    pub(crate) fn new(budget: f64) -> StepDown {
        StepDown {
            budget,
            detail: Detail::Full,
            last: None,
            over: 0,
            calm_since: None,
            spell: SHORTEST_SPELL,
        }
    }

    /// What is accounted at present.
    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    /// What to account from now on, from the work of all CPUs until `now`, a monotonic clock.
    pub(crate) fn decide(&mut self, now: Duration, work: Vec<Work>) -> Detail {
        if let Some((before, last)) = &self.last {
            let share = dearest(last, &work, now.saturating_sub(*before));
            self.weigh(share, now);
        }
        self.last = Some((now, work));
        self.detail
    }

    fn weigh(&mut self, share: f64, now: Duration) {
        if share > self.budget {
            self.calm_since = None;
            self.over += 1;
            if self.over >= OVER {
                self.step_down();
            }
            return;
        }
        self.over = 0;
        if share > self.budget * CALM {
            self.calm_since = None;
            return;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now.saturating_sub(since) >= self.spell {
            self.step_up(now);
        }
    }

    fn step_down(&mut self) {
        self.over = 0;
        let cheaper = match self.detail {
            Detail::Full => Detail::Short,
            Detail::Short | Detail::Totals => Detail::Totals,
        };
        if cheaper != self.detail {
            self.detail = cheaper;
            self.spell = (self.spell * 2).min(LONGEST_SPELL);
        }
    }

    fn step_up(&mut self, now: Duration) {
        self.calm_since = Some(now);
        self.detail = match self.detail {
            Detail::Totals => Detail::Short,
            Detail::Short => Detail::Full,
            Detail::Full => {
                self.spell = SHORTEST_SPELL;
                Detail::Full
            }
        };
    }
}

/// The part of a CPU that the programs took, on the CPU where it was largest.
fn dearest(before: &[Work], after: &[Work], elapsed: Duration) -> f64 {
    let elapsed = elapsed.as_nanos() as f64;
    if elapsed == 0.0 {
        return 0.0;
    }
    let share = |(before, after): (&Work, &Work)| {
        let seen = after.seen.saturating_sub(before.seen);
        let runs = after.cost_runs.saturating_sub(before.cost_runs);
        if seen < FEWEST_SWITCHES || runs == 0 {
            return 0.0;
        }
        let each = after.cost_ns.saturating_sub(before.cost_ns) as f64 / runs as f64;
        each * seen as f64 / elapsed
    };
    before.iter().zip(after).map(share).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE_PERCENT: f64 = 0.01;

    /// Runs seconds in which each switch cost so many nanoseconds, 100,000 of them a second.
    fn run(controller: &mut StepDown, start: u64, costs: &[u64]) -> Vec<Detail> {
        let mut work = Work::default();
        let mut details = Vec::new();
        controller.decide(Duration::from_secs(start), vec![work, Work::default()]);
        for (second, cost) in (start + 1..).zip(costs) {
            work.seen += 100_000;
            work.cost_runs += 100;
            work.cost_ns += 100 * cost;
            let all = vec![work, Work::default()];
            details.push(controller.decide(Duration::from_secs(second), all));
        }
        details
    }

    #[test]
    fn steps_down_after_two_dear_readings_and_comes_back() {
        let mut controller = StepDown::new(ONE_PERCENT);
        let details = run(&mut controller, 0, &[200, 200, 50, 200, 200]);
        assert_eq!(details[0], Detail::Full);
        assert_eq!(details[1..4], [Detail::Short; 3]);
        assert_eq!(details[4], Detail::Totals);
        let details = run(&mut controller, 100, &[20; 400]);
        assert_eq!(details.last(), Some(&Detail::Full));
        assert_eq!(details.iter().filter(|d| **d == Detail::Short).count(), 120);
    }

    #[test]
    fn a_few_slow_runs_prove_nothing() {
        let mut controller = StepDown::new(ONE_PERCENT);
        for second in 0..10 {
            let work = Work {
                seen: 1_000 * second,
                cost_ns: 700_000 * 8 * second,
                cost_runs: 8 * second,
            };
            let detail = controller.decide(Duration::from_secs(second), vec![work]);
            assert_eq!(detail, Detail::Full);
        }
    }

    proptest! {
        #[test]
        fn one_step_at_a_time_and_never_without_cause(
            costs in prop::collection::vec(0u64..300, 1..300),
        ) {
            let mut controller = StepDown::new(ONE_PERCENT);
            let details = run(&mut controller, 0, &costs);
            let mut before = Detail::Full;
            for (second, detail) in details.iter().enumerate() {
                let (was, is) = (before as i32, *detail as i32);
                prop_assert!((is - was).abs() <= 1);
                if is > was {
                    prop_assert!(second >= 1 && costs[second] > 100 && costs[second - 1] > 100);
                }
                if is < was {
                    let calm = &costs[second.saturating_sub(30)..=second];
                    prop_assert!(calm.iter().all(|cost| *cost <= 50));
                }
                before = *detail;
            }
        }

        #[test]
        fn always_dear_ends_at_the_cheapest_and_always_cheap_at_the_dearest(cost in 0u64..300) {
            prop_assume!(!(50..=100).contains(&cost));
            let mut controller = StepDown::new(ONE_PERCENT);
            let last = run(&mut controller, 0, &[cost; 10]).pop();
            let expected = if cost > 100 { Detail::Totals } else { Detail::Full };
            prop_assert_eq!(last, Some(expected));
        }
    }
}
