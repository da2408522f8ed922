//! Waits in progress: what the task iterator prints.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Duration,
};

use agent_ebpf::{layout::Waiting, owner::KernelFamily};

use super::system;
use crate::sample::{CgroupId, Party, WaitInProgress};

/// No more than so many waits are kept, the longest.
const MOST: usize = 1 << 14;
/// The kernel prints into a buffer of 8 pages.
const CHUNK: usize = 8 * 4096;
const RECORD: usize = size_of::<Waiting>();

/// The attached task iterator.
#[derive(Debug)]
pub struct WaitList {
    link: OwnedFd,
}

impl WaitList {
    /// Attaches a loaded iterator program.
    pub fn attach(program: BorrowedFd<'_>) -> io::Result<WaitList> {
        let link = system::link_iterator(program)?;
        let list = WaitList { link };
        list.read().map(|_| list)
    }

    /// All waits in progress, longest first.
    pub fn read(&self) -> io::Result<Vec<WaitInProgress>> {
        let mut file = File::from(system::start_iterator(self.link.as_fd())?);
        let mut waits = Vec::new();
        let mut buffer = vec![0u8; CHUNK];
        let mut kept = 0;
        loop {
            // A record may be cut in two by the end of the kernel's buffer.
            let read = match file.read(&mut buffer[kept..]) {
                Ok(0) => break,
                Ok(read) => kept + read,
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(error),
            };
            let whole = read - read % RECORD;
            waits.extend(buffer[..whole].chunks_exact(RECORD).filter_map(wait));
            buffer.copy_within(whole..read, 0);
            kept = read - whole;
            if waits.len() > 2 * MOST {
                keep_longest(&mut waits);
            }
        }
        keep_longest(&mut waits);
        Ok(waits)
    }
}

/// The kernel gives up for a moment after a million tasks that do not wait.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}

fn wait(record: &[u8]) -> Option<WaitInProgress> {
    let waiting: Waiting = bytemuck::try_pod_read_unaligned(record).ok()?;
    let party = match waiting.family {
        0 => Party::Cgroup(CgroupId(waiting.id)),
        family => {
            let family = KernelFamily::ALL.get(family as usize - 1);
            Party::Kernel(family.copied().unwrap_or(KernelFamily::Other))
        }
    };
    Some(WaitInProgress {
        party,
        tid: waiting.tid,
        waited: Duration::from_nanos(waiting.ns),
    })
}

fn keep_longest(waits: &mut Vec<WaitInProgress>) {
    waits.sort_unstable_by_key(|wait| (std::cmp::Reverse(wait.waited), wait.tid));
    waits.truncate(MOST);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_waits() {
        let record = |id, ns, tid, family| {
            let waiting = Waiting {
                id,
                ns,
                tid,
                family,
            };
            wait(bytemuck::bytes_of(&waiting)).unwrap()
        };
        let own = record(7, 1_500, 12, 0);
        assert_eq!(own.party, Party::Cgroup(CgroupId(7)));
        assert_eq!((own.tid, own.waited), (12, Duration::from_nanos(1_500)));
        let kernel = record(1, 9, 13, 1 + KernelFamily::Kworker as u32);
        assert_eq!(kernel.party, Party::Kernel(KernelFamily::Kworker));
        let unknown = record(1, 9, 14, 77);
        assert_eq!(unknown.party, Party::Kernel(KernelFamily::Other));
        let mut waits = vec![kernel, own];
        keep_longest(&mut waits);
        assert_eq!(waits[0].tid, 12);
    }
}
