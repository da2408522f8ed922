//! What this host is: names, CPUs, virtual or not, which kernel features are on. Read once.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    cpus,
    read::{self, Error},
    virtualization,
};

/// Facts that last as long as the kernel runs, except where said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Host name; in a container that of its UTS namespace.
    pub name: String,
    /// Random id of this boot; `None` where it is hidden.
    pub boot_id: Option<String>,
    /// Kernel release, as `uname -r`.
    pub release: String,
    /// CPUs that are on-line now.
    pub online: Vec<u32>,
    /// The highest CPU that can be brought on-line.
    pub highest_present: u32,
    /// Whether this is a virtual machine.
    pub hypervisor: Option<bool>,
    /// Whether steal is told to this kernel. `Some(false)`: a counter of 0 says nothing, or there
    /// is no hypervisor. `None`: no way to know.
    pub steal_supported: Option<bool>,
    /// The sched_ext scheduler that runs now, if one does.
    pub sched_ext: Option<String>,
    /// Whether the kernel keeps pressure.
    pub pressure: bool,
}

/// Reads the facts from the `/proc` and `/sys` mounted there.
pub fn read(proc: &Path, sys: &Path) -> Result<HostFacts, Error> {
    let kernel = proc.join("sys/kernel");
    let online = cpu_list(&sys.join("devices/system/cpu/online"))?;
    let present = cpu_list(&sys.join("devices/system/cpu/present"))?;
    let hypervisor = virtualization::is_virtual(proc, sys);
    Ok(HostFacts {
        name: required_line(&kernel.join("hostname"))?,
        boot_id: read::line(&kernel.join("random/boot_id")),
        release: required_line(&kernel.join("osrelease"))?,
        highest_present: present.last().copied().unwrap_or(0),
        online,
        hypervisor,
        steal_supported: virtualization::steal_supported(proc, hypervisor),
        sched_ext: sched_ext(sys),
        pressure: read::bytes(&proc.join("pressure/cpu")).is_ok(),
    })
}

fn required_line(path: &Path) -> Result<String, Error> {
    Ok(read::text(path)?.trim().to_owned())
}

fn cpu_list(path: &Path) -> Result<Vec<u32>, Error> {
    cpus::parse(&read::text(path)?)
        .filter(|cpus| !cpus.is_empty())
        .ok_or_else(|| Error::Malformed {
            path: path.to_owned(),
            expected: "list of CPUs",
        })
}

fn sched_ext(sys: &Path) -> Option<String> {
    let folder = sys.join("kernel/sched_ext");
    if read::line(&folder.join("state"))? != "enabled" {
        return None;
    }
    Some(read::line(&folder.join("root/ops")).unwrap_or_else(|| "unnamed".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let host = tempfile::tempdir().unwrap();
        let needed = [
            ("proc/sys/kernel/hostname", "web-1\n"),
            ("proc/sys/kernel/osrelease", "6.12.0\n"),
            ("sys/devices/system/cpu/online", "0-1,3\n"),
            ("sys/devices/system/cpu/present", "0-7\n"),
        ];
        for (name, text) in needed.iter().chain(files) {
            let path = host.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        host
    }

    fn facts(files: &[(&str, &str)]) -> Result<HostFacts, Error> {
        let host = host(files);
        read(&host.path().join("proc"), &host.path().join("sys"))
    }

    #[test]
    fn a_bare_tree() {
        let facts = facts(&[]).unwrap();
        assert_eq!(
            (facts.name.as_str(), facts.release.as_str()),
            ("web-1", "6.12.0")
        );
        assert_eq!((facts.online, facts.highest_present), (vec![0, 1, 3], 7));
        assert_eq!(
            (facts.boot_id, facts.sched_ext, facts.pressure),
            (None, None, false)
        );
        assert_eq!((facts.hypervisor, facts.steal_supported), (None, None));
    }

    #[test]
    fn sched_ext_and_pressure() {
        let state = "sys/kernel/sched_ext/state";
        let on = facts(&[
            (state, "enabled\n"),
            ("sys/kernel/sched_ext/root/ops", "lavd_1.0\n"),
            ("proc/pressure/cpu", "some total=1\n"),
        ]);
        let on = on.unwrap();
        assert_eq!(
            (on.sched_ext.as_deref(), on.pressure),
            (Some("lavd_1.0"), true)
        );
        assert_eq!(facts(&[(state, "disabled\n")]).unwrap().sched_ext, None);
    }

    #[test]
    fn a_broken_list_is_an_error() {
        let broken = facts(&[("sys/devices/system/cpu/online", "x\n")]).unwrap_err();
        assert!(broken.to_string().contains("cpu/online"), "{broken}");
    }

    #[test]
    fn this_machine() {
        let facts = read(Path::new("/proc"), Path::new("/sys")).unwrap();
        assert!(!facts.online.is_empty() && !facts.release.is_empty());
        assert!(facts.online.last() <= Some(&facts.highest_present));
    }
}
