//! Interface files in a temporary folder.

use std::fs;

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn weights_of_version_2() {
    for (files, weight) in [
        (&[("cpu.weight", "100\n")][..], Some(1024)),
        (&[("cpu.weight", "1\n"), ("cpu.idle", "0\n")], Some(10)),
        (&[("cpu.weight", "10000\n")], Some(102_400)),
        (&[("cpu.weight", "79\n")], Some(809)),
        (&[("cpu.weight", "0\n"), ("cpu.idle", "1\n")], Some(3)),
        (&[("cpu.weight", "1\n"), ("cpu.idle", "1\n")], Some(3)),
        (
            &[("cpu.weight", "18446744073709551615\n")],
            Some(u64::MAX / 100),
        ),
        (&[("cpu.weight", "much\n")], None),
        (&[], None),
    ] {
        assert_eq!(
            settings(Version::V2, folder(files).path()).weight,
            weight,
            "{files:?}"
        );
    }
}

#[test]
fn quotas() {
    let v2 = |text| settings(Version::V2, folder(&[("cpu.max", text)]).path()).quota;
    assert_eq!(v2("max 100000\n"), Some(Quota::Unlimited));
    assert_eq!(v2("20000 100000\n"), Some(Quota::Cpus(0.2)));
    assert_eq!(v2("20000 0\n"), None);
    assert_eq!(v2("\n"), None);
    let v1 = |quota, period| {
        let files = [("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", period)];
        settings(Version::V1, folder(&files).path()).quota
    };
    assert_eq!(v1("-1\n", "100000\n"), Some(Quota::Unlimited));
    assert_eq!(v1("250000\n", "100000\n"), Some(Quota::Cpus(2.5)));
    assert_eq!(v1("250000\n", ""), None);
}

#[test]
fn absent_files_are_unknown() {
    let empty = folder(&[]);
    for version in [Version::V1, Version::V2] {
        assert_eq!(settings(version, empty.path()), Settings::default());
    }
    assert_eq!(bandwidth(empty.path()), None);
    assert_eq!(cpuset_v1(empty.path()), None);
}

#[test]
fn counters_of_both_versions() {
    let v2 = "usage_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 700\nnr_bursts 0\n";
    let v1 = "nr_periods 10\nnr_throttled 4\nthrottled_time 700000\n";
    let expected = Bandwidth {
        periods: 10,
        throttled_periods: 4,
        throttled_ns: 700_000,
    };
    for stat in [v2, v1] {
        let files = folder(&[("cpu.stat", stat)]);
        assert_eq!(bandwidth(files.path()), Some(expected));
    }
    let root = folder(&[("cpu.stat", "usage_usec 9\nuser_usec 1\n")]);
    assert_eq!(bandwidth(root.path()), None);
}
