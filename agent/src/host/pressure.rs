//! Pressure files of the host and of cgroups (accounting/psi.rst). One that is absent, or switched
//! off, gives `None`, and so does one that cannot be read.

use std::{path::Path, time::Duration};

use super::read;
use crate::sample::pressure::{Pressure, Stalled};

/// `/proc/pressure`. That all tasks wait for CPUs is not defined for a host: the kernel says 0.
pub fn of_host(proc: &Path) -> Pressure {
    let folder = proc.join("pressure");
    let stalled = |file: &str| stalled(&folder.join(file));
    let cpu = stalled("cpu").map(|cpu| Stalled { full: None, ..cpu });
    Pressure {
        cpu,
        memory: stalled("memory"),
        disk: stalled("io"),
    }
}

/// The files in the folder of a cgroup, of version 2.
pub fn of_cgroup(folder: &Path) -> Pressure {
    let stalled = |file: &str| stalled(&folder.join(file));
    Pressure {
        cpu: stalled("cpu.pressure"),
        memory: stalled("memory.pressure"),
        disk: stalled("io.pressure"),
    }
}

/// One file.
pub fn stalled(path: &Path) -> Option<Stalled> {
    let text = read::text(path).ok()?;
    Some(Stalled {
        some: total(&text, "some ")?,
        full: total(&text, "full "),
    })
}

fn total(pressure: &str, kind: &str) -> Option<Duration> {
    let line = pressure.lines().find_map(|line| line.strip_prefix(kind))?;
    let microseconds = line
        .split(' ')
        .find_map(|field| field.strip_prefix("total="))?;
    microseconds.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BOTH: &str = "some avg10=0.84 avg60=3.77 avg300=2.60 total=36715186\n\
        full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    const ONE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("pressure")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[expect(clippy::unnecessary_wraps, reason = "a file that is there, as told")]
    fn of(some: u64, full: Option<u64>) -> Option<Stalled> {
        Some(Stalled {
            some: Duration::from_micros(some),
            full: full.map(Duration::from_micros),
        })
    }

    #[test]
    fn a_cgroup_has_what_its_kernel_tells() {
        let files = [("cpu.pressure", ONE), ("memory.pressure", BOTH)];
        let read = of_cgroup(folder(&files).path());
        let expected = Pressure {
            cpu: of(5, None),
            memory: of(36_715_186, Some(7)),
            disk: None,
        };
        assert_eq!(read, expected);
        let files = [("cpu.pressure", BOTH), ("io.pressure", "some total=x\n")];
        let read = of_cgroup(folder(&files).path());
        assert_eq!(read.cpu, of(36_715_186, Some(7)));
        assert_eq!((read.memory, read.disk), (None, None));
    }

    #[test]
    fn of_a_host_nobody_tells_that_all_waited_for_cpus() {
        let files = [("pressure/cpu", BOTH), ("pressure/io", BOTH)];
        let read = of_host(folder(&files).path());
        assert_eq!(read.cpu, of(36_715_186, None));
        assert_eq!(read.disk, of(36_715_186, Some(7)));
        assert_eq!(read.memory, None);
    }
}
