//! What the kernel programs and the agent share: map layouts, a host's constants, causes, buckets, baselines,
//! throttle windows and the history of a CPU.
//!
//! Pure and `no_std`: the same code runs in the kernel, in the agent and in property tests on the
//! host. It refuses to know aya, cgroup names and where its memory lives.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "a call costs a frame of a 512-byte stack and hides types from the verifier"
)]
#![expect(
    clippy::cast_lossless,
    reason = "`From` is not const and not inlined in every build"
)]
#![expect(
    clippy::pub_underscore_fields,
    reason = "padding that both sides must zero"
)]

pub mod baseline;
pub mod block;
pub mod bucket;
pub mod budget;
pub mod cause;
pub mod constants;
pub mod delays;
pub mod history;
pub mod layout;
pub mod owner;
pub mod throttle;
mod turns;
pub mod walk;

/// Hides a value from the optimiser, so that a bounds mask on it stays in the program where the
/// kernel's verifier needs to see it.
#[inline(always)]
pub fn opaque(value: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    // SAFETY: `in_register` changes nothing.
    return unsafe { in_register!(value) };
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(value)
}

/// Hides how a place was found: it is kept as what it is, and not found again from an index that
/// went by way of the stack, where older kernels (5.10, 6.1) forget its bounds.
#[inline(always)]
pub(crate) fn opaque_place<T>(place: &T) -> &T {
    #[cfg(target_arch = "bpf")]
    {
        let place: *const T = place;
        // SAFETY: the same reference.
        unsafe { &*in_register!(place) }
    }
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(place)
}

/// Moves a value to itself; safe, for nothing changes. `black_box` would go by way of the stack, and
/// an empty `asm!` would leave a line record without an instruction, which the kernel refuses.
#[cfg(target_arch = "bpf")]
macro_rules! in_register {
    ($value:expr) => {{
        let mut value = $value;
        core::arch::asm!("{value} = {value}", value = inout(reg) value,
            options(pure, nomem, nostack, preserves_flags));
        value
    }};
}
#[cfg(target_arch = "bpf")]
use in_register;
