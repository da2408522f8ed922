//! Kernel programs under measurement: those that do next to nothing, and those of peers.

use std::{any::Any, collections::BTreeMap, fs, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, bail};
use aya::{Btf, Ebpf, EbpfLoader, programs::BtfTracePoint};

use crate::child::Running;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/crosstalk-ebpf"));

/// Programs that do next to nothing, on the same hook. Detached on drop.
pub(crate) struct Empty {
    _object: Ebpf,
}

impl Empty {
    /// One that does nothing at each switch.
    pub(crate) fn at_switches() -> Result<Empty> {
        Empty::attach("sched_switch", &["empty"])
    }

    /// One that reads the clock at each completed request.
    pub(crate) fn clock_alone() -> Result<Box<dyn Any>> {
        let clock = Empty::attach("block_rq_complete", &["block_clock"])?;
        Ok(Box::new(clock))
    }

    /// One that does nothing at each completed request, and one that reads the clock.
    pub(crate) fn at_requests() -> Result<Empty> {
        Empty::attach("block_rq_complete", &["block_empty", "block_clock"])
    }

    fn attach(tracepoint: &str, names: &[&str]) -> Result<Empty> {
        let btf = Btf::from_sys_fs()?;
        let mut object = EbpfLoader::new().btf(Some(&btf)).load(OBJECT)?;
        for name in names {
            let program = object.program_mut(name);
            let program = program.with_context(|| format!("the object has no program {name}"))?;
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(tracepoint, &btf)?;
            program.attach()?;
        }
        Ok(Empty { _object: object })
    }
}

/// A peer, and how many programs it loads.
pub(crate) struct Tool {
    name: &'static str,
    programs: usize,
}

/// Run-queue delay as a histogram.
pub(crate) const RUNQLAT: Tool = Tool {
    name: "runqlat",
    programs: 3,
};
/// Latency of block requests as a histogram.
pub(crate) const BIOLATENCY: Tool = Tool {
    name: "biolatency",
    programs: 2,
};

/// A peer at work. Ended on drop.
pub(crate) struct Peer(Running);

impl Peer {
    /// Starts it, and waits until its programs are there.
    pub(crate) fn start(tool: &Tool) -> Result<Peer> {
        let process = Running::start(Command::new(tool.name).arg("120"))?;
        for _ in 0..200 {
            thread::sleep(Duration::from_millis(25));
            if counts_of(process.id())?.len() == tool.programs {
                // They are attached right after the last one was loaded.
                thread::sleep(Duration::from_millis(300));
                return Ok(Peer(process));
            }
        }
        bail!("{} did not load its {} programs", tool.name, tool.programs);
    }

    /// The same, to hold and no more.
    pub(crate) fn boxed(tool: &Tool) -> Result<Box<dyn Any>> {
        Ok(Box::new(Peer::start(tool)?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

/// What bpf_stats tells of a program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) runs: u64,
    pub(crate) ns: u64,
}

impl Count {
    pub(crate) fn since(self, earlier: Count) -> Count {
        Count {
            runs: self.runs - earlier.runs,
            ns: self.ns - earlier.ns,
        }
    }

    pub(crate) fn ns_per_run(self) -> f64 {
        self.ns as f64 / self.runs as f64
    }

    pub(crate) fn add(&mut self, more: Count) {
        self.runs += more.runs;
        self.ns += more.ns;
    }
}

/// Counts of all programs that a process holds, by program id.
pub(crate) fn counts_of(process: u32) -> Result<BTreeMap<u32, Count>> {
    let mut counts = BTreeMap::new();
    for file in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // A file that was closed meanwhile is none of the programs.
        let Ok(text) = fs::read_to_string(file?.path()) else {
            continue;
        };
        let field = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().parse::<u64>().ok()
        };
        // Links name their program too, and have no counts.
        let (Some(id), Some(runs), Some(ns)) =
            (field("prog_id:"), field("run_cnt:"), field("run_time_ns:"))
        else {
            continue;
        };
        counts.insert(id as u32, Count { runs, ns });
    }
    Ok(counts)
}

/// The same of several processes.
pub(crate) fn all_counts(processes: &[u32]) -> Result<BTreeMap<u32, Count>> {
    let mut all = BTreeMap::new();
    for process in processes {
        all.extend(counts_of(*process)?);
    }
    Ok(all)
}

/// Names of all loaded programs, cut to 15 letters by the kernel.
pub(crate) fn names() -> BTreeMap<u32, String> {
    aya::programs::loaded_programs()
        .flatten()
        .filter_map(|info| Some((info.id(), info.name_as_str()?.to_owned())))
        .collect()
}
