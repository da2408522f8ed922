//! The few system calls that the standard library does not offer; the only `unsafe` of this package.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Pins the calling thread to these CPUs.
pub fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: CPU_SET checks the index against the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the pointer and the size describe a live cpu_set_t.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) }).map(drop)
}

/// The CPUs that the calling thread may use.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: an all-zero cpu_set_t is the valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer and the size describe a live cpu_set_t.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
    let limit = libc::CPU_SETSIZE as usize;
    // SAFETY: CPU_ISSET checks the index against the size of the set.
    Ok((0..limit)
        .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
        .collect())
}

/// Gives the calling thread a scheduling policy (`SCHED_*`) and, for real-time policies, a priority.
pub fn set_policy(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `param` lives through the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const param) }).map(drop)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a live timespec.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time (user and system) of all children of this process that were waited for.
pub fn children_cpu_time() -> io::Result<Duration> {
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a live rusage.
    check(unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) })?;
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    Ok(of(usage.ru_utime) + of(usage.ru_stime))
}

/// Sends a signal to a child that the caller has not yet waited for, so that the id cannot be anyone else's.
pub fn signal(child: &std::process::Child, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: kill takes no pointers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Runs `work` in a child process without exec and waits for it. The calling process must have one thread only.
pub fn fork_and_wait(work: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the caller is single-threaded, so no lock can be held by a thread that the child lacks.
    let child = check(unsafe { libc::fork() })?;
    if child == 0 {
        work();
        // SAFETY: leaves without running the parent's destructors in the child.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: `status` is a live integer and `child` is ours.
    check(unsafe { libc::waitpid(child, &raw mut status, 0) }).map(drop)
}

/// Opens a new pseudo-terminal and returns its master and the path of its slave.
pub fn open_pty() -> io::Result<(OwnedFd, String)> {
    // SAFETY: takes no pointers.
    let fd = check(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: the descriptor is new and nobody else owns it.
    let master = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: both take an open descriptor.
    check(unsafe { libc::grantpt(fd) }).and_then(|_| check(unsafe { libc::unlockpt(fd) }))?;
    let mut name = [0; 64];
    // SAFETY: the buffer is live and its length is passed.
    let error = unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    // SAFETY: ptsname_r wrote a terminated string.
    let path = unsafe { CStr::from_ptr(name.as_ptr()) };
    Ok((master, path.to_string_lossy().into_owned()))
}

/// Number of clock ticks a second in `/proc/stat`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: takes no pointers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as u64 }
}

/// Number of CPUs that are on-line.
pub fn online_cpus() -> usize {
    // SAFETY: takes no pointers.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) as usize }
}

/// The kinds of kernel objects that an agent could leave behind, by their `BPF_*_GET_NEXT_ID` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BpfObject {
    /// A loaded program.
    Program = 11,
    /// A map.
    Map = 12,
    /// A link that attaches a program.
    Link = 31,
}

/// Ids of all BPF objects of a kind that exist now.
pub fn bpf_ids(kind: BpfObject) -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    loop {
        // start_id, next_id, open_flags of union bpf_attr.
        let mut attr = [ids.last().copied().unwrap_or(0), 0_u32, 0];
        // SAFETY: the pointer and the size describe a live attribute.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                kind as libc::c_int,
                attr.as_mut_ptr(),
                size_of_val(&attr),
            )
        };
        match check(result as libc::c_int) {
            Ok(_) => ids.push(attr[1]),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(ids),
            Err(error) => return Err(error),
        }
    }
}

const BLKDISCARD: libc::Ioctl = 0x1277;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_CLR_FD: libc::Ioctl = 0x4C01;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Tells a device that these bytes of it are not needed any more.
pub fn discard(device: &File, start: u64, length: u64) -> io::Result<()> {
    let range = [start, length];
    // SAFETY: `range` lives through the call, and the kernel reads two numbers.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD, range.as_ptr()) }).map(drop)
}

/// The number of a loop device that nobody uses.
pub fn free_loop_device(control: &File) -> io::Result<u32> {
    // SAFETY: the call takes no argument.
    let number = check(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
    u32::try_from(number).map_err(io::Error::other)
}

/// `struct loop_config` of the kernel.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64` of the kernel.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// Attaches a file to a loop device; `direct` is past the file's page cache.
pub fn attach_loop_device(device: &File, file: &File, direct: bool) -> io::Result<()> {
    // SAFETY: all-zero numbers are valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    config.info.flags = if direct { LO_FLAGS_DIRECT_IO } else { 0 };
    // SAFETY: `config` lives through the call and has the kernel's layout.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }).map(drop)
}

/// Takes the file away from a loop device.
pub fn detach_loop_device(device: &File) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) }).map(drop)
}

const DM_DEV_CREATE: libc::Ioctl = 0xC138_FD03;
const DM_DEV_REMOVE: libc::Ioctl = 0xC138_FD04;
const DM_DEV_SUSPEND: libc::Ioctl = 0xC138_FD06;
const DM_TABLE_LOAD: libc::Ioctl = 0xC138_FD09;
/// Room for one target with its parameters, as text that ends with 0.
const DM_ROOM: usize = 256;

/// `struct dm_ioctl` of the kernel, with what may follow it.
#[repr(C)]
struct MapperCall {
    version: [u32; 3],
    size: u32,
    start: u32,
    targets: u32,
    opened: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
    target: MapperTarget,
}

/// `struct dm_target_spec` of the kernel.
#[repr(C)]
struct MapperTarget {
    start: u64,
    length: u64,
    status: i32,
    next: u32,
    kind: [u8; 16],
    parameters: [u8; DM_ROOM],
}

impl MapperCall {
    fn of(name: &str) -> Self {
        // SAFETY: all-zero numbers are valid.
        let mut call: Self = unsafe { std::mem::zeroed() };
        call.version = [4, 0, 0];
        call.size = size_of::<Self>() as u32;
        call.start = std::mem::offset_of!(Self, target) as u32;
        put(&mut call.name, name);
        call
    }

    fn make(&mut self, control: &File, number: libc::Ioctl) -> io::Result<()> {
        // SAFETY: it lives through the call and has the kernel's layout and size.
        check(unsafe { libc::ioctl(control.as_raw_fd(), number, &raw mut *self) }).map(drop)
    }
}

/// As text that ends with 0; what does not fit is cut off.
fn put(room: &mut [u8], text: &str) {
    let most = room.len() - 1;
    for (to, from) in room[..most].iter_mut().zip(text.bytes()) {
        *to = from;
    }
}

/// Makes a device of the device mapper, which maps nothing yet; returns its minor number.
pub fn make_mapped_device(control: &File, name: &str) -> io::Result<u32> {
    let mut call = MapperCall::of(name);
    call.make(control, DM_DEV_CREATE)?;
    Ok(libc::minor(call.device))
}

/// Maps all of it, so many sectors, to one target.
pub fn map_device(
    control: &File,
    name: &str,
    sectors: u64,
    kind: &str,
    parameters: &str,
) -> io::Result<()> {
    let mut call = MapperCall::of(name);
    call.targets = 1;
    call.target.length = sectors;
    put(&mut call.target.kind, kind);
    put(&mut call.target.parameters, parameters);
    call.make(control, DM_TABLE_LOAD)?;
    // Without the flag for it, this goes on.
    MapperCall::of(name).make(control, DM_DEV_SUSPEND)
}

/// Removes it.
pub fn remove_mapped_device(control: &File, name: &str) -> io::Result<()> {
    MapperCall::of(name).make(control, DM_DEV_REMOVE)
}

/// Sets the wall clock of this machine.
pub fn set_wall_clock(to: SystemTime) -> io::Result<()> {
    let since = to
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(io::Error::other)?;
    let time = libc::timespec {
        tv_sec: since.as_secs().cast_signed(),
        tv_nsec: since.subsec_nanos().into(),
    };
    // SAFETY: a valid structure.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Mounts a device.
pub fn mount(device: &Path, dir: &Path, kind: &str) -> io::Result<()> {
    let [device, dir] = [device, dir].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (device, dir, kind) = (device?, dir?, CString::new(kind)?);
    let none = std::ptr::null();
    // SAFETY: all strings live through the call and end with 0.
    check(unsafe { libc::mount(device.as_ptr(), dir.as_ptr(), kind.as_ptr(), 0, none) }).map(drop)
}

/// Unmounts a directory.
pub fn unmount(dir: &Path) -> io::Result<()> {
    let dir = CString::new(dir.as_os_str().as_bytes())?;
    // SAFETY: the string lives through the call and ends with 0.
    check(unsafe { libc::umount2(dir.as_ptr(), 0) }).map(drop)
}

/// Writes all that is cached of all file systems.
pub fn sync() {
    // SAFETY: takes no pointers.
    unsafe { libc::sync() };
}
