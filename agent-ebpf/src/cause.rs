//! The causes of a wait for a CPU: every nanosecond of a wait has exactly one.

/// Why a runnable task did not run. The numbers are those of [`crate::layout::Cell::wait_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// A task of another cgroup ran.
    Neighbor = 0,
    /// A task of the same cgroup ran.
    SelfInflicted = 1,
    /// A kernel thread ran.
    Kernel = 2,
    /// The CPU was idle.
    Idle = 3,
    /// A CPU quota of the cgroup, or of one of its ancestors, was used up.
    Throttled = 4,
    /// The hypervisor ran something else.
    Steal = 5,
    /// The CPU served interrupts, where the kernel accounts that time.
    Irq = 6,
    /// Not known; the reasons are counted in [`crate::layout::Reason`].
    Unattributed = 7,
}

/// How many causes there are.
pub const CAUSES: usize = 8;

impl Cause {
    /// All causes in the order of their numbers.
    pub const ALL: [Cause; CAUSES] = [
        Cause::Neighbor,
        Cause::SelfInflicted,
        Cause::Kernel,
        Cause::Idle,
        Cause::Throttled,
        Cause::Steal,
        Cause::Irq,
        Cause::Unattributed,
    ];

    /// The name in JSON, metrics and documents.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Neighbor => "neighbor",
            Cause::SelfInflicted => "self",
            Cause::Kernel => "kernel",
            Cause::Throttled => "throttled",
            Cause::Steal => "steal",
            Cause::Irq => "irq",
            Cause::Idle => "idle",
            Cause::Unattributed => "unattributed",
        }
    }
}
