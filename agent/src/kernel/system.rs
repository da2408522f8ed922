//! System calls that the standard library does not have.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::Duration,
};

// include/uapi/linux/bpf.h
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_ITER_CREATE: libc::c_int = 33;
const BPF_TRACE_ITER: u32 = 28;

/// The monotonic clock, since boot, without time asleep.
pub fn monotonic() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for a write.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) } != 0 {
        return Duration::ZERO;
    }
    // SAFETY: the call succeeded, so that it filled the structure.
    let time = unsafe { time.assume_init() };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The monotonic clock in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    monotonic().as_nanos() as u64
}

/// Lifts the limit on locked memory, which holds for maps before kernel 5.11.
pub fn raise_memory_limit() -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is valid for a read.
    match unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets a thread run once on each of these CPUs, so that each switches tasks and its account
/// begins now. CPUs that this process may not use are left out.
pub fn visit_cpus(cpus: &[u32]) {
    let cpus = cpus.to_owned();
    let visitor = std::thread::Builder::new().name("visitor".to_owned());
    if let Ok(thread) = visitor.spawn(move || cpus.into_iter().for_each(run_on)) {
        // It cannot panic, and its result is nothing.
        let _ = thread.join();
    }
}

fn run_on(cpu: u32) {
    // SAFETY: a set is an array of integers, for which 0 is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu as usize >= 8 * size_of::<libc::cpu_set_t>() {
        return;
    }
    // SAFETY: the CPU's bit lies inside the set.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: the pointer is valid for a read of the size given; 0 is the calling thread.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}

/// `link_create` of `union bpf_attr`.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// `iter_create` of `union bpf_attr`.
#[repr(C)]
struct IteratorCreate {
    link: u32,
    flags: u32,
}

/// The link of an iterator program.
pub(crate) fn link_iterator(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let request = LinkCreate {
        program: program.as_raw_fd() as u32,
        target: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
    };
    bpf(BPF_LINK_CREATE, &request)
}

/// A new run of the iterator; what it prints is read from the file.
pub(crate) fn start_iterator(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let request = IteratorCreate {
        link: link.as_raw_fd() as u32,
        flags: 0,
    };
    bpf(BPF_ITER_CREATE, &request)
}

/// `bpf(2)` for a command that returns a file.
fn bpf<T>(command: libc::c_int, request: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes of the request as it has.
    let file = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(request),
            size_of::<T>(),
        )
    };
    match i32::try_from(file) {
        // SAFETY: a new file that nobody else owns.
        Ok(file @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes() {
        let before = monotonic_ns();
        visit_cpus(&[0, u32::MAX]);
        assert!(before > 0 && monotonic_ns() > before);
    }
}
