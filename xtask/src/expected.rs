//! What the tests may find missing on each kernel. Anything else, more or less, is a regression.

use crate::results::Unsupported;

/// From 7.2 on a task that comes after a sibling is not checked against the quota of its parent
/// (`set_next_task_fair`, kernel/sched/fair.c): threads of one cgroup run past it, while `cpu.stat` says throttled.
const ESCAPES: &str = "a parent's quota that holds all threads";

/// The file systems of a virtual machine are in its memory.
const ON_A_DISK: &str = "a file system on a disk";
const NO_DISK: [(&str, &str); 3] = [
    ("a_loop_device_over_a_file_on_a_disk_counts_once", ON_A_DISK),
    ("direct_reads_and_writes_of_a_file", ON_A_DISK),
    ("who_fills_a_real_disk_is_to_blame", ON_A_DISK),
];

/// Files in memory take no direct I/O before 6.6: loop devices over them read through the page cache, which fills up with
/// zeroes.
const NO_SHORT_READS: (&str, &str) = (
    "a_request_past_the_end_of_the_file_below_fails_once",
    "short reads of loop devices",
);

/// Per kernel series: test and capability, as the test prints them.
const EXPECTED: &[(&str, &[(&str, &str)])] = &[
    (
        "5.10",
        &[NO_DISK[0], NO_DISK[1], NO_DISK[2], NO_SHORT_READS],
    ),
    ("6.1", &[NO_DISK[0], NO_DISK[1], NO_DISK[2], NO_SHORT_READS]),
    ("6.12", &[NO_DISK[0], NO_DISK[1], NO_DISK[2]]),
    (
        "7.2",
        &[
            NO_DISK[0],
            NO_DISK[1],
            NO_DISK[2],
            (
                "a_neighbor_is_not_blamed_for_the_quota_of_a_parent",
                ESCAPES,
            ),
            ("five_threads_below_a_limited_parent", ESCAPES),
            ("fifty_threads_below_a_limited_parent", ESCAPES),
        ],
    ),
];

/// How a capability that is a program begins, which set-up installs wherever it says so.
const RECEIVER: &str = "the receiver ";

/// Whether a test lacked a program, and nothing of the kernel.
pub(crate) fn is_receiver(found: &Unsupported) -> bool {
    found.capability.starts_with(RECEIVER)
}

/// Compares what a kernel lacked with what it is known to lack: lines about what is not expected, and about what was
/// expected and is there.
pub(crate) fn differences(kernel: &str, found: &[Unsupported]) -> (Vec<String>, Vec<String>) {
    let expected = EXPECTED
        .iter()
        .find(|(name, _)| *name == kernel)
        .map_or(&[][..], |(_, expected)| expected);
    compare(expected, found)
}

fn compare(expected: &[(&str, &str)], found: &[Unsupported]) -> (Vec<String>, Vec<String>) {
    let same = |known: &(&str, &str), one: &Unsupported| {
        *known == (one.test.as_str(), one.capability.as_str())
    };
    let unexpected = found
        .iter()
        .filter(|one| !expected.iter().any(|known| same(known, one)));
    let gone = expected
        .iter()
        .filter(|known| !found.iter().any(|one| same(known, one)));
    (
        unexpected
            .map(|one| format!("unexpectedly unsupported: {}: {}", one.test, one.capability))
            .collect(),
        gone.map(|(test, capability)| format!("no longer unsupported: {test}: {capability}"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_receiver_is_no_matter_of_the_kernel() {
        let lacking = |capability: &str| Unsupported {
            test: "a".into(),
            capability: capability.into(),
        };
        assert!(is_receiver(&lacking("the receiver rotel")));
        assert!(!is_receiver(&lacking("a steal clock")));
    }

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
        let none = Vec::<String>::new();
        assert_eq!(
            compare(&[("a", "x"), ("b", "y")], &found),
            (none.clone(), none.clone())
        );
        assert_eq!(
            compare(&[("a", "x")], &found),
            (vec!["unexpectedly unsupported: b: y".into()], none.clone())
        );
        assert_eq!(
            compare(&[("a", "x"), ("b", "y"), ("c", "z")], &found),
            (none, vec!["no longer unsupported: c: z".into()])
        );
    }
}
