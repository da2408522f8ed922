//! A block device by its name, with the kernel's own count of its requests.

use std::fs;
use std::io;
use std::ops::Sub;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const SECTOR: u64 = 512;

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    name: String,
}

impl Device {
    /// The one with this kernel name, such as `vda`.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// The one that a file's file system is on; `None` for one that is on none.
    pub fn below(file: &Path) -> Option<Self> {
        let device = fs::metadata(file).ok()?.dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        let dir = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        // Partitions are below their disk.
        let disk = if dir.join("partition").exists() {
            dir.parent()?
        } else {
            &dir
        };
        Some(Self::named(disk.file_name()?.to_str()?))
    }

    /// Its kernel name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node.
    pub fn path(&self) -> PathBuf {
        format!("/dev/{}", self.name).into()
    }

    /// Its number, such as `254:0`.
    pub fn number(&self) -> String {
        let text = fs::read_to_string(self.attribute("dev")).expect("a device has a number");
        text.trim().to_owned()
    }

    /// Its size.
    pub fn kibibytes(&self) -> u64 {
        let text = fs::read_to_string(self.attribute("size")).expect("a device has a size");
        let sectors: u64 = text.trim().parse().expect("a number");
        sectors * SECTOR / 1024
    }

    /// Its requests since it was made.
    pub fn stat(&self) -> Stat {
        let text = fs::read_to_string(self.attribute("stat")).expect("a device has statistics");
        Stat::parse(&text)
    }

    /// Sets an attribute of its queue.
    pub fn set(&self, attribute: &str, value: &str) -> io::Result<()> {
        let path = self.attribute(&format!("queue/{attribute}"));
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// Reads an attribute of its queue, if it has it.
    pub fn get(&self, attribute: &str) -> Option<String> {
        let text = fs::read_to_string(self.attribute(&format!("queue/{attribute}"))).ok()?;
        Some(text.trim().to_owned())
    }

    fn attribute(&self, name: &str) -> PathBuf {
        format!("/sys/block/{}/{name}", self.name).into()
    }
}

/// Completed requests of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Reads.
    pub reads: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Writes, and requests to flush the cache.
    pub writes: u64,
    /// Bytes that were written.
    pub write_bytes: u64,
    /// Discards.
    pub discards: u64,
    /// Bytes that were discarded.
    pub discard_bytes: u64,
    /// Flushes that the kernel made of the requests for one.
    pub flushes: u64,
}

impl Stat {
    /// All of them.
    pub fn requests(&self) -> u64 {
        self.reads + self.writes + self.discards + self.flushes
    }

    fn parse(text: &str) -> Self {
        let fields: Vec<u64> = text
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let field = |place: usize| fields.get(place).copied().unwrap_or(0);
        Self {
            reads: field(0),
            read_bytes: field(2) * SECTOR,
            writes: field(4),
            write_bytes: field(6) * SECTOR,
            discards: field(11),
            discard_bytes: field(13) * SECTOR,
            flushes: field(15),
        }
    }
}

impl Sub for Stat {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            reads: self.reads - before.reads,
            read_bytes: self.read_bytes - before.read_bytes,
            writes: self.writes - before.writes,
            write_bytes: self.write_bytes - before.write_bytes,
            discards: self.discards - before.discards,
            discard_bytes: self.discard_bytes - before.discard_bytes,
            flushes: self.flushes - before.flushes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_become_bytes() {
        let text = "  1 0 8 3  2 0 16 4  0 5 6  7 0 24 8  9 10\n";
        let expected = Stat {
            reads: 1,
            read_bytes: 4096,
            writes: 2,
            write_bytes: 8192,
            discards: 7,
            discard_bytes: 12_288,
            flushes: 9,
        };
        assert_eq!(Stat::parse(text), expected);
    }
}
