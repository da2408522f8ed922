//! The course of an observation: loads wait at their gate, the report becomes ready, the loads work and come to rest,
//! the kernel's own figures are read, the report ends. So both sides speak of the same time, and of nothing unfinished.

use std::collections::BTreeMap;

use crate::cgroup::Cgroup;
use crate::load::Load;
use crate::report::{Document, Running};
use crate::tally::Tally;
use crate::truth::{Sched, Snapshot};

/// Longer than any load: the tests end the interval themselves.
const LONG: &str = "10m";

/// What the report and the kernel say about the same loads.
#[derive(Debug)]
pub struct Observation {
    /// The report's document.
    pub report: Document,
    /// What each load said when it was done, in the order of the loads.
    pub said: Vec<String>,
    truth: BTreeMap<String, (Sched, usize)>,
}

impl Observation {
    /// What the kernel booked for the threads of a cgroup meanwhile.
    pub fn truth(&self, cgroup: &Cgroup) -> Sched {
        self.truth[&cgroup.path()].0
    }

    /// What the load with this number, which reads or writes, says that it did.
    pub fn tally(&self, load: usize) -> Tally {
        let said = &self.said[load];
        said.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many threads the cgroup had at the end.
    pub fn threads(&self, cgroup: &Cgroup) -> usize {
        self.truth[&cgroup.path()].1
    }
}

/// Runs loads that end by themselves under a report with default rows.
pub fn observe(loads: &mut [Load]) -> Observation {
    observe_with(loads, &[])
}

/// Runs loads that end by themselves under a report with more arguments.
pub fn observe_with(loads: &mut [Load], args: &[&str]) -> Observation {
    observe_while(loads, args, |_| ())
}

/// The same, for loads that need a word in between.
pub fn observe_while(
    loads: &mut [Load],
    args: &[&str],
    conduct: impl FnOnce(&mut [Load]),
) -> Observation {
    let before: Vec<Snapshot> = loads
        .iter()
        .map(|load| Snapshot::at_rest(load.cgroup()))
        .collect();
    let report = Running::start(&[&["--duration", LONG], args].concat());
    loads.iter_mut().for_each(Load::go);
    conduct(loads);
    let said = loads
        .iter_mut()
        .map(|load| load.wait_done().unwrap_or_else(|error| panic!("{error}")))
        .collect();
    let truth = loads.iter().zip(&before).map(|(load, before)| {
        let after = Snapshot::at_rest(load.cgroup());
        (load.cgroup().path(), (after.since(before), after.len()))
    });
    let truth = truth.collect();
    Observation {
        report: report.interrupt(),
        said,
        truth,
    }
}
