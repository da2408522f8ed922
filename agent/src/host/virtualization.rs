//! Whether this is a virtual machine, and whether its hypervisor tells steal.
//!
//! A counter of 0 is no evidence: Hyper-V tells nothing and the counter stays 0. Where the
//! hypervisor does not say what it does, the answer is `None`.

use std::path::Path;

use super::read;

/// Leaves where a hypervisor may sign: it offers several interfaces 0x100 apart.
#[cfg(any(test, target_arch = "x86_64"))]
const FIRST_LEAF: u32 = 0x4000_0000;
#[cfg(any(test, target_arch = "x86_64"))]
const LAST_LEAF: u32 = 0x4001_0000;

/// `KVM_FEATURE_STEAL_TIME` in `eax` of the leaf after the signature (virt/kvm/x86/cpuid.rst).
#[cfg(any(test, target_arch = "x86_64"))]
const KVM_STEAL_TIME: u32 = 1 << 5;

/// Whether a hypervisor runs this kernel. On x86-64 the processor says so; elsewhere only some
/// hypervisors can be seen.
pub fn is_virtual(proc: &Path, sys: &Path) -> Option<bool> {
    let cpuinfo = read::text(&proc.join("cpuinfo")).unwrap_or_default();
    let flags = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    if let Some((_, flags)) = flags {
        return Some(
            flags
                .split_ascii_whitespace()
                .any(|flag| flag == "hypervisor"),
        );
    }
    let is_told =
        sys.join("hypervisor/type").exists() || proc.join("device-tree/hypervisor").exists();
    if is_told { Some(true) } else { from_maker(sys) }
}

/// Whether steal reaches this kernel's counters; `hypervisor` as of [`is_virtual`].
pub fn steal_supported(proc: &Path, hypervisor: Option<bool>) -> Option<bool> {
    let command_line = read::line(&proc.join("cmdline")).unwrap_or_default();
    let is_switched_off = command_line
        .split(' ')
        .any(|option| option == "no-steal-acc");
    match hypervisor {
        Some(false) => Some(false),
        Some(true) if is_switched_off => Some(false),
        Some(true) => ask_processor(),
        None => None,
    }
}

#[cfg(target_arch = "x86_64")]
fn ask_processor() -> Option<bool> {
    signed_steal(|leaf| {
        let answer = std::arch::x86_64::__cpuid(leaf);
        [answer.eax, answer.ebx, answer.ecx, answer.edx]
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn ask_processor() -> Option<bool> {
    None
}

/// What the hypervisor's signature says. KVM may sign second, behind Hyper-V's signature that it
/// shows to Windows; Linux then takes KVM's.
#[cfg(any(test, target_arch = "x86_64"))]
fn signed_steal(cpuid: impl Fn(u32) -> [u32; 4]) -> Option<bool> {
    let mut first = None;
    for leaf in (FIRST_LEAF..LAST_LEAF).step_by(0x100) {
        let [_, words @ ..] = cpuid(leaf);
        let signature: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        match signature.as_slice() {
            b"KVMKVMKVM\0\0\0" => return Some(cpuid(leaf + 1)[0] & KVM_STEAL_TIME != 0),
            b"XenVMMXenVMM" => return Some(true),
            b"Microsoft Hv" if leaf == FIRST_LEAF => first = Some(false),
            _ => {}
        }
    }
    first
}

/// The firmware's maker, where it makes virtual machines only.
fn from_maker(sys: &Path) -> Option<bool> {
    let dmi = |name| read::line(&sys.join("class/dmi/id").join(name));
    match dmi("sys_vendor")?.as_str() {
        "QEMU" | "KVM" | "Xen" | "VMware, Inc." => Some(true),
        "Amazon EC2" => Some(!dmi("product_name")?.contains(".metal")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = tree.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    #[test]
    fn virtual_or_not() {
        let vendor = "class/dmi/id/sys_vendor";
        let product = "class/dmi/id/product_name";
        for (files, expected) in [
            (
                &[("cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor vme\n")][..],
                Some(true),
            ),
            (
                &[("cpuinfo", "flags\t\t: fpu vme\nvmx flags : hypervisor\n")],
                Some(false),
            ),
            (&[("cpuinfo", "Features : fp asimd\n")], None),
            (&[("hypervisor/type", "xen\n")], Some(true)),
            (&[("device-tree/hypervisor/compatible", "xen")], Some(true)),
            (&[(vendor, "QEMU\n")], Some(true)),
            (
                &[(vendor, "Amazon EC2\n"), (product, "c7g.large\n")],
                Some(true),
            ),
            (
                &[(vendor, "Amazon EC2\n"), (product, "c7g.metal\n")],
                Some(false),
            ),
            (&[(vendor, "Google\n")], None),
            (&[], None),
        ] {
            let tree = tree(files);
            assert_eq!(is_virtual(tree.path(), tree.path()), expected, "{files:?}");
        }
    }

    /// A processor with signatures at some leaves; `features` is the next leaf's.
    fn processor(signatures: &[(u32, &[u8; 12], u32)]) -> impl Fn(u32) -> [u32; 4] {
        move |leaf| {
            let mut answer = [0; 4];
            for (at, signature, features) in signatures {
                if *at == leaf {
                    for (word, bytes) in answer[1..].iter_mut().zip(signature.chunks(4)) {
                        *word = u32::from_le_bytes(bytes.try_into().unwrap());
                    }
                } else if at + 1 == leaf {
                    answer[0] = *features;
                }
            }
            answer
        }
    }

    #[test]
    fn signatures() {
        let kvm = b"KVMKVMKVM\0\0\0";
        let hyper_v = b"Microsoft Hv";
        let shown = 0x4000_0000;
        for (signatures, expected) in [
            (&[(shown, kvm, 1 << 5)][..], Some(true)),
            (&[(shown, kvm, 0xffff_ffdf)], Some(false)),
            (&[(shown, hyper_v, 0)], Some(false)),
            (
                &[(shown, hyper_v, 0), (shown + 0x100, kvm, 1 << 5)],
                Some(true),
            ),
            (&[(shown, b"XenVMMXenVMM", 0)], Some(true)),
            (&[(shown, b"VMwareVMware", 0)], None),
            (&[], None),
        ] {
            assert_eq!(signed_steal(processor(signatures)), expected);
        }
    }

    #[test]
    fn steal_can_be_switched_off() {
        let off = tree(&[("cmdline", "quiet no-steal-acc ro\n")]);
        assert_eq!(steal_supported(off.path(), Some(true)), Some(false));
        let bare = tree(&[]);
        assert_eq!(steal_supported(bare.path(), Some(false)), Some(false));
        assert_eq!(steal_supported(bare.path(), None), None);
    }
}
