//! What a cgroup's own files say of its I/O on one device, counted when it is submitted.

use std::fs;
use std::io;

use super::device::Device;
use crate::cgroup::Cgroup;

/// Growth of one line of `io.stat`, or of the files of version 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStat {
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Version 1 counts on devices only where some cgroup has a limit: this one is none.
pub fn enable(cgroup: &Cgroup, device: &Device) -> io::Result<()> {
    let file = cgroup.io_dir().join("blkio.throttle.read_bps_device");
    if file.exists() {
        fs::write(file, format!("{} {}", device.number(), u64::MAX >> 2))?;
    }
    Ok(())
}

/// Reads them; zero for a device that the files do not name.
pub fn read(cgroup: &Cgroup, device: &Device) -> io::Result<IoStat> {
    let dir = cgroup.io_dir();
    let number = device.number();
    if let Ok(text) = fs::read_to_string(dir.join("io.stat")) {
        return Ok(of_version_2(&text, &number));
    }
    let bytes = fs::read_to_string(dir.join("blkio.throttle.io_service_bytes"))?;
    let requests = fs::read_to_string(dir.join("blkio.throttle.io_serviced"))?;
    Ok(IoStat {
        read_bytes: of_version_1(&bytes, &number, "Read"),
        write_bytes: of_version_1(&bytes, &number, "Write"),
        reads: of_version_1(&requests, &number, "Read"),
        writes: of_version_1(&requests, &number, "Write"),
    })
}

fn of_version_2(text: &str, number: &str) -> IoStat {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(number)?.strip_prefix(' '));
    let field = |name: &str| {
        let mut words = line.unwrap_or_default().split(' ');
        let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    IoStat {
        read_bytes: field("rbytes"),
        write_bytes: field("wbytes"),
        reads: field("rios"),
        writes: field("wios"),
    }
}

fn of_version_1(text: &str, number: &str, kind: &str) -> u64 {
    let wanted = [number, kind];
    let value = text.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        words.strip_prefix(&wanted)?.first()?.parse().ok()
    });
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_the_same() {
        let two = "7:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:0 rbytes=8192 wbytes=0 rios=2 wios=0\n";
        let expected = IoStat {
            read_bytes: 8192,
            reads: 2,
            ..IoStat::default()
        };
        assert_eq!(of_version_2(two, "254:0"), expected);
        assert_eq!(of_version_2(two, "54:0"), IoStat::default());
        let one = "7:0 Read 9\n254:0 Read 8192\n254:0 Write 0\nTotal 8201\n";
        assert_eq!(of_version_1(one, "254:0", "Read"), 8192);
        assert_eq!(of_version_1(one, "254:0", "Discard"), 0);
    }
}
