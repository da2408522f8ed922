//! The guest's whole file system: busybox, the programs of the run, kernel modules and one script.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

use super::image::Image;
use super::init::{self, Step};
use crate::process;

const BUSYBOX: &str = "/bin/busybox";
const FOLDERS: [&str; 13] = [
    "bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tests", "tmp", "usr", "var",
    "var/tmp",
];
/// Bytes of the file system that tests put on their devices.
const FILE_SYSTEM: u64 = 32 << 20;
/// Libraries ask for the user's name even as root.
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";

/// What one run needs besides the kernel's modules.
pub(crate) struct Contents {
    /// Paths in the guest, without the first slash, and the files that go there.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// What the guest does.
    pub(crate) steps: Vec<Step>,
}

/// Writes the archive that the kernel unpacks at boot.
pub(crate) fn write(file: &Path, image: &Image, contents: &Contents) -> Result<()> {
    let out = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    let mut archive = Archive {
        out: BufWriter::new(out),
        entries: 0,
        folders: HashSet::new(),
    };
    let filled = ext4_image(&file.with_extension("ext4")).and_then(|file_system| {
        archive.file("ext4.img", 0o644, &file_system)?;
        fill(&mut archive, image, contents)
    });
    filled
        .and_then(|()| archive.finish())
        .with_context(|| format!("cannot write {}", file.display()))
}

fn fill(archive: &mut Archive, image: &Image, contents: &Contents) -> Result<()> {
    for folder in FOLDERS {
        archive.folder(Path::new(folder))?;
    }
    archive.program("bin/busybox", Path::new(BUSYBOX))?;
    for (path, file) in &contents.files {
        archive.folders_above(Path::new(path))?;
        archive.program(path, file)?;
    }
    for module in &image.modules {
        archive.program(&format!("modules/{}", file_name(module)), module)?;
    }
    archive.file("etc/passwd", 0o644, PASSWD)?;
    archive.file("etc/group", 0o644, GROUP)?;
    let modules: Vec<String> = image
        .modules
        .iter()
        .map(|module| file_name(module))
        .collect();
    let script = init::script(&modules, &contents.steps);
    archive.file("init", 0o755, script.as_bytes())
}

/// A small file system with a journal, which the guest has no program to make.
fn ext4_image(image: &Path) -> Result<Vec<u8>> {
    let made = File::create(image).and_then(|file| file.set_len(FILE_SYSTEM));
    made.with_context(|| format!("cannot create {}", image.display()))?;
    process::capture(
        Command::new("/sbin/mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4"])
            .arg(image),
    )?;
    fs::read(image).with_context(|| format!("cannot read {}", image.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

struct Archive {
    out: BufWriter<File>,
    entries: u32,
    folders: HashSet<PathBuf>,
}

impl Archive {
    fn folder(&mut self, path: &Path) -> Result<()> {
        if !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        let name = path.to_string_lossy();
        self.entry(&name, 0o755, ModeFileType::Directory, &[])
    }

    fn folders_above(&mut self, path: &Path) -> Result<()> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.retain(|path| !path.as_os_str().is_empty());
        above
            .into_iter()
            .rev()
            .try_for_each(|folder| self.folder(folder))
    }

    fn program(&mut self, name: &str, from: &Path) -> Result<()> {
        let contents = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(name, 0o755, &contents)
    }

    fn file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.entry(name, mode, ModeFileType::Regular, contents)
    }

    fn entry(&mut self, name: &str, mode: u32, kind: ModeFileType, contents: &[u8]) -> Result<()> {
        // Entries with the same number would be hard links to each other.
        self.entries += 1;
        let size = u32::try_from(contents.len())
            .with_context(|| format!("{name} is too large for an initramfs"))?;
        let entry = Builder::new(name)
            .ino(self.entries)
            .mode(mode)
            .nlink(1)
            .set_mode_file_type(kind);
        let mut writer = entry.write(&mut self.out, size);
        writer.write_all(contents)?;
        writer.finish()?;
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        trailer(&mut self.out)?;
        Ok(self.out.flush()?)
    }
}

/// Where the archive of a series is written.
pub(crate) fn path(vm: &Path, series: &str) -> PathBuf {
    vm.join(format!("{series}.cpio"))
}
