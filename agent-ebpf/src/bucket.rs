//! The index of a duration in an OpenTelemetry exponential histogram of scale 2.
//!
//! Bounds are powers of 2^(1/4) seconds, so the kernel's bucket is the exporter's bucket
//! (OpenTelemetry metrics data model, "Exponential histogram").

/// Buckets of a histogram: one for zero, 104 for 1 us to 64 s, padded to a whole cache line.
pub const BUCKETS: usize = 112;

/// The bucket for what is too short to matter: under 0.95 us.
pub const ZERO_BUCKET: usize = 0;

/// The OTLP index of bucket 1: 2^(-80/4) s = 0.95 us.
pub const FIRST_INDEX: i32 = -80;

/// The last bucket in use: it holds all above 2^(23/4) s as well.
pub const LAST_BUCKET: usize = 104;

/// Lower bound of bucket 1 in units of 2^-30 s.
const ZERO_THRESHOLD_UNITS: u64 = 1 << 10;

/// Longer durations are counted as this: 2.4 h, so that the product below does not overflow.
const LONGEST_NS: u64 = 1 << 43;

/// The bucket of a duration of `ns` nanoseconds, `0..=LAST_BUCKET`.
#[inline(always)]
pub fn of_ns(ns: u64) -> usize {
    let ns = if ns > LONGEST_NS { LONGEST_NS } else { ns };
    // 2^30 / 10^9 = 1125900 / 2^20 to seven digits.
    let units = (ns * 1_125_900) >> 20;
    if units < ZERO_THRESHOLD_UNITS {
        return ZERO_BUCKET;
    }
    let octave = floor_log2(units);
    let mantissa = if octave >= 16 {
        units >> (octave - 16)
    } else {
        units << (16 - octave)
    };
    // 2^16 times 2^(1/4), 2^(2/4), 2^(3/4)
    let quarter =
        (mantissa >= 77_936) as u32 + (mantissa >= 92_682) as u32 + (mantissa >= 110_218) as u32;
    let bucket = (1 + 4 * (octave - 10) + quarter) as usize;
    if bucket > LAST_BUCKET {
        LAST_BUCKET
    } else {
        bucket
    }
}

/// The OTLP index of a bucket; `None` for the zero bucket and the padding.
pub fn otlp_index(bucket: usize) -> Option<i32> {
    if bucket == ZERO_BUCKET || bucket > LAST_BUCKET {
        return None;
    }
    i32::try_from(bucket)
        .ok()
        .map(|bucket| FIRST_INDEX + bucket - 1)
}

/// The position of the highest set bit; `value` must not be 0.
///
/// By comparison: the instruction set of 5.10 has no count of leading zeros.
#[inline(always)]
fn floor_log2(value: u64) -> u32 {
    let mut rest = value;
    let mut log = 0;
    if rest >= 1 << 32 {
        rest >>= 32;
        log += 32;
    }
    if rest >= 1 << 16 {
        rest >>= 16;
        log += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        log += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        log += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        log += 2;
    }
    log + (rest >> 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(ns: u64) -> usize {
        let seconds = ns as f64 / 1e9;
        let index = (seconds.log2() * 4.0).floor() as i64;
        (index - i64::from(FIRST_INDEX) + 1).clamp(0, 104) as usize
    }

    proptest! {
        #[test]
        fn agrees_with_the_logarithm(exponent in 0.0f64..38.0) {
            let ns = exponent.exp2() as u64;
            let (ours, exact_bucket) = (of_ns(ns), exact(ns.max(1)));
            // At a bound the conversion to binary units may fall to the other side.
            let near_bound = [ns - ns / 1000, ns + ns / 1000].iter().any(|&n| exact(n.max(1)) == ours);
            prop_assert!(ours == exact_bucket || near_bound, "{ns} ns: {ours}, exact {exact_bucket}");
        }

        #[test]
        fn never_falls(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(of_ns(a.min(b)) <= of_ns(a.max(b)));
            prop_assert!(of_ns(a) <= LAST_BUCKET);
        }

        #[test]
        fn log2_is_the_highest_bit(value in 1u64..) {
            prop_assert_eq!(floor_log2(value), value.ilog2());
        }
    }

    #[test]
    fn long_waits_do_not_wrap() {
        assert_eq!(of_ns(0), ZERO_BUCKET);
        assert_eq!(of_ns(953), ZERO_BUCKET);
        assert_eq!(of_ns(1_000), 1);
        assert_eq!(of_ns(u64::MAX), LAST_BUCKET);
        assert_eq!(of_ns(5_000_000_000), exact(5_000_000_000));
        assert_eq!(of_ns(70_000_000_000), LAST_BUCKET);
    }

    #[test]
    fn otlp_indexes_cover_a_microsecond_to_64_seconds() {
        assert_eq!(otlp_index(ZERO_BUCKET), None);
        assert_eq!(otlp_index(1), Some(-80));
        assert_eq!(otlp_index(LAST_BUCKET), Some(23));
        assert_eq!(otlp_index(LAST_BUCKET + 1), None);
    }
}
