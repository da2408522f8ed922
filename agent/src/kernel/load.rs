//! Loads the kernel object and attaches the programs.

use agent_ebpf::{
    layout::{Offsets, Settings, map},
    throttle::TRACKS,
};
use aya::{Ebpf, EbpfLoader, programs::BtfTracePoint};
use thiserror::Error;

/// The object, built together with the agent.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/crosstalk-ebpf"));

/// Programs without which there is nothing to tell.
const REQUIRED: [&str; 2] = ["sched_switch", "sched_migrate_task"];

/// Why the core does not run.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel's types could not be read.
    #[error("cannot read the kernel's types from /sys/kernel/btf/vmlinux: {0}")]
    Btf(#[from] aya::BtfError),
    /// The object or its maps were refused.
    #[error("the kernel refused the object or a map: {0}")]
    Object(#[from] aya::EbpfError),
    /// A program was refused.
    #[error("the kernel refused the program {name}: {source}")]
    Program {
        /// The program.
        name: &'static str,
        /// Why.
        source: aya::programs::ProgramError,
    },
    /// The object is not this agent's.
    #[error("the kernel object has no program {0}: it does not belong to this agent")]
    NoProgram(&'static str),
}

/// Loads the object for this kernel and attaches the required programs. They stay attached as long
/// as the result lives.
pub fn attach(offsets: &Offsets, settings: &Settings) -> Result<Ebpf, LoadError> {
    let btf = aya::Btf::from_sys_fs()?;
    let (cpus, slots) = (settings.cpus, settings.slots);
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    loader.override_global("OFFSETS", bytemuck::bytes_of(offsets), true);
    loader.override_global("SETTINGS", bytemuck::bytes_of(settings), true);
    for (name, entries) in [
        (map::CELLS, cpus * slots),
        (map::DELAYS, settings.shards * slots),
        (map::THROTTLED, slots),
        (map::PAIRS, cpus * agent_ebpf::layout::PAIR_SETS),
        (map::CPUS, cpus),
        (map::TRACKS, cpus * TRACKS),
        (map::SLOTS, slots),
    ] {
        loader.map_max_entries(name, entries);
    }
    let mut object = loader.load(OBJECT)?;
    for name in REQUIRED {
        let program = object.program_mut(name).ok_or(LoadError::NoProgram(name))?;
        let refused = |source| LoadError::Program { name, source };
        let program: &mut BtfTracePoint = program.try_into().map_err(refused)?;
        program.load(name, &btf).map_err(refused)?;
        program.attach().map_err(refused)?;
    }
    Ok(object)
}
