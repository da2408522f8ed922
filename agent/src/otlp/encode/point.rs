//! Single data points.

use agent_ebpf::bucket::{FIRST_INDEX, LAST_BUCKET, ZERO_BUCKET};
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        DataPointFlags, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint,
        exponential_histogram_data_point::Buckets, number_data_point::Value,
    },
};

use crate::{
    model::histogram::lower_bound,
    otlp::{
        amount::Amount,
        ledger::{Entity, Life, Series},
    },
    sample::Counts,
};

/// Buckets to an octave: 2^2.
const SCALE: i32 = 2;

/// The times of a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    start: u64,
    at: u64,
    is_stale: bool,
}

impl When {
    pub(super) fn new(entity: &Entity, series: &Series, now: u64) -> When {
        let is_gauge = series.total.zero().is_none();
        When {
            start: if is_gauge { 0 } else { series.start },
            at: match entity.life {
                Life::Alive if is_gauge => series.at,
                Life::Alive | Life::Stale => now,
                Life::Ending => entity.last,
            },
            is_stale: entity.life == Life::Stale,
        }
    }

    /// The point that tells a receiver that the series began at 0: without it the first amount
    /// would be no increase to one that does not look at start times.
    pub(super) fn birth(self, series: &Series) -> Option<(When, Amount)> {
        let zero = series.total.zero().filter(|_| !series.is_known)?;
        Some((
            When {
                at: series.start,
                ..self
            },
            zero,
        ))
    }

    fn flags(self) -> u32 {
        if self.is_stale {
            DataPointFlags::NoRecordedValueMask as u32
        } else {
            0
        }
    }
}

pub(super) fn number(
    attributes: &[KeyValue],
    when: When,
    amount: &Amount,
) -> Option<NumberDataPoint> {
    let value = match amount {
        Amount::Ns(ns) => Value::AsDouble(seconds(*ns)),
        Amount::Count(count) => Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX)),
        Amount::Level(level) => Value::AsDouble(*level),
        Amount::Histogram(..) => return None,
    };
    Some(NumberDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: when.start,
        time_unix_nano: when.at,
        flags: when.flags(),
        value: (!when.is_stale).then_some(value),
        ..NumberDataPoint::default()
    })
}

/// Counts and sum stay when there is no value any more: a receiver may skip empty ones.
pub(super) fn histogram(
    attributes: &[KeyValue],
    when: When,
    amount: &Amount,
) -> Option<ExponentialHistogramDataPoint> {
    let Amount::Histogram(counts, sum) = amount else {
        return None;
    };
    Some(ExponentialHistogramDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: when.start,
        time_unix_nano: when.at,
        count: counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count)),
        sum: sum.map(seconds),
        scale: SCALE,
        zero_count: counts[ZERO_BUCKET],
        zero_threshold: lower_bound(ZERO_BUCKET + 1),
        positive: Some(buckets(counts)),
        flags: when.flags(),
        ..ExponentialHistogramDataPoint::default()
    })
}

/// The same with a bucket for each octave: no count is divided among two. A value on a bound is in
/// the bucket above it, where OTLP has it in the one below; of measured durations few are.
pub(super) fn explicit_histogram(
    attributes: &[KeyValue],
    when: When,
    amount: &Amount,
) -> Option<HistogramDataPoint> {
    let Amount::Histogram(counts, sum) = amount else {
        return None;
    };
    let add = |counts: &[u64]| {
        let counts = counts.iter();
        counts.fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    let octaves = counts[ZERO_BUCKET + 1..=LAST_BUCKET].chunks(1 << SCALE);
    let bounds = (ZERO_BUCKET + 1..=LAST_BUCKET).step_by(1 << SCALE);
    Some(HistogramDataPoint {
        attributes: attributes.to_vec(),
        start_time_unix_nano: when.start,
        time_unix_nano: when.at,
        count: add(&counts[..]),
        sum: sum.map(seconds),
        bucket_counts: std::iter::once(counts[ZERO_BUCKET])
            .chain(octaves.map(add))
            .collect(),
        explicit_bounds: bounds.map(lower_bound).collect(),
        flags: when.flags(),
        ..HistogramDataPoint::default()
    })
}

/// From the first bucket in use to the last.
fn buckets(counts: &Counts) -> Buckets {
    let positive = &counts[ZERO_BUCKET + 1..=LAST_BUCKET];
    let first = positive.iter().position(|count| *count > 0);
    let last = positive.iter().rposition(|count| *count > 0);
    let Some((first, last)) = first.zip(last) else {
        return Buckets::default();
    };
    Buckets {
        offset: FIRST_INDEX + i32::try_from(first).unwrap_or(0),
        bucket_counts: positive[first..=last].to_vec(),
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use agent_ebpf::bucket::of_ns;
    use proptest::prelude::*;

    use super::*;

    fn encoded(durations: &[u64]) -> ExponentialHistogramDataPoint {
        let (when, amount) = counted(durations);
        histogram(&[], when, &amount).unwrap()
    }

    fn counted(durations: &[u64]) -> (When, Amount) {
        let mut counts = Counts::default();
        for ns in durations {
            counts.change()[of_ns(*ns)] += 1;
        }
        let when = When {
            start: 1,
            at: 2,
            is_stale: false,
        };
        let sum = durations.iter().sum();
        (when, Amount::Histogram(counts, Some(sum)))
    }

    #[test]
    fn nothing_counted_has_no_buckets() {
        let point = encoded(&[]);
        assert_eq!((point.count, point.zero_count), (0, 0));
        assert!(point.positive.unwrap().bucket_counts.is_empty());
    }

    proptest! {
        /// By the data model of OpenTelemetry: bucket `i` holds values in (base^i, base^(i+1)]
        /// with base 2^(2^-scale).
        #[test]
        fn a_value_is_in_the_bucket_that_the_data_model_says(ns in 2_000u64..40_000_000_000) {
            let point = encoded(&[ns]);
            let buckets = point.positive.unwrap();
            prop_assert_eq!(&buckets.bucket_counts, &vec![1]);
            let base = 2f64.powf(2f64.powi(-point.scale));
            let (lower, upper) = (base.powi(buckets.offset), base.powi(buckets.offset + 1));
            let seconds = ns as f64 / 1e9;
            let around = lower * 0.999..upper * 1.001;
            prop_assert!(around.contains(&seconds), "{seconds} in {around:?}");
        }

        #[test]
        fn an_explicit_bucket_holds_what_is_between_its_bounds(ns in 0u64..1 << 42) {
            let (when, amount) = counted(&[ns]);
            let point = explicit_histogram(&[], when, &amount).unwrap();
            prop_assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
            prop_assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (1, 1));
            let bucket = point.bucket_counts.iter().position(|count| *count == 1).unwrap();
            let seconds = ns as f64 / 1e9;
            let bounds = &point.explicit_bounds;
            prop_assert!(bounds.get(bucket).is_none_or(|upper| seconds <= upper * 1.001));
            let lower = bucket.checked_sub(1).and_then(|lower| bounds.get(lower));
            prop_assert!(lower.is_none_or(|lower| seconds >= lower * 0.999));
        }

        #[test]
        fn count_is_the_sum_of_all_buckets(durations in prop::collection::vec(0u64..1 << 42, 0..50)) {
            let point = encoded(&durations);
            let positive: u64 = point.positive.unwrap().bucket_counts.iter().sum();
            prop_assert_eq!(point.count, durations.len() as u64);
            prop_assert_eq!(point.count, positive + point.zero_count);
        }
    }
}
