//! Block devices as people know them (`/sys/dev/block`, sysfs-block; `/proc/diskstats`).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    read,
    text::{display_bytes, display_path},
};
use crate::sample::disk::{DeviceId, InFlight};

/// `LOOP_MAJOR` of include/uapi/linux/major.h.
const LOOP_MAJOR: u32 = 7;

/// Places in a line of `/proc/diskstats`: requests in flight, and milliseconds in which any were.
const IN_FLIGHT: usize = 11;
const IO_TICKS: usize = 12;

/// A block device that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name.
    pub name: String,
    /// The name that people gave it: a volume, an array, the file behind a loop device.
    pub label: Option<String>,
    /// Its requests become requests of other devices.
    pub stacked: bool,
    /// Whether the kernel keeps statistics of it (`queue/iostats`).
    pub iostats: Option<bool>,
}

/// Where the kernel tells of its devices.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// `/proc`.
    pub proc: &'a Path,
    /// `/sys`.
    pub sys: &'a Path,
}

impl Places<'_> {
    /// Whether the device exists.
    pub fn exists(self, id: DeviceId) -> bool {
        self.folder(id).is_some()
    }

    /// What is known of a device; `None` where there is none.
    pub fn read(self, id: DeviceId) -> Option<Disk> {
        let folder = self.folder(id)?;
        let target = fs::canonicalize(&folder).ok()?;
        let name = display_path(target.file_name()?);
        let slaves = fs::read_dir(folder.join("slaves")).is_ok_and(|mut all| all.next().is_some());
        let labels = ["dm/name", "loop/backing_file", "md/array_name"];
        let label = labels
            .iter()
            .find_map(|file| first_line(&folder.join(file)));
        Some(Disk {
            label: label
                .filter(|label| !label.is_empty())
                .or_else(|| namespace(&name)),
            name,
            stacked: id.major == LOOP_MAJOR || slaves,
            iostats: read::value::<u8>(&folder.join("queue/iostats")).map(|on| on != 0),
        })
    }

    /// What the kernel says of requests in flight, also of devices of which it keeps no statistics.
    pub fn in_flight(self) -> Result<BTreeMap<DeviceId, InFlight>, read::Error> {
        let text = read::text(&self.proc.join("diskstats"))?;
        Ok(text.lines().filter_map(in_flight).collect())
    }

    /// The paths to a namespace of NVMe multipath have numbers that no file below `/sys` tells
    /// (`GENHD_FL_HIDDEN`), and requests of their own, which the namespace has not.
    fn folder(self, id: DeviceId) -> Option<PathBuf> {
        let folder = self.sys.join("dev/block").join(id.to_string());
        if folder.exists() {
            return Some(folder);
        }
        let text = read::text(&self.proc.join("diskstats")).ok()?;
        let folder = self.sys.join("block").join(numbered(&text, id)?);
        (folder.exists() && !folder.join("dev").exists()).then_some(folder)
    }
}

fn in_flight(line: &str) -> Option<(DeviceId, InFlight)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |place: usize| words.get(place)?.parse().ok();
    let id = DeviceId {
        major: words.first()?.parse().ok()?,
        minor: words.get(1)?.parse().ok()?,
    };
    let in_flight = InFlight {
        time: Duration::from_millis(number(IO_TICKS)?),
        requests: number(IN_FLIGHT)?,
    };
    Some((id, in_flight))
}

/// The name of a device in `/proc/diskstats`.
fn numbered(text: &str, id: DeviceId) -> Option<&str> {
    let (major, minor) = (id.major.to_string(), id.minor.to_string());
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_it = words.next() == Some(&major) && words.next() == Some(&minor);
        words.next().filter(|_| is_it)
    })
}

/// The namespace of one of its paths: `nvme0n1` of `nvme0c1n1`.
fn namespace(path: &str) -> Option<String> {
    let (subsystem, rest) = path.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let are_numbers = [subsystem, controller, namespace]
        .iter()
        .all(|part| part.parse::<u32>().is_ok());
    are_numbers.then(|| format!("nvme{subsystem}n{namespace}"))
}

/// All devices that requests may be made to: whole ones, with a size.
pub fn all(sys: &Path) -> Vec<DeviceId> {
    let Ok(entries) = fs::read_dir(sys.join("block")) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let has_size =
        |path: &PathBuf| read::value::<u64>(&path.join("size")).is_some_and(|size| size > 0);
    let mut all: Vec<DeviceId> = folders
        .filter(has_size)
        .filter_map(|path| parse(&read::line(&path.join("dev"))?))
        .collect();
    all.sort_unstable();
    all
}

/// A path may hold any bytes.
fn first_line(path: &Path) -> Option<String> {
    let bytes = read::bytes(path).ok()?;
    Some(display_bytes(bytes.split(|byte| *byte == b'\n').next()?))
}

/// `major:minor`.
pub fn parse(text: &str) -> Option<DeviceId> {
    let (major, minor) = text.split_once(':')?;
    Some(DeviceId {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn requests_in_flight() {
        let proc = tempfile::tempdir().unwrap();
        let stats = " 254       0 vda 5 0 8 7 3 0 107702 372 2 917800 10791441 3022 0 1 141 17 4\n\
            254       1 vda1 5\n8 x\n";
        fs::write(proc.path().join("diskstats"), stats).unwrap();
        let places = Places {
            proc: proc.path(),
            sys: proc.path(),
        };
        let vda = InFlight {
            time: Duration::from_millis(917_800),
            requests: 2,
        };
        let id = parse("254:0").unwrap();
        assert_eq!(places.in_flight().unwrap(), BTreeMap::from([(id, vda)]));
    }

    #[test]
    fn devices_have_names_of_people() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        fs::create_dir_all(sys.join("dev/block")).unwrap();
        for (id, name, files) in [
            (
                "254:3",
                "dm-3",
                vec![("dm/name", "vg-data"), ("slaves/sda", "")],
            ),
            ("7:1", "loop1", vec![("loop/backing_file", "/srv/image")]),
            (
                "8:0",
                "sda",
                vec![("queue/iostats", "0"), ("dev", "8:0"), ("size", "9")],
            ),
        ] {
            let folder = sys.join("block").join(name);
            for (file, text) in files {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            }
            symlink(&folder, sys.join("dev/block").join(id)).unwrap();
        }
        fs::create_dir_all(sys.join("block/nvme0c1n1/queue")).unwrap();
        let stats = " 259       1 nvme0c1n1 9 0 72 1\n   8       0 sda 1 0 8 1\n";
        fs::write(sys.join("diskstats"), stats).unwrap();
        let places = Places { proc: sys, sys };
        let of = |id: &str| places.read(parse(id).unwrap());
        let path = of("259:1").unwrap();
        assert_eq!(path.name, "nvme0c1n1");
        assert_eq!(path.label.as_deref(), Some("nvme0n1"));
        let volume = of("254:3").unwrap();
        assert_eq!(volume.label.as_deref(), Some("vg-data"));
        assert!(volume.stacked && volume.name == "dm-3");
        let looped = of("7:1").unwrap();
        assert_eq!(looped.label.as_deref(), Some("/srv/image"));
        assert!(looped.stacked);
        let disk = of("8:0").unwrap();
        assert_eq!((disk.stacked, disk.iostats), (false, Some(false)));
        assert_eq!(of("8:1"), None);
        assert_eq!(all(sys), [DeviceId { major: 8, minor: 0 }]);
    }
}
