//! Several loads on several devices under one report: to start one takes longer than anything that is done here.

use std::collections::BTreeMap;
use std::path::Path;

use super::device::{Device, Stat};
use super::loop_device::{self, Backing, LoopDevice};
use super::null_blk::{self, NullBlk, NullPlan};
use super::rows::DiskReport;
use crate::capability::unsupported;
use crate::cgroup::Cgroup;
use crate::load::{Load, Plan};
use crate::report::{Document, Running};
use crate::shape::{Limit, Shape};
use crate::tally::Tally;

/// Loads that are staged, each set of them for one test.
#[derive(Debug, Default)]
pub struct Staging {
    scenes: Vec<Scene>,
    variable: Option<(&'static str, &'static str)>,
    missing: BTreeMap<&'static str, &'static str>,
}

/// Loads on one device.
#[derive(Debug)]
struct Scene {
    test: &'static str,
    device: Device,
    loads: Vec<(Load, bool)>,
}

impl Staging {
    /// Nothing yet, under a report with this variable in its environment.
    pub fn with_variable(name: &'static str, value: &'static str) -> Self {
        Self {
            variable: Some((name, value)),
            ..Self::default()
        }
    }

    /// Stages the loads of a test on a device.
    pub fn add(&mut self, test: &'static str, device: &Device, loads: &[(Shape, &Cgroup)]) {
        let start = |(shape, cgroup): &(Shape, &Cgroup)| {
            let is_endless = shape.count == 0 && shape.limit == Limit::Stop;
            let shape = if shape.target.is_empty() {
                shape.clone().target(&device.path())
            } else {
                shape.clone()
            };
            let load = Plan::new(shape, cgroup).start();
            (
                load.unwrap_or_else(|error| panic!("{test}: {error}")),
                is_endless,
            )
        };
        self.scenes.push(Scene {
            test,
            device: device.clone(),
            loads: loads.iter().map(start).collect(),
        });
    }

    /// Stages a load of a test on a null_blk device, which is to be kept; `None` where there are none.
    pub fn add_null(
        &mut self,
        test: &'static str,
        plan: NullPlan,
        load: (Shape, &Cgroup),
    ) -> Option<NullBlk> {
        let made = NullBlk::new(plan);
        match &made {
            Some(made) => self.add(test, made.device(), &[load]),
            None => self.lack(test, null_blk::CAPABILITY),
        }
        made
    }

    /// The same on a loop device over a file.
    pub fn add_loop(
        &mut self,
        test: &'static str,
        file: &Path,
        load: (Shape, &Cgroup),
    ) -> Option<LoopDevice> {
        let made = LoopDevice::over(file, Backing::Cached);
        match &made {
            Some(made) => self.add(test, made.device(), &[load]),
            None => self.lack(test, loop_device::CAPABILITY),
        }
        made
    }

    /// Notes what a test lacks here.
    pub fn lack(&mut self, test: &'static str, capability: &'static str) {
        self.missing.insert(test, capability);
    }

    /// Runs all loads under a report; what goes on for long is ended when `conduct` is done.
    pub fn observe(self, conduct: impl FnOnce()) -> Told {
        self.run(conduct, || ())
    }

    /// Runs all loads under a report that ends when `last` is done.
    pub fn observe_to_the_end(self, last: impl FnOnce()) -> Told {
        self.run(|| (), last)
    }

    fn run(mut self, conduct: impl FnOnce(), last: impl FnOnce()) -> Told {
        let report = Running::start_where(&["--duration", "10m"], self.variable);
        let before: Vec<Stat> = self
            .scenes
            .iter()
            .map(|scene| scene.device.stat())
            .collect();
        let loads = self.scenes.iter_mut().flat_map(|scene| &mut scene.loads);
        let mut loads: Vec<&mut (Load, bool)> = loads.collect();
        for (load, _) in &mut loads {
            load.go();
        }
        conduct();
        for (load, is_endless) in loads {
            if *is_endless {
                load.stop();
            }
            load.tally();
        }
        last();
        let document = report.interrupt();
        let scenes = self.scenes.into_iter().zip(before);
        let acts = scenes.map(|(mut scene, before)| {
            let act = Act {
                device: scene.device.name().to_owned(),
                paths: scene
                    .loads
                    .iter()
                    .map(|(load, _)| load.cgroup().path())
                    .collect(),
                tallies: scene
                    .loads
                    .iter_mut()
                    .map(|(load, _)| load.tally())
                    .collect(),
                grown: scene.device.stat() - before,
            };
            (scene.test, act)
        });
        Told {
            acts: acts.collect(),
            missing: self.missing,
            document,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Told {
    acts: BTreeMap<&'static str, Act>,
    missing: BTreeMap<&'static str, &'static str>,
    /// What the report said.
    pub document: Document,
}

/// What the loads of one test did.
#[derive(Debug)]
pub struct Act {
    device: String,
    /// Paths of their cgroups.
    pub paths: Vec<String>,
    /// What each did by its own count.
    pub tallies: Vec<Tally>,
    /// What the device counted meanwhile.
    pub grown: Stat,
}

/// Times that a staging is tried where the kernel keeps runs of the programs.
const TRIES: usize = 4;

/// Stages until the kernel has kept no completion from the programs, or gives up and takes the last.
pub fn undisturbed<T>(stage: impl Fn() -> T, told: impl Fn(&T) -> &Told) -> T {
    for _ in 1..TRIES {
        let staged = stage();
        if told(&staged).is_whole() {
            return staged;
        }
        println!("this kernel kept completions from the programs: once more");
    }
    stage()
}

impl Told {
    /// Whether all requests were told, or the kernel keeps nothing that it does not count.
    fn is_whole(&self) -> bool {
        self.acts.values().all(|act| {
            let report = DiskReport::of(&self.document, &act.device);
            !report.keeps_runs() || report.requests() >= act.grown.requests()
        })
    }

    /// What the loads of a test did, and what the report says of their device; `None`, and a word about it, where
    /// something is missing.
    pub fn of(&self, test: &'static str) -> Option<(&Act, DiskReport<'_>)> {
        if let Some(capability) = self.missing.get(test) {
            unsupported(test, capability);
            return None;
        }
        let act = self.acts.get(test);
        let act = act.unwrap_or_else(|| panic!("nothing was staged for {test}"));
        Some((act, DiskReport::of(&self.document, &act.device)))
    }
}
