//! Two devices that a stripe of software RAID makes one. Stopped on drop.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CHUNK, device::Device};

/// Makes arrays whose name is written to it.
const NEW: &str = "/sys/module/md_mod/parameters/new_array";

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "software RAID";

/// The array.
#[derive(Debug)]
pub struct MdArray(Device);

impl MdArray {
    /// Makes one; `None` where the kernel has no such driver.
    pub fn striped(parts: [&Device; 2]) -> Option<Self> {
        if !Path::new("/sys/module/raid0").exists() && !Path::new("/sys/module/md_mod").exists() {
            return None;
        }
        let name = (0..64).map(|number| format!("md{number}"));
        let name = name.into_iter().find(|name| !folder(name).exists())?;
        write(Path::new(NEW), &name);
        let array = Self(Device::named(name));
        array.set("level", "raid0");
        array.set("metadata_version", "none");
        array.set("raid_disks", "2");
        array.set("chunk_size", &CHUNK.to_string());
        for (slot, part) in parts.into_iter().enumerate() {
            array.set("new_dev", &part.number());
            array.set(&format!("dev-{}/slot", part.name()), &slot.to_string());
            array.set(
                &format!("dev-{}/size", part.name()),
                &part.kibibytes().to_string(),
            );
        }
        array.set("array_state", "active");
        Some(array)
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0
    }

    fn set(&self, attribute: &str, value: &str) {
        write(&folder(self.0.name()).join("md").join(attribute), value);
    }
}

impl Drop for MdArray {
    fn drop(&mut self) {
        self.set("array_state", "clear");
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new("/sys/block").join(name)
}

fn write(path: &Path, value: &str) {
    if let Err(error) = fs::write(path, value) {
        eprintln!("{} {value}: {error}", path.display());
    }
}
