//! An ext4 file system on a device. Unmounted on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::device::Device;
use crate::sys;

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "an ext4 file system";

/// A freshly made file system, for machines that cannot make one.
const IMAGE: &str = "CROSSTALK_EXT4_IMAGE";

/// The mounted file system.
#[derive(Debug)]
pub struct FileSystem {
    dir: PathBuf,
}

impl FileSystem {
    /// Makes and mounts one; `None` where the kernel does not know it.
    pub fn on(device: &Device) -> Option<Self> {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !known.split_whitespace().any(|name| name == "ext4") {
            return None;
        }
        let mount = || -> io::Result<Self> {
            format(device)?;
            let dir = std::env::temp_dir().join(format!("crosstalk-test-{}", device.name()));
            fs::create_dir_all(&dir)?;
            sys::mount(&device.path(), &dir, "ext4")?;
            Ok(Self { dir })
        };
        Some(mount().unwrap_or_else(|error| panic!("ext4 on {}: {error}", device.name())))
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        if let Err(error) = sys::unmount(&self.dir).and_then(|()| fs::remove_dir(&self.dir)) {
            eprintln!("could not unmount {}: {error}", self.dir.display());
        }
    }
}

fn format(device: &Device) -> io::Result<()> {
    if let Some(image) = std::env::var_os(IMAGE) {
        let mut image = fs::File::open(image)?;
        let mut node = fs::OpenOptions::new().write(true).open(device.path())?;
        io::copy(&mut image, &mut node)?;
        return node.sync_all();
    }
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F"])
        .arg(device.path())
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr)))
    }
}
