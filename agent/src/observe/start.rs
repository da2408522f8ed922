//! From a host to attached programs; each step leaves a verdict, and the first that fails ends it.

use std::{collections::BTreeSet, io, path::Path};

use agent_ebpf::layout::{Offsets, ThrottleMethod};

use super::{Observer, Obstacle, StartError, disks::Disks, rows};
use crate::{
    capability::{Capability, Status},
    host::{
        cgroups::Cgroups,
        counters,
        facts::{self, HostFacts},
        hierarchy::{self, Controller, Hierarchy, Version},
        privileges::{self, Privileges},
        refusal::explain_eperm,
    },
    kernel::{
        self, Refusal,
        block::{self, BlockReader},
        btf::{Btf, BtfError},
        load::{self, LoadError, Loaded, Places},
        offsets,
        programs::Programs,
        reader::Reader,
    },
    sample::{Abilities, CgroupId, StealSource, ThrottleSource},
};

/// Set, it shows what is told where the kernel does not note when requests are issued.
const WITHOUT_ISSUE_TIMES: &str = "CROSSTALK_WITHOUT_ISSUE_TIMES";

/// What was found out so far.
struct Findings {
    rows: Vec<Capability>,
    privileges: Privileges,
}

pub(super) fn start(proc: &Path, sys: &Path) -> Result<Observer, StartError> {
    let mut findings = Findings {
        rows: Vec::new(),
        privileges: privileges::read(proc, sys).unwrap_or_default(),
    };
    findings.rows.push(rows::privileges(&findings.privileges));
    let facts = facts::read(proc, sys)
        .map_err(|error| findings.fail(Obstacle::Broken, error.to_string(), None))?;
    let hierarchy = findings.hierarchy(proc)?;
    let btf = findings.btf(sys)?;
    let offsets = findings.offsets(&btf, &hierarchy)?;
    let steal = steal_source(proc, &facts, &offsets, &btf);
    findings.rows.extend([
        rows::steal(steal, &facts),
        rows::irq(&offsets),
        rows::pressure(&facts),
        rows::coverage(&counters::kernel_run_delay_ns(proc)),
    ]);

    if let Err(error) = kernel::raise_memory_limit() {
        tracing::debug!("the limit on locked memory stays as it is: {error}");
    }
    let settings = kernel::size::settings(facts.highest_present + 1, &hierarchy);
    let mut requests = block::offsets::resolve(&btf);
    if std::env::var_os(WITHOUT_ISSUE_TIMES).is_some() {
        requests = requests.map(block::offsets::without_issue_times);
    }
    let places = Places {
        tasks: offsets,
        requests: requests.as_ref().ok().copied(),
    };
    let loaded = load::load(&btf, &places, settings).map_err(|error| findings.refused(&error))?;
    drop(btf);
    let (cgroups, reader) = findings.prepare(&loaded, &hierarchy, &facts)?;
    let block = loaded
        .block_maps()
        .map_err(|error| findings.refused(&LoadError::Maps(error)))?;
    let block = BlockReader::new(block);
    let programs = loaded.attach().map_err(|error| findings.refused(&error))?;
    kernel::visit_cpus(&facts.online);
    findings.rows.extend(rows::programs(&programs));
    let disks = match (requests, programs.has_block()) {
        (Ok(_), true) => {
            let disks = Disks::new(proc, sys, &hierarchy, &cgroups, block);
            findings.rows.push(rows::io_hierarchy(&disks));
            Some(disks)
        }
        (Ok(_), false) => None,
        (Err(error), _) => {
            findings.rows.push(rows::no_block(&error));
            None
        }
    };
    Ok(Observer {
        abilities: Abilities {
            steal,
            irq: rows::has_irq_time(&offsets),
            throttle: throttle_source(&programs),
        },
        facts,
        hierarchy,
        capabilities: findings.rows,
        programs,
        reader,
        cgroups,
        disks,
        is_first: true,
    })
}

impl Findings {
    fn fail(&self, obstacle: Obstacle, message: String, remedy: Option<String>) -> StartError {
        StartError {
            obstacle,
            message,
            remedy,
            capabilities: self.rows.clone(),
        }
    }

    /// The failed part has a row of its own.
    fn fail_row(&mut self, obstacle: Obstacle, row: Capability) -> StartError {
        self.rows.push(row.clone());
        self.fail(obstacle, row.detail, row.remedy)
    }

    fn hierarchy(&mut self, proc: &Path) -> Result<Hierarchy, StartError> {
        match hierarchy::find(proc, Controller::Cpu) {
            Ok(hierarchy) => {
                self.rows.push(rows::hierarchy(&hierarchy));
                Ok(hierarchy)
            }
            Err(error @ (hierarchy::Error::Read(_) | hierarchy::Error::Mount { .. })) => {
                let row = rows::no_hierarchy(Status::Broken, &error);
                Err(self.fail_row(Obstacle::Broken, row))
            }
            Err(error) => {
                let row = rows::no_hierarchy(Status::Unsupported, &error);
                Err(self.fail_row(Obstacle::Unsupported, row))
            }
        }
    }

    fn btf(&mut self, sys: &Path) -> Result<Btf, StartError> {
        match Btf::read(&sys.join("kernel/btf/vmlinux")) {
            Ok(btf) => {
                self.rows.push(rows::btf());
                Ok(btf)
            }
            Err(error) => {
                let obstacle = match &error {
                    BtfError::Read { source, .. } => match source.kind() {
                        io::ErrorKind::NotFound => Obstacle::Unsupported,
                        io::ErrorKind::PermissionDenied => Obstacle::Privilege,
                        _ => Obstacle::Broken,
                    },
                    BtfError::Malformed => Obstacle::Broken,
                };
                Err(self.fail_row(obstacle, rows::no_btf(&error)))
            }
        }
    }

    fn offsets(&mut self, btf: &Btf, hierarchy: &Hierarchy) -> Result<Offsets, StartError> {
        let is_v1 = hierarchy.version == Version::V1;
        match offsets::resolve(btf, is_v1) {
            Ok(offsets) => {
                self.rows.push(rows::tracepoints());
                Ok(offsets)
            }
            Err(error) => {
                let row = rows::no_offsets(&error);
                Err(self.fail_row(Obstacle::Unsupported, row))
            }
        }
    }

    /// Fills the tables, which the programs read from their first event on.
    fn prepare(
        &mut self,
        loaded: &Loaded,
        hierarchy: &Hierarchy,
        facts: &HostFacts,
    ) -> Result<(Cgroups, Reader), StartError> {
        let mut cgroups = Cgroups::new(hierarchy);
        if let Err(error) = cgroups.scan(kernel::monotonic()) {
            return Err(self.fail(Obstacle::Broken, error.to_string(), None));
        }
        let maps = loaded
            .maps()
            .map_err(|error| self.refused(&LoadError::Maps(error)))?;
        let reader = Reader::new(maps, leaves_first(&cgroups), &facts.online);
        Ok((cgroups, reader))
    }

    /// A limit on locked memory that could not be lifted is one of the causes of EPERM.
    fn refused(&mut self, error: &LoadError) -> StartError {
        let (obstacle, cause) = match error.refusal() {
            Refusal::Privilege => (Obstacle::Privilege, Some(explain_eperm(&self.privileges))),
            Refusal::Unsupported => (Obstacle::Unsupported, None),
            Refusal::Broken => (Obstacle::Broken, None),
        };
        let mut message = error.to_string();
        if let Some(cause) = &cause {
            message = format!("{message}: {}", cause.what);
        }
        let remedy = cause.map(|cause| cause.remedy);
        let row = rows::core_refused(error, &message, remedy);
        self.fail_row(obstacle, row)
    }
}

/// Cgroups with tasks are mostly those without others below them.
fn leaves_first(cgroups: &Cgroups) -> Vec<CgroupId> {
    let all = cgroups.to_sample();
    let parents: BTreeSet<CgroupId> = all.values().filter_map(|cgroup| cgroup.parent).collect();
    let (parents, mut leaves): (Vec<CgroupId>, Vec<CgroupId>) =
        all.keys().partition(|id| parents.contains(id));
    leaves.extend(parents);
    leaves
}

/// A counter of 0 says nothing where the hypervisor does not say what it does.
fn steal_source(
    proc: &Path,
    facts: &HostFacts,
    offsets: &Offsets,
    btf: &Btf,
) -> Option<StealSource> {
    if facts.hypervisor == Some(false) {
        return Some(StealSource::BareMetal);
    }
    let is_told = facts.steal_supported.unwrap_or_else(|| {
        counters::read(proc).is_ok_and(|counters| counters.steal_ns.is_some_and(|ns| ns > 0))
    });
    if !is_told || offsets.rq_steal == agent_ebpf::layout::ABSENT {
        return None;
    }
    if btf.member("rq", &["prev_steal_time_rq"]).is_some() {
        Some(StealSource::Exact)
    } else {
        Some(StealSource::Tick)
    }
}

fn throttle_source(programs: &Programs) -> Option<ThrottleSource> {
    match programs.throttle {
        ThrottleMethod::Absent => Some(ThrottleSource::NoQuotas),
        ThrottleMethod::SelfTime => Some(ThrottleSource::SelfTime),
        ThrottleMethod::Hooks => Some(ThrottleSource::Hooks),
        ThrottleMethod::Unknown => None,
    }
}
