//! Files for devices over files. Removed on drop.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The file.
#[derive(Debug)]
pub struct ScratchFile(PathBuf);

impl ScratchFile {
    /// In a file system without a disk.
    pub fn in_memory(bytes: u64) -> Self {
        Self::new(Path::new("/dev/shm"), bytes)
    }

    /// Where the machine keeps what is temporary for long.
    pub fn on_disk(bytes: u64) -> Self {
        Self::new(Path::new("/var/tmp"), bytes)
    }

    /// In this directory, full of holes.
    pub fn new(dir: &Path, bytes: u64) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("crosstalk-test-{}-{number}", std::process::id()));
        let made = File::create(&path).and_then(|file| file.set_len(bytes));
        made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("could not remove {}: {error}", self.0.display());
        }
    }
}
