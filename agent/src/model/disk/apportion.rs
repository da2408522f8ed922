//! A whole in parts of known proportions.

/// Divides `whole` in proportion to `weights`, so that the parts add up to it; all 0 when the
/// weights are. Who weighs nothing gets nothing.
pub(super) fn apportion(whole: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    // Products stay below 2^128: neither factor has more than 64 bits.
    let shift = (u128::BITS - sum.leading_zeros()).saturating_sub(u64::BITS);
    let weights = weights.iter().map(|weight| u128::from(*weight) >> shift);
    let sum: u128 = weights.clone().sum::<u128>().max(1);
    let (mut weight_so_far, mut given) = (0, 0);
    weights
        .map(|weight| {
            weight_so_far += weight;
            let so_far = (u128::from(whole) * weight_so_far / sum) as u64;
            let part = so_far - given;
            given = so_far;
            part
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thirds_add_up() {
        assert_eq!(apportion(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(apportion(7, &[0, 5, 0]), [0, 7, 0]);
        assert_eq!(apportion(7, &[0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_and_in_proportion(
            whole in any::<u64>(),
            weights in prop::collection::vec(prop_oneof![Just(0), 0u64..1_000, any::<u64>()], 1..8),
        ) {
            let parts = apportion(whole, &weights);
            let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            let total: u128 = parts.iter().map(|part| u128::from(*part)).sum();
            prop_assert_eq!(total, if sum == 0 { 0 } else { u128::from(whole) });
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = whole as f64 * (*weight as f64 / (sum as f64).max(1.0));
                let tolerance = 2.0 + whole as f64 * 1e-9;
                prop_assert!((*part as f64 - exact).abs() <= tolerance, "{part} for {exact}");
                prop_assert!(*weight > 0 || *part == 0);
            }
        }
    }
}
