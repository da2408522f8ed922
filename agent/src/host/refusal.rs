//! Why bpf(2) said EPERM: one cause and one remedy.
//!
//! The kernel does not tell, so the causes are tried from the most to the least certain: what
//! must fail by the kernel's rules comes before what may. Pure.

use super::{
    privileges::{Capability, Lockdown, Privileges, Seccomp},
    text::display_bytes,
};

/// The most likely cause, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What stands in the way.
    pub what: String,
    /// The one thing to do.
    pub remedy: &'static str,
}

/// Less locked memory than this does not hold the maps.
const MEMORY_NEEDED: u64 = 64 << 20;

/// From this version on maps count for the memory cgroup instead.
const MEMORY_UNCOUNTED: (u32, u32) = (5, 11);

/// Picks the one most likely cause of EPERM from bpf(2).
pub fn explain_eperm(privileges: &Privileges) -> Cause {
    user_namespace(privileges)
        .or_else(|| capabilities(privileges))
        .or_else(|| seccomp(privileges))
        .or_else(|| lockdown(privileges))
        .or_else(|| label(privileges))
        .or_else(|| locked_memory(privileges))
        .unwrap_or_else(|| Cause {
            what: "the kernel refuses bpf for a reason that it does not show".to_owned(),
            remedy: "look for a refusal in the kernel log (dmesg) and the audit log",
        })
}

fn user_namespace(privileges: &Privileges) -> Option<Cause> {
    (privileges.initial_user_namespace == Some(false)).then(|| Cause {
        what: "this process is in a user namespace, where capabilities do not count for bpf"
            .to_owned(),
        remedy: "run it in the host's user namespace (Kubernetes: hostUsers: true; Docker: \
                 --userns=host; podman: as root)",
    })
}

fn capabilities(privileges: &Privileges) -> Option<Cause> {
    let (effective, bounding) = (privileges.effective, privileges.bounding);
    if effective.can_trace() {
        return None;
    }
    let needed = [
        (Capability::Bpf, "CAP_BPF"),
        (Capability::Perfmon, "CAP_PERFMON"),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(capability, _)| !effective.has(*capability))
        .map(|(_, name)| *name)
        .collect();
    let missing = missing.join(" and ");
    if !bounding.can_trace() {
        return Some(Cause {
            what: format!("{missing} missing, and kept out of the bounding set"),
            remedy: "add BPF and PERFMON to the container's securityContext.capabilities.add, or \
                     to the unit's CapabilityBoundingSet",
        });
    }
    if privileges.no_new_privileges == Some(true) {
        return Some(Cause {
            what: format!("{missing} missing, and no_new_privs makes file capabilities void"),
            remedy: "run as root, or give BPF and PERFMON as AmbientCapabilities",
        });
    }
    let unprivileged = match privileges.unprivileged_bpf_disabled {
        Some(setting @ 1..) => format!(" (kernel.unprivileged_bpf_disabled={setting})"),
        _ => String::new(),
    };
    Some(Cause {
        what: format!("{missing} missing{unprivileged}"),
        remedy: "run as root, or: setcap cap_bpf,cap_perfmon+ep on the binary",
    })
}

fn seccomp(privileges: &Privileges) -> Option<Cause> {
    matches!(privileges.seccomp, Some(Seccomp::Strict | Seccomp::Filter)).then(|| Cause {
        what: "a seccomp profile filters system calls, and this one seems to refuse bpf".to_owned(),
        remedy: "use a profile that allows bpf to holders of CAP_BPF (Kubernetes: seccompProfile \
                 RuntimeDefault of a current runtime, else Unconfined)",
    })
}

fn lockdown(privileges: &Privileges) -> Option<Cause> {
    (privileges.lockdown == Some(Lockdown::Confidentiality)).then(|| Cause {
        what: "kernel lockdown is at confidentiality".to_owned(),
        remedy: "boot with lockdown=integrity",
    })
}

fn label(privileges: &Privileges) -> Option<Cause> {
    let label = privileges
        .label
        .as_deref()
        .filter(|label| is_confined(label))?;
    Some(Cause {
        what: format!(
            "the security module confines this process as {}",
            display_bytes(label.as_bytes())
        ),
        remedy: "give it a label that may use bpf (SELinux: type spc_t; AppArmor: unconfined)",
    })
}

/// SELinux: anything but the types that may do all. AppArmor: a profile in force.
fn is_confined(label: &str) -> bool {
    let free = [
        "spc_t",
        "unconfined_t",
        "unconfined_service_t",
        "kernel_t",
        "init_t",
        "super_t",
    ];
    match label.split(':').nth(2) {
        Some(kind) => !free.contains(&kind),
        None => label != "unconfined" && !label.ends_with("(complain)") && label != "kernel",
    }
}

fn locked_memory(privileges: &Privileges) -> Option<Cause> {
    let limit = privileges
        .locked_memory
        .filter(|limit| *limit < MEMORY_NEEDED)?;
    let can_raise = privileges.effective.has(Capability::SysResource);
    let counts = privileges
        .kernel
        .is_none_or(|kernel| kernel < MEMORY_UNCOUNTED);
    (counts && !can_raise).then(|| Cause {
        what: format!(
            "locked memory is limited to {} KiB, which before kernel 5.11 counts for maps",
            limit / 1024
        ),
        remedy: "add CAP_SYS_RESOURCE, or raise the limit (LimitMEMLOCK=infinity)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::privileges::Capabilities;

    const BPF_AND_PERFMON: Capabilities = Capabilities(1 << 38 | 1 << 39);
    const BPF: Capabilities = Capabilities(1 << 39);
    const ADMIN: Capabilities = Capabilities(1 << 21);
    const NONE: Capabilities = Capabilities(0);

    fn able() -> Privileges {
        Privileges {
            effective: BPF_AND_PERFMON,
            bounding: BPF_AND_PERFMON,
            no_new_privileges: Some(false),
            seccomp: Some(Seccomp::Off),
            lockdown: Some(Lockdown::Integrity),
            unprivileged_bpf_disabled: Some(2),
            initial_user_namespace: Some(true),
            label: Some("unconfined".to_owned()),
            locked_memory: Some(u64::MAX),
            kernel: Some((5, 10)),
        }
    }

    fn check(change: impl Fn(&mut Privileges), what: &str, remedy: &str) {
        let mut privileges = able();
        change(&mut privileges);
        let cause = explain_eperm(&privileges);
        assert!(cause.what.contains(what), "{cause:?}");
        assert!(cause.remedy.contains(remedy), "{cause:?}");
    }

    #[test]
    fn one_thing_in_the_way() {
        check(|_| {}, "does not show", "dmesg");
        check(
            |it| it.initial_user_namespace = Some(false),
            "user namespace",
            "hostUsers",
        );
        check(
            |it| it.effective = NONE,
            "CAP_BPF and CAP_PERFMON missing (kernel.unp",
            "setcap",
        );
        check(|it| it.effective = BPF, "CAP_PERFMON missing", "setcap");
        check(
            |it| (it.effective, it.bounding) = (BPF, BPF),
            "bounding set",
            "capabilities.add",
        );
        check(
            |it| it.seccomp = Some(Seccomp::Filter),
            "seccomp",
            "Unconfined",
        );
        check(
            |it| it.lockdown = Some(Lockdown::Confidentiality),
            "lockdown",
            "integrity",
        );
        check(
            |it| it.label = Some("system_u:system_r:container_t:s0:c1".into()),
            "container_t",
            "spc_t",
        );
        check(
            |it| it.label = Some("docker-default (enforce)".into()),
            "docker-default",
            "unconfined",
        );
        check(|it| it.locked_memory = Some(65536), "64 KiB", "MEMLOCK");
    }

    #[test]
    fn what_is_no_hindrance() {
        check(
            |it| (it.effective, it.bounding) = (ADMIN, ADMIN),
            "does not show",
            "dmesg",
        );
        check(
            |it| it.label = Some("system_u:system_r:spc_t:s0".into()),
            "does not show",
            "dmesg",
        );
        check(
            |it| it.label = Some("crosstalk (complain)".into()),
            "does not show",
            "dmesg",
        );
        check(|it| it.label = None, "does not show", "dmesg");
        check(
            |it| (it.locked_memory, it.kernel) = (Some(1), Some((6, 1))),
            "does not show",
            "dmesg",
        );
        let limited = Capabilities(BPF_AND_PERFMON.0 | 1 << 24);
        check(
            |it| (it.effective, it.locked_memory) = (limited, Some(1)),
            "does not show",
            "dmesg",
        );
    }

    #[test]
    fn the_certain_comes_first() {
        let all = |it: &mut Privileges| {
            it.effective = NONE;
            it.seccomp = Some(Seccomp::Filter);
            it.label = Some("system_u:system_r:container_t:s0".into());
            it.lockdown = Some(Lockdown::Confidentiality);
        };
        check(all, "CAP_BPF", "setcap");
        check(
            |it| (all(it), it.no_new_privileges = Some(true)).1,
            "no_new_privs",
            "Ambient",
        );
        check(
            |it| (all(it), it.initial_user_namespace = Some(false)).1,
            "user namespace",
            "host",
        );
        check(|it| (all(it), it.effective = ADMIN).1, "seccomp", "profile");
    }

    #[test]
    fn labels_are_printed_safely() {
        check(
            |it| it.label = Some("a\n\x1b[31m".into()),
            "a\\x0a\\x1b[31m",
            "label",
        );
    }
}
