//! Quantiles of a histogram with exponential buckets.

use std::{array, sync::LazyLock};

use agent_ebpf::bucket::{LAST_BUCKET, ZERO_BUCKET, otlp_index};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, Unexpected},
};

use crate::sample::Counts;

/// Buckets to an octave.
const SCALE: f64 = 4.0;

/// Counts of one interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(Counts);

impl Histogram {
    /// What was counted between two readings; `None` when a bucket went backwards.
    pub fn between(before: &Counts, after: &Counts) -> Option<Histogram> {
        let mut counts = Counts::default();
        if !before.is_shared_with(after) {
            for (bucket, count) in counts.change().iter_mut().enumerate() {
                *count = after[bucket].checked_sub(before[bucket])?;
            }
        }
        Some(Histogram(counts))
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Histogram) {
        self.0.add(&other.0);
    }

    /// Counts by bucket: see [`agent_ebpf::bucket`].
    pub fn counts(&self) -> &Counts {
        &self.0
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many lie in `bucket` or above.
    pub fn count_from(&self, bucket: usize) -> u64 {
        let from = self.0.iter().skip(bucket);
        from.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The `quantile` (0 to 1) in seconds; `None` when nothing was counted.
    ///
    /// Within the bucket that holds it the position is interpolated geometrically, as Prometheus
    /// does for native histograms, so that a dashboard shows the same number. It is off by less
    /// than one bucket, 19 %. In the zero bucket the interpolation is linear from 0.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.count();
        let rank = quantile.clamp(0.0, 1.0) * total as f64;
        let mut below = 0.0;
        let mut highest = None;
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= rank {
                let fraction = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(position(bucket, fraction));
            }
            below += count;
            highest = Some(bucket);
        }
        // Rounding of sums beyond 2^53 can leave the rank above the last bucket.
        highest.map(|bucket| position(bucket, 1.0))
    }

    /// Seconds that the longest took at least: the lower bound of the highest bucket in use.
    pub fn longest_at_least(&self) -> Option<f64> {
        let highest = self.0.iter().rposition(|count| *count > 0)?;
        Some(lower_bound(highest))
    }
}

/// Buckets in use alone, as pairs of bucket and count.
impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = self.0.iter().enumerate().filter(|(_, count)| **count > 0);
        let used: Vec<(u8, u64)> = used.map(|(bucket, count)| (bucket as u8, *count)).collect();
        used.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Histogram, D::Error> {
        let mut histogram = Histogram::default();
        for (bucket, count) in Vec::<(u8, u64)>::deserialize(deserializer)? {
            let slot = histogram.0.change().get_mut(usize::from(bucket));
            let no_bucket = Unexpected::Unsigned(bucket.into());
            *slot.ok_or_else(|| D::Error::invalid_value(no_bucket, &"a bucket"))? = count;
        }
        Ok(histogram)
    }
}

/// Lower bound of a bucket in seconds.
pub fn lower_bound(bucket: usize) -> f64 {
    match otlp_index(bucket.min(LAST_BUCKET)) {
        Some(index) => (f64::from(index) / SCALE).exp2(),
        None => 0.0,
    }
}

/// The first bucket of which no value is under `seconds`: a threshold snaps up to its lower bound.
pub fn bucket_over(seconds: f64) -> usize {
    // Asked for of each entity in each second.
    static BOUNDS: LazyLock<[f64; LAST_BUCKET]> = LazyLock::new(|| array::from_fn(lower_bound));
    BOUNDS.partition_point(|bound| *bound < seconds)
}

fn position(bucket: usize, fraction: f64) -> f64 {
    let lower = lower_bound(bucket);
    if bucket == ZERO_BUCKET {
        return fraction * lower_bound(1);
    }
    lower * (fraction / SCALE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_ebpf::bucket::of_ns;
    use proptest::prelude::*;

    fn histogram(waits: &[u64]) -> Histogram {
        let mut counts = Counts::default();
        for wait in waits {
            counts.change()[of_ns(*wait)] += 1;
        }
        Histogram(counts)
    }

    #[test]
    fn nothing_counted_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.99), None);
        assert_eq!(Histogram::default().longest_at_least(), None);
    }

    #[test]
    fn ten_milliseconds_snap_to_a_bound() {
        let bound = lower_bound(bucket_over(0.010));
        assert!((bound - 0.011_05).abs() < 0.000_01, "{bound}");
    }

    #[test]
    fn a_count_that_went_backwards_is_unknown() {
        let (less, more) = (histogram(&[5_000]), histogram(&[5_000, 5_000]));
        assert_eq!(
            Histogram::between(&less.0, &more.0).map(|h| h.count()),
            Some(1)
        );
        assert_eq!(Histogram::between(&more.0, &less.0), None);
    }

    proptest! {
        #[test]
        fn a_threshold_snaps_up_to_the_next_bound(seconds in 0.0f64..100.0) {
            let over = bucket_over(seconds);
            prop_assert!(lower_bound(over) >= seconds || over == LAST_BUCKET);
            prop_assert!(over == 0 || lower_bound(over - 1) < seconds);
        }

        #[test]
        fn a_quantile_is_within_one_bucket_of_the_exact_value(
            mut waits in prop::collection::vec(2_000u64..60_000_000_000, 1..200),
            quantile in 0.01f64..1.0,
        ) {
            let ours = histogram(&waits).quantile(quantile).expect("not empty");
            waits.sort_unstable();
            let rank = (quantile * waits.len() as f64).ceil() as usize;
            let exact = waits[rank.max(1) - 1] as f64 / 1e9;
            let ratio = ours / exact;
            prop_assert!((1.0 / 1.20..1.20).contains(&ratio), "{ours} for {exact}");
        }

        #[test]
        fn quantiles_never_fall(waits in prop::collection::vec(any::<u64>(), 1..50)) {
            let histogram = histogram(&waits);
            let all = [0.0, 0.5, 0.99, 0.999, 1.0].map(|q| histogram.quantile(q));
            prop_assert!(all.is_sorted());
        }
    }
}
