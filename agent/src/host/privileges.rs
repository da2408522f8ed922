//! What this process may do, and what stands in its way. Read only: nothing is tried.

use std::{fs, path::Path};

use super::read::{self, Error};

/// The initial user namespace's inode (`PROC_USER_INIT_INO` in include/linux/proc_ns.h).
const INITIAL_USER_NAMESPACE: &str = "user:[4026531837]";

/// A capability, by its number in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Stands for `BPF` and `PERFMON` too.
    SysAdmin = 21,
    /// Lifts the limit on locked memory.
    SysResource = 24,
    /// Loads programs that look at the kernel.
    Perfmon = 38,
    /// Makes maps and loads programs.
    Bpf = 39,
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Whether one is in it.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// Whether programs that look at the kernel can be loaded with it.
    pub fn can_trace(self) -> bool {
        let both = self.has(Capability::Bpf) && self.has(Capability::Perfmon);
        both || self.has(Capability::SysAdmin)
    }
}

/// How system calls are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Not at all.
    Off,
    /// Only four calls are left.
    Strict,
    /// A profile decides.
    Filter,
}

/// How far root is kept from the kernel (kernel_lockdown(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    Off,
    /// Root cannot change the kernel.
    Integrity,
    /// Root cannot read the kernel's memory either.
    Confidentiality,
}

/// What was found. `None` is unknown, or a kernel without the feature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// In force now.
    pub effective: Capabilities,
    /// The most that can ever be had.
    pub bounding: Capabilities,
    /// Whether files on disk can give no capabilities.
    pub no_new_privileges: Option<bool>,
    /// Filter of system calls.
    pub seccomp: Option<Seccomp>,
    /// Lockdown of the kernel.
    pub lockdown: Option<Lockdown>,
    /// `kernel.unprivileged_bpf_disabled`: 0 no, 1 yes for good, 2 yes.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// Whether capabilities count for the whole host, and not just a user namespace.
    pub initial_user_namespace: Option<bool>,
    /// Label by SELinux, AppArmor or another; a tenant may have chosen its bytes.
    pub label: Option<String>,
    /// Soft limit on locked memory in bytes; `u64::MAX` is none.
    pub locked_memory: Option<u64>,
    /// Kernel version, major and minor. Decides nothing but which explanation is given.
    pub kernel: Option<(u32, u32)>,
}

/// Reads the privileges of this process from the `/proc` and `/sys` mounted there.
pub fn read(proc: &Path, sys: &Path) -> Result<Privileges, Error> {
    let own = proc.join("self");
    let path = own.join("status");
    let status = read::text(&path)?;
    let capabilities = |name| {
        field(&status, name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .map(Capabilities)
    };
    let effective = capabilities("CapEff:");
    Ok(Privileges {
        effective: effective.ok_or(Error::Malformed {
            path,
            expected: "CapEff",
        })?,
        bounding: capabilities("CapBnd:").unwrap_or_default(),
        no_new_privileges: field(&status, "NoNewPrivs:").map(|value| value == "1"),
        seccomp: field(&status, "Seccomp:").and_then(seccomp),
        lockdown: read::line(&sys.join("kernel/security/lockdown"))
            .as_deref()
            .and_then(lockdown),
        unprivileged_bpf_disabled: read::value(&proc.join("sys/kernel/unprivileged_bpf_disabled")),
        initial_user_namespace: initial_user_namespace(&own),
        label: read::line(&own.join("attr/current"))
            .as_deref()
            .map(label)
            .filter(|label| !label.is_empty()),
        locked_memory: read::text(&own.join("limits"))
            .ok()
            .as_deref()
            .and_then(locked_memory),
        kernel: read::line(&proc.join("sys/kernel/osrelease"))
            .as_deref()
            .and_then(version),
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn seccomp(mode: &str) -> Option<Seccomp> {
    match mode {
        "0" => Some(Seccomp::Off),
        "1" => Some(Seccomp::Strict),
        "2" => Some(Seccomp::Filter),
        _ => None,
    }
}

/// `none [integrity] confidentiality`: the mode in force is in brackets.
fn lockdown(line: &str) -> Option<Lockdown> {
    match line.split_once('[')?.1.split_once(']')?.0 {
        "none" => Some(Lockdown::Off),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

/// The link is exact; the map is not (a nested namespace may map all ids to themselves).
fn initial_user_namespace(own: &Path) -> Option<bool> {
    if let Ok(link) = fs::read_link(own.join("ns/user")) {
        return Some(link.as_os_str() == INITIAL_USER_NAMESPACE);
    }
    let map = read::line(&own.join("uid_map"))?;
    Some(map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// SELinux ends its label with a zero byte.
fn label(line: &str) -> String {
    line.trim_end_matches('\0').to_owned()
}

fn locked_memory(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        bytes => bytes.parse().ok(),
    }
}

/// `6.12.0-5-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
#[path = "privileges_tests.rs"]
mod tests;
