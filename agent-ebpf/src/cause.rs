//! The causes of a wait for a CPU: every nanosecond of a wait has exactly one.

/// Why a runnable task did not run. The order is the order of [`crate::layout::Cell::wait_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Cause {
    /// A task of another cgroup ran.
    Neighbor = 0,
    /// A task of the same cgroup ran.
    SelfInflicted = 1,
    /// A kernel thread ran.
    Kernel = 2,
    /// A CPU quota of the cgroup, or of one of its ancestors, was used up.
    Throttled = 3,
    /// The hypervisor ran something else.
    Steal = 4,
    /// The CPU served interrupts, where the kernel accounts that time.
    Irq = 5,
    /// The CPU was idle.
    Idle = 6,
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
        Cause::Throttled,
        Cause::Steal,
        Cause::Irq,
        Cause::Idle,
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
