//! One component of a cgroup path: what the makers of containers, pods, services and sessions
//! call their cgroups.

use super::{Qos, Runtime};

/// The digits of a container id.
const CONTAINER_ID: usize = 64;
/// The digits of a pod uid.
const POD_UID: usize = 32;

/// A component with its surroundings.
pub(super) struct Component<'a> {
    pub(super) name: &'a [u8],
    /// Of the parent folder; empty at the top.
    parent: &'a [u8],
    /// Where the component ends in the path.
    pub(super) end: usize,
}

/// The components of a path; empty ones and `..` (seen from inside a cgroup namespace) left out.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = Component<'_>> {
    let mut start = 0;
    let mut parent: &[u8] = b"";
    path.split(|&byte| byte == b'/').filter_map(move |name| {
        let end = start + name.len();
        start = end + 1;
        if name.is_empty() || name == b".." {
            return None;
        }
        let component = Component { name, parent, end };
        parent = name;
        Some(component)
    })
}

impl<'a> Component<'a> {
    /// `<64hex>`, `<maker>-<64hex>.scope`, `<pod>.slice:cri-containerd:<64hex>`. Not the monitors
    /// (`crio-conmon-<64hex>.scope`), which are no containers.
    pub(super) fn container_id(&self) -> Option<String> {
        let (maker, id) = self.maker_and_id()?;
        // A pod of podman has an id of its own, and containers below.
        let is_group = maker.is_empty() && self.parent == b"libpod_parent";
        (!maker.ends_with(b"conmon") && !is_group).then(|| String::from_utf8_lossy(id).into_owned())
    }

    /// Who made the container of that id.
    pub(super) fn runtime(&self) -> Option<Runtime> {
        let (maker, _) = self.maker_and_id()?;
        let maker = if maker.is_empty() { self.parent } else { maker };
        let last = maker.rsplit(|&byte| byte == b':').next()?;
        match last {
            b"cri-containerd" | b"nerdctl" => Some(Runtime::Containerd),
            b"crio" => Some(Runtime::Crio),
            b"docker" => Some(Runtime::Docker),
            b"libpod" => Some(Runtime::Podman),
            _ => None,
        }
    }

    /// `…pod<uid>` with any of the kubelet's prefixes, normalised.
    pub(super) fn pod_uid(&self) -> Option<String> {
        let (prefix, uid) = self.pod()?;
        // Only the kubelet's own prefixes: a service may be called anything.
        (prefix.is_empty() || prefix.ends_with(b"-")).then(|| normalized_uid(uid))?
    }

    /// The class of a pod: the kubelet's prefix has it with systemd, the folder above without.
    pub(super) fn qos(&self) -> Option<Qos> {
        let (prefix, _) = self.pod()?;
        let class = match prefix.strip_suffix(b"-") {
            Some(prefix) => prefix.rsplit(|&byte| byte == b'-').next()?,
            None => self.parent,
        };
        match class {
            b"kubepods" => Some(Qos::Guaranteed),
            b"burstable" => Some(Qos::Burstable),
            b"besteffort" => Some(Qos::BestEffort),
            _ => None,
        }
    }

    /// `lxc.payload.<name>`, `lxc/<name>`.
    pub(super) fn lxc_name(&self) -> Option<&'a [u8]> {
        if self.parent == b"lxc" {
            return Some(self.name);
        }
        self.name
            .strip_prefix(b"lxc.payload.")
            .filter(|name| !name.is_empty())
    }

    /// `systemd-nspawn@<name>.service`.
    pub(super) fn nspawn_name(&self) -> Option<&'a [u8]> {
        self.name
            .strip_prefix(b"systemd-nspawn@")?
            .strip_suffix(b".service")
            .filter(|name| !name.is_empty())
    }

    /// `user.slice/user-<uid>.slice`.
    pub(super) fn user(&self) -> Option<u32> {
        let digits = self.name.strip_prefix(b"user-")?.strip_suffix(b".slice")?;
        (self.parent == b"user.slice").then(|| str::from_utf8(digits).ok()?.parse().ok())?
    }

    /// Whether systemd runs processes in it. Slices are only groups.
    pub(super) fn is_unit(&self) -> bool {
        let is_named =
            |suffix: &[u8]| self.name.len() > suffix.len() && self.name.ends_with(suffix);
        is_named(b".service") || is_named(b".scope")
    }

    /// Prefix and uid, not checked.
    fn pod(&self) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.name.split(|&byte| byte == b':').next()?;
        let name = name.strip_suffix(b".slice").unwrap_or(name);
        let at = find_last(name, b"pod")?;
        Some((&name[..at], &name[at + 3..]))
    }

    fn maker_and_id(&self) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.name.strip_suffix(b".scope").unwrap_or(self.name);
        let (rest, id) = name.split_at_checked(name.len().checked_sub(CONTAINER_ID)?)?;
        let maker = match rest.split_last() {
            None => rest,
            Some((b'-' | b':', maker)) => maker,
            Some(_) => return None,
        };
        id.iter().copied().all(is_hex).then_some((maker, id))
    }
}

/// A uid with dashes or underscores between its groups, or none at all.
fn normalized_uid(uid: &[u8]) -> Option<String> {
    let hex: Vec<u8> = uid
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'-' | b'_'))
        .collect();
    if hex.len() != POD_UID || !hex.iter().copied().all(is_hex) {
        return None;
    }
    let hex = String::from_utf8(hex).ok()?;
    if uid.len() == POD_UID {
        return Some(hex);
    }
    let grouped = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-");
    let as_written: Vec<u8> = uid
        .iter()
        .map(|&byte| if byte == b'_' { b'-' } else { byte })
        .collect();
    (grouped.as_bytes() == as_written).then_some(grouped)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn find_last(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).rposition(|window| window == part)
}
