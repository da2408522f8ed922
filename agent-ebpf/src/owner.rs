//! Who uses a CPU: the idle task, a family of kernel threads, or a cgroup.
//!
//! An [`Owner`] is a slot number with a generation, so that a slot given to a new cgroup is never
//! taken for the old one.

/// A slot and its generation. Zero is the idle task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Owner(pub u32);

/// The idle task.
pub const SLOT_IDLE: u32 = 0;
/// All cgroups that found no slot of their own.
pub const SLOT_OTHER: u32 = 1;
/// The first slot of the kernel thread families, one each.
pub const SLOT_KERNEL: u32 = 2;
/// The first slot that a cgroup can have.
pub const SLOT_FIRST_CGROUP: u32 = 32;

/// Bits of an owner that has a slot.
pub(crate) const OWNER_BITS: u32 = 24;
/// Likewise, as a mask.
pub(crate) const OWNER_MASK: u64 = (1 << OWNER_BITS) - 1;

impl Owner {
    /// The idle task.
    pub const IDLE: Owner = Owner(SLOT_IDLE);
    /// Whoever ran before the programs looked; has no slot.
    pub const UNKNOWN: Owner = Owner(u32::MAX);
    /// Cgroups without a slot of their own.
    pub const OTHER: Owner = Owner(SLOT_OTHER);

    /// The owner that sits in `slot` with `generation`.
    #[inline(always)]
    pub fn new(slot: u32, generation: u8) -> Owner {
        Owner((slot & 0xffff) | ((generation as u32) << 16))
    }

    /// The owner of a family of kernel threads.
    #[inline(always)]
    pub fn kernel(family: KernelFamily) -> Owner {
        Owner(SLOT_KERNEL + family as u32)
    }

    /// The slot number.
    #[inline(always)]
    pub fn slot(self) -> u32 {
        self.0 & 0xffff
    }

    /// The generation of the slot.
    #[inline(always)]
    pub fn generation(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The next to have this slot.
    #[inline(always)]
    #[must_use]
    pub fn next(self) -> Owner {
        Owner::new(self.slot(), self.generation().wrapping_add(1))
    }

    /// Whether this is the idle task.
    #[inline(always)]
    pub fn is_idle(self) -> bool {
        self.0 == SLOT_IDLE
    }

    /// Whether this is a family of kernel threads.
    #[inline(always)]
    pub fn is_kernel(self) -> bool {
        self.0.wrapping_sub(SLOT_KERNEL) < KERNEL_FAMILIES as u32
    }

    /// The family of kernel threads, if it is one.
    pub fn kernel_family(self) -> Option<KernelFamily> {
        if !self.is_kernel() {
            return None;
        }
        KernelFamily::ALL
            .get((self.0 - SLOT_KERNEL) as usize)
            .copied()
    }
}

/// Kernel threads by what they do, told from their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u32)]
pub enum KernelFamily {
    /// None of the families below.
    Other = 0,
    /// Soft interrupts that were put off.
    Ksoftirqd = 1,
    /// Work queues.
    Kworker = 2,
    /// The stopper: it moves tasks between CPUs.
    Migration = 3,
    /// Threaded interrupt handlers.
    Irq = 4,
    /// Read-copy-update callbacks and grace periods.
    Rcu = 5,
    /// Memory reclaim.
    Kswapd = 6,
    /// Memory compaction.
    Kcompactd = 7,
    /// Huge page collapsing.
    Khugepaged = 8,
    /// Same-page merging.
    Ksmd = 9,
    /// The ext4 journal.
    Jbd2 = 10,
    /// XFS.
    Xfs = 11,
    /// Btrfs.
    Btrfs = 12,
    /// Software RAID and device mapper.
    Md = 13,
    /// Network polling threads.
    Napi = 14,
    /// Virtual machine back ends outside any container.
    Vhost = 15,
}

/// How many families there are.
pub const KERNEL_FAMILIES: usize = 16;

impl KernelFamily {
    /// All families in the order of their numbers.
    pub const ALL: [KernelFamily; KERNEL_FAMILIES] = [
        KernelFamily::Other,
        KernelFamily::Ksoftirqd,
        KernelFamily::Kworker,
        KernelFamily::Migration,
        KernelFamily::Irq,
        KernelFamily::Rcu,
        KernelFamily::Kswapd,
        KernelFamily::Kcompactd,
        KernelFamily::Khugepaged,
        KernelFamily::Ksmd,
        KernelFamily::Jbd2,
        KernelFamily::Xfs,
        KernelFamily::Btrfs,
        KernelFamily::Md,
        KernelFamily::Napi,
        KernelFamily::Vhost,
    ];

    /// The family's name, as in `kernel/<name>`.
    pub fn name(self) -> &'static str {
        match self {
            KernelFamily::Other => "other",
            KernelFamily::Ksoftirqd => "ksoftirqd",
            KernelFamily::Kworker => "kworker",
            KernelFamily::Migration => "migration",
            KernelFamily::Irq => "irq",
            KernelFamily::Rcu => "rcu",
            KernelFamily::Kswapd => "kswapd",
            KernelFamily::Kcompactd => "kcompactd",
            KernelFamily::Khugepaged => "khugepaged",
            KernelFamily::Ksmd => "ksmd",
            KernelFamily::Jbd2 => "jbd2",
            KernelFamily::Xfs => "xfs",
            KernelFamily::Btrfs => "btrfs",
            KernelFamily::Md => "md",
            KernelFamily::Napi => "napi",
            KernelFamily::Vhost => "vhost",
        }
    }

    /// The family of a kernel thread whose name starts with these 8 bytes, first byte lowest.
    #[inline(always)]
    pub fn of_name(name: u64) -> KernelFamily {
        const fn word(text: &[u8]) -> u64 {
            let mut word = 0;
            let mut i = 0;
            while i < text.len() {
                word |= (text[i] as u64) << (8 * i);
                i += 1;
            }
            word
        }
        match name {
            n if n == const { word(b"kworker/") } => return KernelFamily::Kworker,
            n if n == const { word(b"ksoftirq") } => return KernelFamily::Ksoftirqd,
            n if n == const { word(b"migratio") } => return KernelFamily::Migration,
            n if n == const { word(b"kcompact") } => return KernelFamily::Kcompactd,
            n if n == const { word(b"khugepag") } => return KernelFamily::Khugepaged,
            n if n == const { word(b"kdmflush") } => return KernelFamily::Md,
            _ => {}
        }
        match name & 0xffff_ffff {
            n if n == const { word(b"irq/") } => return KernelFamily::Irq,
            n if n == const { word(b"rcu_") } => return KernelFamily::Rcu,
            n if n == const { word(b"rcuo") } => return KernelFamily::Rcu,
            n if n == const { word(b"rcub") } => return KernelFamily::Rcu,
            n if n == const { word(b"kswa") } => return KernelFamily::Kswapd,
            n if n == const { word(b"ksmd") } => return KernelFamily::Ksmd,
            n if n == const { word(b"jbd2") } => return KernelFamily::Jbd2,
            n if n == const { word(b"xfs-") } => return KernelFamily::Xfs,
            n if n == const { word(b"xfsa") } => return KernelFamily::Xfs,
            n if n == const { word(b"btrf") } => return KernelFamily::Btrfs,
            n if n == const { word(b"napi") } => return KernelFamily::Napi,
            n if n == const { word(b"vhos") } => return KernelFamily::Vhost,
            n if n == const { word(b"raid") } => return KernelFamily::Md,
            _ => {}
        }
        // md0_raid1, md127_resync
        let third = (name >> 16) as u8;
        if name & 0xffff == const { word(b"md") } && third.is_ascii_digit() {
            return KernelFamily::Md;
        }
        KernelFamily::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str) -> &'static str {
        let mut bytes = [0u8; 8];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        KernelFamily::of_name(u64::from_le_bytes(bytes)).name()
    }

    #[test]
    fn kernel_threads_are_told_by_name() {
        for (name, expected) in [
            ("kworker/0:1-events", "kworker"),
            ("ksoftirqd/3", "ksoftirqd"),
            ("migration/0", "migration"),
            ("irq/24-nvme", "irq"),
            ("rcu_preempt", "rcu"),
            ("rcuop/3", "rcu"),
            ("kswapd0", "kswapd"),
            ("md127_raid1", "md"),
            ("mdadm", "other"),
            ("kthreadd", "other"),
        ] {
            assert_eq!(family(name), expected, "{name}");
        }
    }

    #[test]
    fn an_owner_keeps_slot_and_generation() {
        let owner = Owner::new(1023, 200);
        assert_eq!((owner.slot(), owner.generation()), (1023, 200));
        assert!(!owner.is_kernel() && !owner.is_idle());
        for family in KernelFamily::ALL {
            assert_eq!(Owner::kernel(family).kernel_family(), Some(family));
        }
        assert_eq!(Owner::new(SLOT_KERNEL + 16, 0).kernel_family(), None);
    }
}
