//! Loads the kernel object and attaches the programs, each with a verdict of its own.
//!
//! Nothing is pinned: what is attached goes with the process, however it ends.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use agent_ebpf::{
    block::{BlockOffsets, accounts},
    constants::Constants,
    delays,
    layout::{ABSENT, Offsets, SLOTS, Settings, ThrottleMethod, map},
    throttle::TRACKS,
};
use aya::{
    Ebpf, EbpfLoader, Endianness,
    maps::{MapData, RingBuf},
    programs::{BtfTracePoint, FEntry, Iter, Program, ProgramError},
};
use thiserror::Error;

use super::{
    block::BlockMaps,
    btf::Btf,
    image::{self, ImageError},
    maps::{Maps, MapsError},
    programs::Programs,
    verdict::{Refusal, Verdict, of_object, of_program, one_line},
    waiting::WaitList,
};

/// The object, built together with the agent.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/crosstalk-ebpf"));

/// Programs without which there is nothing to tell.
pub const REQUIRED: [&str; 2] = ["sched_switch", "sched_migrate_task"];
/// The program for paths of short-lived cgroups.
pub const CGROUP_MKDIR: &str = "cgroup_mkdir";
/// The program for waits in progress.
pub const TASK_WAITING: &str = "task_waiting";
/// The program for block I/O.
pub const BLOCK_COMPLETE: &str = "block_rq_complete";
/// The program for when block requests are issued, where the kernel does not note that.
pub const BLOCK_ISSUE: &str = "block_rq_issue";
/// The programs for quota throttling, on kernels that do not keep its sum.
pub const THROTTLE_HOOKS: [&str; 2] = ["tg_throttle_down", "tg_unthrottle_up"];

/// Why the core does not run.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel's types could not be read.
    #[error("cannot read the kernel's types from /sys/kernel/btf/vmlinux: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object or its maps were refused.
    #[error("the kernel refused the object or a map: {}", one_line(.0))]
    Object(aya::EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program {name}: {}", one_line(.source))]
    Program {
        /// The program.
        name: &'static str,
        /// Why.
        source: ProgramError,
    },
    /// The object is not this agent's.
    #[error("the kernel object has no program {0}: it does not belong to this agent")]
    NoProgram(&'static str),
    /// This host's constants cannot be written into the object.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A map cannot be read.
    #[error(transparent)]
    Maps(#[from] MapsError),
}

impl LoadError {
    /// What kind of refusal it is.
    pub fn refusal(&self) -> Refusal {
        match self {
            LoadError::Btf(_) => Refusal::Unsupported,
            LoadError::Object(error) => of_object(error),
            LoadError::Program { source, .. } => of_program(source),
            LoadError::NoProgram(_) | LoadError::Image(_) | LoadError::Maps(_) => Refusal::Broken,
        }
    }

    /// The program that was refused.
    pub fn program(&self) -> Option<&'static str> {
        match self {
            LoadError::Program { name, .. } | LoadError::NoProgram(name) => Some(name),
            LoadError::Btf(_) | LoadError::Object(_) | LoadError::Image(_) | LoadError::Maps(_) => {
                None
            }
        }
    }
}

/// The object in the kernel, with maps that nobody writes yet.
#[derive(Debug)]
pub struct Loaded {
    object: Ebpf,
    /// What programs can be attached to.
    targets: aya::Btf,
    settings: Settings,
    /// Whether this kernel's block requests can be read.
    has_block: bool,
    verdicts: BTreeMap<&'static str, Verdict>,
}

/// Where the kernel keeps what the programs read.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Of tasks.
    pub tasks: Offsets,
    /// Of block requests, where they can be read.
    pub requests: Option<BlockOffsets>,
}

/// Puts the object into the kernel. The throttle method of `settings` is chosen here: how the
/// programs learn of throttling is a constant to them, and whether the kernel lets them hook its
/// functions shows only when it is tried.
pub fn load(btf: &Btf, places: &Places, mut settings: Settings) -> Result<Loaded, LoadError> {
    let targets = aya::Btf::parse(&btf.attachable(&THROTTLE_HOOKS), Endianness::default())?;
    let method = preferred(&places.tasks);
    settings.throttle = method as u32;
    let mut loaded = Loaded {
        object: load_object(places, &settings)?,
        targets,
        settings,
        has_block: places.requests.is_some(),
        verdicts: BTreeMap::new(),
    };
    if method == ThrottleMethod::Hooks {
        if !loaded.attach_hooks() {
            loaded.settings.throttle = ThrottleMethod::Unknown as u32;
            loaded.object = load_object(places, &loaded.settings)?;
        }
    } else {
        let not_needed = THROTTLE_HOOKS.map(|name| (name, Verdict::NotNeeded));
        loaded.verdicts.extend(not_needed);
    }
    Ok(loaded)
}

fn preferred(offsets: &Offsets) -> ThrottleMethod {
    if offsets.cfs_rq_throttled_self != ABSENT {
        ThrottleMethod::SelfTime
    } else if offsets.cfs_rq_runtime_enabled == ABSENT {
        ThrottleMethod::Absent
    } else {
        ThrottleMethod::Hooks
    }
}

fn load_object(places: &Places, settings: &Settings) -> Result<Ebpf, LoadError> {
    let cpus = settings.cpus;
    let mut loader = EbpfLoader::new();
    // The programs have no relocations: see `offsets`.
    loader.btf(None);
    for (name, entries) in [
        (map::CELLS, cpus * SLOTS),
        (map::DELAYS, delays::size(settings.shards, SLOTS)),
        (map::THROTTLED, SLOTS),
        (map::PAIRS, cpus * settings.pair_sets),
        (map::CPUS, cpus),
        (map::TRACKS, cpus * TRACKS),
        (map::HOLDERS, SLOTS),
        (map::STREAMS, accounts(settings.stream_shards)),
        (map::BLOCK_CPUS, cpus + 1),
        (map::RECORDS, cpus * settings.records),
    ] {
        loader.map_max_entries(name, entries);
    }
    let constants = Constants {
        offsets: &places.tasks,
        block_offsets: &places.requests.unwrap_or_else(bytemuck::Zeroable::zeroed),
        settings,
    };
    let object = image::fill(OBJECT, &constants)?;
    loader.load(object.bytes()).map_err(LoadError::Object)
}

impl Loaded {
    /// The maps.
    pub fn maps(&self) -> Result<Maps, MapsError> {
        Maps::open(&self.object, &self.settings)
    }

    /// The maps of block I/O.
    pub fn block_maps(&self) -> Result<BlockMaps, MapsError> {
        BlockMaps::open(&self.object, &self.settings)
    }

    /// Attaches all programs. One of the required that is refused is an error; of the others the
    /// verdict tells.
    pub fn attach(mut self) -> Result<Programs, LoadError> {
        let made = self.open_ring();
        for name in REQUIRED {
            let verified = self
                .attach_tracepoint(name)
                .map_err(|source| match source {
                    Some(source) => LoadError::Program { name, source },
                    None => LoadError::NoProgram(name),
                })?;
            self.verdicts.insert(name, Verdict::Attached { verified });
        }
        let verdict = match self.attach_tracepoint(CGROUP_MKDIR) {
            Ok(verified) => Verdict::Attached { verified },
            Err(error) => optional_refused(error.as_ref()),
        };
        self.verdicts.insert(CGROUP_MKDIR, verdict);
        let (waits, verdict) = match self.attach_iterator() {
            Ok((waits, verdict)) => (Some(waits), verdict),
            Err(verdict) => (None, verdict),
        };
        self.verdicts.insert(TASK_WAITING, verdict);
        self.attach_block();
        let throttle = method_of(&self.settings);
        Ok(Programs {
            object: self.object,
            throttle,
            verdicts: self.verdicts,
            waits,
            made,
        })
    }

    /// What notes the issue of requests is only loaded: most kernels do that themselves.
    fn attach_block(&mut self) {
        if !self.has_block {
            return;
        }
        let verdict = match self.attach_tracepoint(BLOCK_COMPLETE) {
            Ok(verified) => Verdict::Attached { verified },
            Err(error) => optional_refused(error.as_ref()),
        };
        self.verdicts.insert(BLOCK_COMPLETE, verdict);
        let verdict = match self.load_tracepoint(BLOCK_ISSUE) {
            Ok(_) => Verdict::NotNeeded,
            Err(error) => optional_refused(error.as_ref()),
        };
        self.verdicts.insert(BLOCK_ISSUE, verdict);
    }

    fn attach_hooks(&mut self) -> bool {
        for name in THROTTLE_HOOKS {
            let verdict = match self.attach_hook(name) {
                Ok(verified) => Verdict::Attached { verified },
                Err(error) => optional_refused(error.as_ref()),
            };
            self.verdicts.insert(name, verdict);
        }
        THROTTLE_HOOKS
            .iter()
            .all(|name| self.verdicts.get(name).is_some_and(Verdict::is_attached))
    }

    fn attach_hook(&mut self, name: &str) -> Result<Option<u32>, Option<ProgramError>> {
        let program = self.object.program_mut(name).ok_or(None)?;
        let hook: &mut FEntry = program.try_into()?;
        hook.load(name, &self.targets)?;
        hook.attach()?;
        Ok(verified(program))
    }

    fn attach_tracepoint(&mut self, name: &str) -> Result<Option<u32>, Option<ProgramError>> {
        self.load_tracepoint(name)?.attach()?;
        Ok(self.object.program(name).and_then(verified))
    }

    fn load_tracepoint(&mut self, name: &str) -> Result<&mut BtfTracePoint, Option<ProgramError>> {
        let program = self.object.program_mut(name).ok_or(None)?;
        let tracepoint: &mut BtfTracePoint = program.try_into()?;
        tracepoint.load(name, &self.targets)?;
        Ok(tracepoint)
    }

    fn attach_iterator(&mut self) -> Result<(WaitList, Verdict), Verdict> {
        let refused = |error: ProgramError| optional_refused(Some(&error));
        let program = self
            .object
            .program_mut(TASK_WAITING)
            .ok_or_else(|| optional_refused(None))?;
        let iterator: &mut Iter = program.try_into().map_err(refused)?;
        iterator.load("task", &self.targets).map_err(refused)?;
        let file = iterator.fd().map_err(refused)?.as_fd();
        let waits = WaitList::attach(file)
            .map_err(|error| Verdict::refused_by(&error, "cannot run the iterator"))?;
        let verified = verified(program);
        Ok((waits, Verdict::Attached { verified }))
    }

    fn open_ring(&mut self) -> Option<RingBuf<MapData>> {
        RingBuf::try_from(self.object.take_map(map::CGROUPS_MADE)?).ok()
    }
}

fn optional_refused(error: Option<&ProgramError>) -> Verdict {
    error.map_or_else(
        || Verdict::Refused {
            refusal: Refusal::Broken,
            why: "the kernel object has no such program".to_owned(),
        },
        Verdict::refused,
    )
}

fn method_of(settings: &Settings) -> ThrottleMethod {
    [
        ThrottleMethod::Absent,
        ThrottleMethod::SelfTime,
        ThrottleMethod::Hooks,
    ]
    .into_iter()
    .find(|method| *method as u32 == settings.throttle)
    .unwrap_or(ThrottleMethod::Unknown)
}

/// Instructions that the verifier went through.
fn verified(program: &Program) -> Option<u32> {
    program.info().ok()?.verified_instruction_count()
}
