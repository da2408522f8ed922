//! The kernel's own figures of a cgroup's block I/O (cgroup-v2.rst, "IO"; cgroup-v1/blkio-controller.rst).
//!
//! A file that is absent, because its controller is not enabled there or the cgroup went away,
//! gives `None`, and so does one that cannot be read.

use std::{collections::BTreeMap, path::Path};

use super::{disks, hierarchy::Version, pressure, read};
use crate::sample::disk::{DeviceId, IoFigures, IoStat};

/// Limits of version 1.
const LIMITS: [&str; 4] = [
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
];

/// Figures of the cgroup with this folder.
pub fn read(version: Version, folder: &Path) -> IoFigures {
    match version {
        Version::V1 => IoFigures {
            stat: stat_v1(folder),
            pressure: None,
            limited: limited_v1(folder),
        },
        Version::V2 => IoFigures {
            stat: read::text(&folder.join("io.stat"))
                .ok()
                .map(|text| stat_v2(&text)),
            pressure: pressure::stalled(&folder.join("io.pressure")),
            limited: limited_v2(folder),
        },
    }
}

/// The root has none, and is not limited.
fn limited_v2(folder: &Path) -> Option<bool> {
    match read::optional_text(&folder.join("io.max")) {
        Ok(Some(text)) => Some(has_lines(&text)),
        Ok(None) if !folder.join("cgroup.type").exists() => Some(false),
        _ => None,
    }
}

fn limited_v1(folder: &Path) -> Option<bool> {
    let limit = |file| {
        read::text(&folder.join(file))
            .ok()
            .map(|text| has_lines(&text))
    };
    let limits: Option<Vec<bool>> = LIMITS.into_iter().map(limit).collect();
    limits.map(|limits| limits.contains(&true))
}

fn has_lines(text: &str) -> bool {
    text.lines().any(|line| !line.trim().is_empty())
}

/// `8:0 rbytes=180224 wbytes=0 rios=3 wios=0 dbytes=0 dios=0`.
fn stat_v2(text: &str) -> BTreeMap<DeviceId, IoStat> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let device = disks::parse(fields.next()?)?;
            let mut stat = IoStat::default();
            for field in fields {
                let Some((name, value)) = field.split_once('=') else {
                    continue;
                };
                let value = value.parse().unwrap_or(0);
                match name {
                    "rbytes" => stat.read_bytes = value,
                    "wbytes" => stat.write_bytes = value,
                    "rios" => stat.reads = value,
                    "wios" => stat.writes = value,
                    _ => {}
                }
            }
            Some((device, stat))
        })
        .collect()
}

fn stat_v1(folder: &Path) -> Option<BTreeMap<DeviceId, IoStat>> {
    let bytes = read::text(&folder.join("blkio.throttle.io_service_bytes")).ok()?;
    let requests = read::text(&folder.join("blkio.throttle.io_serviced")).ok()?;
    let mut stats = BTreeMap::<DeviceId, IoStat>::new();
    for (device, kind, value) in bytes.lines().filter_map(line_v1) {
        let stat = stats.entry(device).or_default();
        match kind {
            "Read" => stat.read_bytes = value,
            "Write" => stat.write_bytes = value,
            _ => {}
        }
    }
    for (device, kind, value) in requests.lines().filter_map(line_v1) {
        let stat = stats.entry(device).or_default();
        match kind {
            "Read" => stat.reads = value,
            "Write" => stat.writes = value,
            _ => {}
        }
    }
    // Later kernels count there only where a limit was set.
    (!stats.is_empty()).then_some(stats)
}

/// `8:0 Read 180224`.
fn line_v1(line: &str) -> Option<(DeviceId, &str, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let device = disks::parse(fields.next()?)?;
    Some((device, fields.next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::Duration};

    const DISK: DeviceId = DeviceId { major: 8, minor: 0 };

    #[test]
    fn version_2() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("cgroup.type", "domain\n");
        assert_eq!(read(Version::V2, folder.path()), IoFigures::default());
        write(
            "io.stat",
            "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 \nx\n",
        );
        write(
            "io.pressure",
            "some avg10=0.00 total=5\nfull avg10=0.00 total=3\n",
        );
        write("io.max", "");
        let figures = read(Version::V2, folder.path());
        let stat = IoStat {
            read_bytes: 4096,
            write_bytes: 8192,
            reads: 1,
            writes: 2,
        };
        assert_eq!(figures.stat.unwrap()[&DISK], stat);
        let full = figures.pressure.unwrap().full;
        assert_eq!(full, Some(Duration::from_micros(3)));
        assert_eq!(figures.limited, Some(false));
        write("io.max", "8:0 rbps=1048576 wbps=max riops=max wiops=max\n");
        assert_eq!(read(Version::V2, folder.path()).limited, Some(true));
    }

    #[test]
    fn version_1() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(read(Version::V1, folder.path()), IoFigures::default());
        write(
            "blkio.throttle.io_service_bytes",
            "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096\n",
        );
        write(
            "blkio.throttle.io_serviced",
            "8:0 Read 1\n8:0 Write 0\nTotal 1\n",
        );
        for limit in LIMITS {
            write(limit, "");
        }
        let figures = read(Version::V1, folder.path());
        let stat = figures.stat.unwrap()[&DISK];
        assert_eq!((stat.read_bytes, stat.reads), (4096, 1));
        assert_eq!(figures.limited, Some(false));
        write(LIMITS[3], "8:0 100\n");
        assert_eq!(read(Version::V1, folder.path()).limited, Some(true));
    }
}
