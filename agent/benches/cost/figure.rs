//! How much is measured, and how a figure is told.

use std::time::Duration;

use serde::Serialize;

/// How often and how long.
pub(crate) struct Plan {
    /// Rounds of each kernel measurement, the attach order swapped between them.
    pub(crate) rounds: usize,
    /// One window of such a round.
    pub(crate) window: Duration,
    /// Alternations of nothing, ours and the peer.
    pub(crate) alternations: usize,
    /// Readings of the agent.
    pub(crate) readings: u64,
    /// Cgroups of the cold load, each with threads that sleep.
    pub(crate) cold_cgroups: u32,
}

impl Plan {
    pub(crate) const FULL: Plan = Plan {
        rounds: 5,
        window: Duration::from_secs(3),
        alternations: 10,
        readings: 20,
        cold_cgroups: 1_000,
    };
    pub(crate) const QUICK: Plan = Plan {
        rounds: 3,
        window: Duration::from_secs(1),
        alternations: 3,
        readings: 5,
        cold_cgroups: 1_000,
    };
}

/// One figure: the median of some rounds with its quartiles.
#[derive(Serialize)]
pub(crate) struct Figure<'a> {
    pub(crate) table: &'a str,
    pub(crate) load: &'a str,
    pub(crate) what: &'a str,
    pub(crate) unit: &'a str,
    median: f64,
    low: f64,
    high: f64,
    rounds: usize,
    at_most: Option<f64>,
    aim: Option<f64>,
}

/// What is promised of a figure.
#[derive(Clone, Copy, Default)]
pub(crate) struct Target {
    pub(crate) at_most: Option<f64>,
    pub(crate) aim: Option<f64>,
}

impl Target {
    pub(crate) const NONE: Target = Target {
        at_most: None,
        aim: None,
    };

    pub(crate) fn at_most(limit: f64) -> Target {
        Target {
            at_most: Some(limit),
            aim: None,
        }
    }
}

/// Tells the figures of one load in one table.
pub(crate) struct Teller<'a> {
    pub(crate) table: &'a str,
    pub(crate) load: &'a str,
}

impl Teller<'_> {
    /// Tells the median of `values`; nothing when there are none.
    pub(crate) fn tell(&self, what: &str, unit: &str, values: &[f64], target: Target) {
        let mut values = values.to_vec();
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return;
        }
        let figure = Figure {
            table: self.table,
            load: self.load,
            what,
            unit,
            median: quantile(&values, 0.5),
            low: quantile(&values, 0.25),
            high: quantile(&values, 0.75),
            rounds: values.len(),
            at_most: target.at_most,
            aim: target.aim,
        };
        if let Ok(line) = serde_json::to_string(&figure) {
            println!("{line}");
        }
    }
}

/// Between two of the sorted values where it falls between them.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let part = place - place.floor();
    sorted[below] * (1.0 - part) + sorted[above] * part
}
