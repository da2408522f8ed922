//! What a series grows by in an interval, and what it came to.

use std::time::Duration;

use crate::sample::Counts;

/// Attributes of a data point, in the order in which the registry names them.
pub type Attributes = Vec<(&'static str, String)>;

/// A length of time.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What a series grew by, or for a gauge what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    /// Nanoseconds, told as seconds.
    Ns(u64),
    /// A number of things.
    Count(u64),
    /// Durations by bucket, and their sum in nanoseconds where that is known.
    Histogram(Counts, Option<u64>),
    /// A gauge: the latest counts.
    Level(f64),
}

impl Amount {
    /// Whether nothing was added. A gauge always says something.
    pub fn is_nothing(&self) -> bool {
        match self {
            Amount::Ns(more) | Amount::Count(more) => *more == 0,
            Amount::Histogram(counts, _) => counts.iter().all(|count| *count == 0),
            Amount::Level(_) => false,
        }
    }

    /// The same kind of amount before anything was counted; `None` for a gauge.
    pub fn zero(&self) -> Option<Amount> {
        match self {
            Amount::Ns(_) => Some(Amount::Ns(0)),
            Amount::Count(_) => Some(Amount::Count(0)),
            Amount::Histogram(..) => Some(Amount::Histogram(Counts::default(), Some(0))),
            Amount::Level(_) => None,
        }
    }

    /// Adds what an interval brought. The two are of one metric, so of one kind.
    pub fn add(&mut self, more: &Amount) {
        match (self, more) {
            (Amount::Ns(sum), Amount::Ns(more)) | (Amount::Count(sum), Amount::Count(more)) => {
                *sum = sum.saturating_add(*more);
            }
            (Amount::Histogram(counts, sum), Amount::Histogram(more, more_sum)) => {
                counts.add(more);
                let both = sum.zip(*more_sum);
                *sum = both.map(|(sum, more)| sum.saturating_add(more));
            }
            (level, more) => *level = more.clone(),
        }
    }

    /// Nanoseconds; `None` for what is no time.
    pub fn ns(&self) -> Option<u64> {
        match self {
            Amount::Ns(ns) => Some(*ns),
            _ => None,
        }
    }
}
