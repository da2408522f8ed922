//! What the tests may find missing on each kernel. Anything else, more or less, is a regression.

use crate::results::Unsupported;

/// Per kernel series: test and capability, as the test prints them.
const EXPECTED: &[(&str, &[(&str, &str)])] =
    &[("5.10", &[]), ("6.1", &[]), ("6.12", &[]), ("7.2", &[])];

/// Compares what a kernel lacked with what it is known to lack; each difference is one line.
///
/// A run of selected tests cannot tell that something is no longer missing.
pub(crate) fn differences(kernel: &str, found: &[Unsupported], all_ran: bool) -> Vec<String> {
    let expected = EXPECTED
        .iter()
        .find(|(name, _)| *name == kernel)
        .map_or(&[][..], |(_, expected)| expected);
    compare(expected, found, all_ran)
}

fn compare(expected: &[(&str, &str)], found: &[Unsupported], all_ran: bool) -> Vec<String> {
    let same = |known: &(&str, &str), one: &Unsupported| {
        *known == (one.test.as_str(), one.capability.as_str())
    };
    let unexpected = found
        .iter()
        .filter(|one| !expected.iter().any(|known| same(known, one)));
    let mut lines: Vec<String> = unexpected
        .map(|one| format!("unexpectedly unsupported: {}: {}", one.test, one.capability))
        .collect();
    if all_ran {
        let gone = expected
            .iter()
            .filter(|known| !found.iter().any(|one| same(known, one)));
        lines.extend(
            gone.map(|(test, capability)| format!("no longer unsupported: {test}: {capability}")),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_more_and_less_than_expected_is_told() {
        let found = [
            Unsupported {
                test: "a".into(),
                capability: "x".into(),
            },
            Unsupported {
                test: "b".into(),
                capability: "y".into(),
            },
        ];
        assert_eq!(
            compare(&[("a", "x"), ("b", "y")], &found, true),
            Vec::<String>::new()
        );
        assert_eq!(
            compare(&[("a", "x")], &found, true),
            ["unexpectedly unsupported: b: y"]
        );
        assert_eq!(
            compare(&[("a", "x"), ("b", "y"), ("c", "z")], &found, true),
            ["no longer unsupported: c: z"]
        );
        assert_eq!(
            compare(&[("a", "x"), ("b", "y"), ("c", "z")], &found, false),
            Vec::<String>::new()
        );
    }
}
