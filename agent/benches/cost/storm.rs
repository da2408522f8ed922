//! Loads that switch as fast as they can.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    cgroups::{Folder, command_in},
    child::Running,
};

/// Pairs of processes that hand bytes to and fro. Fields are dropped in this order.
pub(crate) struct Storm {
    _processes: Vec<Running>,
    _folder: Folder,
}

impl Storm {
    /// One cgroup with a pair for each CPU, not pinned.
    pub(crate) fn hot(cpus: usize) -> Result<Storm> {
        Storm::start(&[(None, cpus)])
    }

    /// Two cgroups with a pair each, on one CPU.
    pub(crate) fn of_two_on_one_cpu() -> Result<Storm> {
        Storm::start(&[(Some(0), 1), (Some(0), 1)])
    }

    fn start(cgroups: &[(Option<u32>, usize)]) -> Result<Storm> {
        let mut folder = Folder::new("storm")?;
        let mut processes = Vec::new();
        for (cpu, pairs) in cgroups {
            let (cgroup, pairs) = (folder.add()?, pairs.to_string());
            let cpu = cpu.map(|cpu| cpu.to_string());
            let mut words = Vec::new();
            if let Some(cpu) = &cpu {
                words.extend(["taskset", "-c", cpu]);
            }
            words.extend(["stress-ng", "--quiet", "--switch", &pairs]);
            words.extend(["--switch-method", "pipe", "--timeout", "1h"]);
            processes.push(Running::start(&mut command_in(&cgroup, &words)?)?);
        }
        thread::sleep(Duration::from_millis(1_500));
        Ok(Storm {
            _processes: processes,
            _folder: folder,
        })
    }
}
