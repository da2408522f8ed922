//! What a cgroup is to people: the entity that it belongs to, and the names of rows.
//!
//! The model draws no boundary itself: whoever makes one says, for each path, where it lies.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use agent_ebpf::owner::KernelFamily;
use serde::{Deserialize, Serialize};

use crate::{model::labels::Labels, sample::CgroupId};

/// What an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A container, its inner cgroups included.
    Container,
    /// A pod's own processes, outside its containers.
    Pod,
    /// A service of the init system.
    Service,
    /// A login session or what a user's own service manager runs.
    Session,
    /// A cgroup that is none of the others.
    Cgroup,
    /// User processes in the root cgroup.
    Host,
    /// A family of kernel threads.
    Kernel,
    /// Block devices themselves: flushes that nobody owns.
    Device,
    /// Cgroups that found no place of their own in the kernel's maps.
    Other,
}

impl Kind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Pod => "pod",
            Kind::Service => "service",
            Kind::Session => "session",
            Kind::Cgroup => "cgroup",
            Kind::Host => "host",
            Kind::Kernel => "kernel",
            Kind::Device => "device",
            Kind::Other => "other",
        }
    }
}

/// The entity of one cgroup path.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// What it is.
    pub kind: Kind,
    /// Its name for people.
    pub name: String,
    /// Path of the highest cgroup that belongs to it: a prefix of the path in whole components.
    pub boundary: OsString,
    /// What else is known of it.
    pub labels: Labels,
}

/// The name of a row that stays the same over the life of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// An entity, by the path of its boundary.
    Entity(OsString),
    /// One cgroup; as an entity only where its path is not known.
    Cgroup(CgroupId),
    /// One cgroup of the hierarchy that owns `io`, where that of `cpu` has none of the same path.
    Path(OsString),
    /// A family of kernel threads.
    Kernel(KernelFamily),
    /// Block devices themselves.
    Device,
    /// Whoever has no name.
    Other,
}

/// The reserved name of a family of kernel threads, `kernel/<family>`.
pub fn kernel_name(family: KernelFamily) -> String {
    format!("kernel/{}", family.name())
}

/// A path as text: bytes that are no UTF-8 as `\xNN`, all else as it is.
pub fn path_text(path: &OsStr) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_stay_legible() {
        let path = OsStr::from_bytes(b"/a\xff\xc3(/system-x\\x2d.slice/\xc3\xa9");
        assert_eq!(path_text(path), "/a\\xff\\xc3(/system-x\\x2d.slice/é");
    }
}
