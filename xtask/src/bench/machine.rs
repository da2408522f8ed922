//! What the figures were measured on, without any name of the host.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use crate::process;

/// The machine and the day.
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    pub(crate) memory_gib: u64,
    pub(crate) is_virtual: bool,
    pub(crate) date: String,
}

impl Machine {
    /// Reads it from `/proc`.
    pub(crate) fn read() -> Result<Self> {
        let read =
            |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let info = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let kib = value(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        let date = process::capture(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
        Ok(Self {
            cpu: value(&info, "model name").unwrap_or("unknown").to_owned(),
            cpus: thread::available_parallelism()?.get(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            memory_gib: kib.unwrap_or(0_u64).div_ceil(1 << 20),
            is_virtual: value(&info, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            date: date.trim().to_owned(),
        })
    }
}

/// The first line `name: value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_many_cpus_counts() {
        let text = "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(value(text, "model name"), Some("A"));
        assert_eq!(value(text, "flags"), None);
    }
}
