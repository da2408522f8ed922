//! The programs at work, and what they tell beside the maps.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    os::{
        fd::{AsFd as _, AsRawFd as _, RawFd},
        unix::ffi::OsStringExt as _,
    },
};

use agent_ebpf::layout::{CgroupMade, ThrottleMethod};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
    programs::{BtfTracePoint, ProgramError},
};

use super::{
    load::{BLOCK_COMPLETE, BLOCK_ISSUE, REQUIRED},
    verdict::Verdict,
    waiting::WaitList,
};
use crate::sample::CgroupId;

/// The programs at work. They are detached when this is dropped.
pub struct Programs {
    pub(super) object: Ebpf,
    /// How throttled time is told.
    pub throttle: ThrottleMethod,
    /// How each program fares.
    pub verdicts: BTreeMap<&'static str, Verdict>,
    pub(super) waits: Option<WaitList>,
    pub(super) made: Option<RingBuf<MapData>>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs")
            .field("throttle", &self.throttle)
            .field("verdicts", &self.verdicts)
            .finish_non_exhaustive()
    }
}

impl Programs {
    /// The list of waits in progress, where the kernel gives it.
    pub fn waits(&self) -> Option<&WaitList> {
        self.waits.as_ref()
    }

    /// Cgroups that were made since the last call.
    pub fn take_made(&mut self) -> Vec<(CgroupId, OsString)> {
        let mut made = Vec::new();
        if let Some(ring) = &mut self.made {
            while let Some(entry) = ring.next() {
                made.extend(made_of(&entry));
            }
        }
        made
    }

    /// Events that the kernel skipped because a required program was running on that CPU; `None`
    /// where it does not count them.
    pub fn recursion_misses(&self) -> Option<u64> {
        let files = REQUIRED.map(|name| self.file_of(name));
        files.into_iter().map(|file| misses_of(file?)).sum()
    }

    /// Likewise, of the program for block I/O.
    pub fn block_misses(&self) -> Option<u64> {
        misses_of(self.file_of(BLOCK_COMPLETE)?)
    }

    /// Whether block I/O is accounted.
    pub fn has_block(&self) -> bool {
        self.is_attached(BLOCK_COMPLETE)
    }

    /// From now on a program notes when block requests are issued; `false` where it cannot.
    pub fn note_issues(&mut self) -> bool {
        if self.verdicts.get(BLOCK_ISSUE) != Some(&Verdict::NotNeeded) {
            return self.is_attached(BLOCK_ISSUE);
        }
        let verdict = match self.attach_issue() {
            Ok(()) => Verdict::Attached { verified: None },
            Err(error) => Verdict::refused(&error),
        };
        self.verdicts.insert(BLOCK_ISSUE, verdict);
        self.is_attached(BLOCK_ISSUE)
    }

    fn attach_issue(&mut self) -> Result<(), ProgramError> {
        let Some(program) = self.object.program_mut(BLOCK_ISSUE) else {
            return Err(ProgramError::NotLoaded);
        };
        let tracepoint: &mut BtfTracePoint = program.try_into()?;
        tracepoint.attach().map(drop)
    }

    fn is_attached(&self, name: &str) -> bool {
        self.verdicts.get(name).is_some_and(Verdict::is_attached)
    }

    fn file_of(&self, name: &str) -> Option<RawFd> {
        let file = self.object.program(name)?.fd().ok()?;
        Some(file.as_fd().as_raw_fd())
    }
}

fn made_of(entry: &[u8]) -> Option<(CgroupId, OsString)> {
    let (made, path) = entry.split_at_checked(size_of::<CgroupMade>())?;
    let made: CgroupMade = bytemuck::try_pod_read_unaligned(made).ok()?;
    let path = path.get(..made.length as usize)?;
    Some((CgroupId(made.id), OsString::from_vec(path.to_vec())))
}

fn misses_of(file: RawFd) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{file}")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))?
        .trim()
        .parse()
        .ok()
}
