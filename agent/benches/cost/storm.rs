//! Loads that switch as fast as they can, or as often as is promised for.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    cgroups::{Folder, Guest, command_in},
    child::Running,
};

/// Bytes that a pair hands over in a second so that two pairs make some 300,000 switches.
const MODERATE: u32 = 75_000;

/// Pairs of processes that hand bytes to and fro. Fields are dropped in this order.
pub(crate) struct Storm {
    _processes: Vec<Running>,
    _guest: Option<Guest>,
    folder: Folder,
}

impl Storm {
    /// One cgroup with a pair for each CPU, not pinned; this process too: outside of the cgroup
    /// that has all CPUs busy, it waits for most of the time.
    pub(crate) fn hot(cpus: usize) -> Result<Storm> {
        let storm = Storm::start(&[(None, cpus)], None)?;
        let guest = storm.folder.visit();
        if let Err(error) = &guest {
            eprintln!("this program may be starved by its load: {error:#}");
        }
        Ok(Storm {
            _guest: guest.ok(),
            ..storm
        })
    }

    /// Two cgroups with a pair each, on one CPU.
    pub(crate) fn of_two_on_one_cpu() -> Result<Storm> {
        Storm::start(&[(Some(0), 1), (Some(0), 1)], None)
    }

    /// The same, with some 300,000 switches a second.
    pub(crate) fn moderate() -> Result<Storm> {
        Storm::start(&[(Some(0), 1), (Some(0), 1)], Some(MODERATE))
    }

    fn start(cgroups: &[(Option<u32>, usize)], rate: Option<u32>) -> Result<Storm> {
        let mut folder = Folder::new("storm")?;
        let mut processes = Vec::new();
        for (cpu, pairs) in cgroups {
            let (cgroup, pairs) = (folder.add()?, pairs.to_string());
            let cpu = cpu.map(|cpu| cpu.to_string());
            let rate = rate.map(|rate| rate.to_string());
            let mut words = Vec::new();
            if let Some(cpu) = &cpu {
                words.extend(["taskset", "-c", cpu]);
            }
            words.extend(["stress-ng", "--quiet", "--switch", &pairs]);
            words.extend(["--switch-method", "pipe", "--timeout", "1h"]);
            if let Some(rate) = &rate {
                words.extend(["--switch-freq", rate]);
            }
            processes.push(Running::start(&mut command_in(&cgroup, &words)?)?);
        }
        thread::sleep(Duration::from_millis(1_500));
        Ok(Storm {
            _processes: processes,
            _guest: None,
            folder,
        })
    }
}
