//! Single data points.

use agent_ebpf::bucket::{FIRST_INDEX, LAST_BUCKET, ZERO_BUCKET};
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        DataPointFlags, ExponentialHistogramDataPoint, NumberDataPoint,
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
