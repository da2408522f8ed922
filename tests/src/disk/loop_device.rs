//! A loop device over a file, or over another device. Detached on drop.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::device::Device;
use crate::sys;

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "loop devices";

/// How it reads and writes what is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Through the page cache.
    Cached,
    /// Past the page cache: one request becomes one request.
    Direct,
}

/// The device.
#[derive(Debug)]
pub struct LoopDevice(Device);

impl LoopDevice {
    /// Attaches one; `None` where the kernel has no such driver.
    pub fn over(file: &Path, backing: Backing) -> Option<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")
            .ok()?;
        let attach = || -> io::Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open(file)?;
            let number = sys::free_loop_device(&control)?;
            let device = Device::named(format!("loop{number}"));
            let node = OpenOptions::new()
                .read(true)
                .write(true)
                .open(device.path())?;
            sys::attach_loop_device(&node, &file, backing == Backing::Direct)?;
            device.set("nomerges", "2")?;
            Ok(Self(device))
        };
        Some(
            attach()
                .unwrap_or_else(|error| panic!("a loop device over {}: {error}", file.display())),
        )
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.0
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = self.0.set("nomerges", "0");
        let node = OpenOptions::new().read(true).open(self.0.path());
        if let Err(error) = node.and_then(|node| sys::detach_loop_device(&node)) {
            eprintln!("could not detach {}: {error}", self.0.name());
        }
    }
}
