//! Two devices that a stripe of the device mapper makes one. Removed on drop.

use std::fs::File;
use std::path::Path;

use super::{CHUNK, device::Device};
use crate::sys;

const CONTROL: &str = "/dev/mapper/control";

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "a device mapper";

/// The mapped device.
#[derive(Debug)]
pub struct Mapped {
    control: File,
    name: String,
    device: Device,
}

impl Mapped {
    /// Makes one; `None` where the kernel has no such driver.
    pub fn striped(parts: [&Device; 2]) -> Option<Self> {
        if !Path::new(CONTROL).exists() {
            return None;
        }
        let control = File::options().read(true).write(true).open(CONTROL);
        let control = control.expect("root may map devices");
        let name = format!("crosstalk-test-{}", std::process::id());
        let minor = sys::make_mapped_device(&control, &name).expect("a new name");
        let made = Self {
            control,
            name,
            device: Device::named(format!("dm-{minor}")),
        };
        let sectors = parts.map(|part| part.kibibytes() * 2);
        let [one, other] = parts.map(Device::number);
        let parameters = format!("2 {} {one} 0 {other} 0", CHUNK / 512);
        let length = 2 * sectors[0].min(sectors[1]);
        sys::map_device(&made.control, &made.name, length, "striped", &parameters)
            .expect("a stripe of two devices");
        Some(made)
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Err(error) = sys::remove_mapped_device(&self.control, &self.name) {
            eprintln!("{}: {error}", self.name);
        }
    }
}
