//! A kernel with its modules on disk, fetched once.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::series::Series;
use crate::process;
use crate::setup::archive::Apt;

/// Drivers of the devices that tests make, and what goes on top of them; those built into a kernel are skipped.
const MODULES: [&str; 8] = [
    "mq_deadline",
    "null_blk",
    "loop",
    "sd_mod",
    "scsi_debug",
    "ext4",
    "raid0",
    "dm_mod",
];

/// A bootable kernel.
pub(crate) struct Image {
    /// What the kernel calls itself.
    pub(crate) release: String,
    /// The compressed kernel.
    pub(crate) vmlinuz: PathBuf,
    /// Modules in the order in which they must be loaded.
    pub(crate) modules: Vec<PathBuf>,
}

impl Image {
    /// The newest kernel of a series: the one fetched earlier, unless a fresh one is asked for.
    pub(crate) fn get(vm: &Path, series: &Series, refresh: bool) -> Result<Self> {
        let folder = vm.join("kernels").join(series.name);
        let complete = folder.join("complete");
        if refresh || !complete.exists() {
            fetch(vm, series, &folder)?;
            fs::write(&complete, "")
                .with_context(|| format!("cannot write {}", complete.display()))?;
        }
        Self::open(&folder)
            .with_context(|| format!("{} is damaged: delete it and try again", folder.display()))
    }

    fn open(folder: &Path) -> Result<Self> {
        let tree = only_entry(&folder.join("lib/modules"))?;
        let release = file_name(&tree);
        // Newer packages keep the kernel beside its modules.
        let places = [
            folder.join(format!("boot/vmlinuz-{release}")),
            tree.join("vmlinuz"),
        ];
        let vmlinuz = places
            .into_iter()
            .find(|place| place.exists())
            .context("no vmlinuz in it")?;
        unpack_modules(&tree)?;
        let modules = modules(&tree)?;
        Ok(Self {
            release,
            vmlinuz,
            modules,
        })
    }
}

fn fetch(vm: &Path, series: &Series, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let apt = Apt::open(vm.join("apt").join(series.name), series.sources)?;
    let packages = series.packages(&apt.names("linux-")?);
    let packages = packages.with_context(|| format!("no package {}", series.wanted()))?;
    println!("    fetching {} …", packages.join(" "));
    apt.unpack(&packages, folder)?;
    let merged = folder.join("usr/lib/modules");
    if merged.exists() {
        let lib = folder.join("lib");
        fs::create_dir_all(&lib)
            .and_then(|()| fs::rename(&merged, lib.join("modules")))
            .with_context(|| format!("cannot move {}", merged.display()))?;
    }
    index_modules(folder)
}

/// The package leaves the index to its installation script.
fn index_modules(folder: &Path) -> Result<()> {
    let tree = only_entry(&folder.join("lib/modules"))?;
    let mut depmod = Command::new("/sbin/depmod");
    depmod.arg("--basedir").arg(folder).arg(file_name(&tree));
    process::capture(&mut depmod).map(drop)
}

/// Busybox loads only uncompressed modules. Those that were unpacked before are left alone.
fn unpack_modules(tree: &Path) -> Result<()> {
    for file in dependencies(tree)?.into_iter().filter(|file| file.exists()) {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => drop(process::capture(
                Command::new("xz")
                    .args(["--decompress", "--force"])
                    .arg(&file),
            )?),
            Some("zst") => drop(process::capture(
                Command::new("zstd")
                    .args(["-d", "--rm", "--force", "--quiet"])
                    .arg(&file),
            )?),
            _ => {}
        }
    }
    Ok(())
}

fn modules(tree: &Path) -> Result<Vec<PathBuf>> {
    let files = dependencies(tree)?.into_iter();
    Ok(files
        .map(|file| {
            if file.extension().is_some_and(|extension| extension == "ko") {
                file
            } else {
                file.with_extension("")
            }
        })
        .collect())
}

/// Files of the wanted modules and of all that they need, needed ones first.
fn dependencies(tree: &Path) -> Result<Vec<PathBuf>> {
    let index = tree.join("modules.dep");
    let index =
        fs::read_to_string(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let mut seen = HashSet::new();
    let ordered = MODULES.iter().flat_map(|module| needed(&index, module));
    Ok(ordered
        .filter(|file| seen.insert(*file))
        .map(|file| tree.join(file))
        .collect())
}

/// One line of `modules.dep`, turned around: it names the module first, then what must be loaded before it, last one first.
fn needed<'a>(index: &'a str, module: &str) -> Vec<&'a str> {
    let line = index.lines().find_map(|line| {
        line.split_once(':')
            .filter(|(file, _)| module_name(file) == module)
    });
    line.map_or_else(Vec::new, |(file, before)| {
        before.split_whitespace().rev().chain([file]).collect()
    })
}

fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split('.').next().unwrap_or(name).replace('-', "_")
}

fn only_entry(folder: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    ensure!(
        paths.len() == 1,
        "{} holds {} entries, not one",
        folder.display(),
        paths.len()
    );
    Ok(paths.into_iter().collect())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let index = "kernel/a/dm-mod.ko.xz: kernel/b/dax.ko.xz kernel/c/base.ko.xz\nkernel/b/dax.ko.xz: kernel/c/base.ko.xz\n";
        assert_eq!(
            needed(index, "dm_mod"),
            [
                "kernel/c/base.ko.xz",
                "kernel/b/dax.ko.xz",
                "kernel/a/dm-mod.ko.xz"
            ]
        );
        assert_eq!(needed(index, "virtio_blk"), Vec::<&str>::new());
    }
}
