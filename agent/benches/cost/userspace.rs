//! CPU time and memory of the agent, by how many cgroups and CPUs there are.

use std::time::Duration;

use anyhow::Result;

use crate::{
    cgroups::Sleepers,
    child::{output_of, this_program},
    figure::{Plan, Target, Teller},
    observe::Taken,
    tables,
};

const MIB: f64 = 1_048_576.0;
/// Each cgroup runs in each interval.
const THREADS: u32 = 2;
const PERIOD: Duration = Duration::from_millis(400);

/// Cgroups, and the most of a CPU that is promised for them.
const SIZES: [(u32, Option<f64>); 3] = [(10, None), (100, Some(0.3)), (1_000, Some(1.0))];
/// CPUs that the maps are made for.
const CAPACITIES: [u32; 2] = [64, 256];

/// Measures all sizes.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    for (cgroups, most) in SIZES {
        let load = Sleepers::start(cgroups, THREADS, PERIOD)?;
        eprintln!("the agent: {cgroups} cgroups");
        let taken = taken(&["observe", &plan.readings.to_string()])?;
        tell_agent(&format!("{cgroups} cgroups, these CPUs"), &taken, most);
        if cgroups == 1_000 {
            for cpus in CAPACITIES {
                eprintln!("the agent: maps for {cpus} CPUs");
                let taken = self::taken(&["capacity", &cpus.to_string()])?;
                tell_capacity(
                    &format!("{cgroups} cgroups, maps for {cpus} CPUs"),
                    &taken,
                    cpus,
                );
            }
        }
        drop(load);
    }
    Ok(())
}

fn taken(args: &[&str]) -> Result<Taken> {
    let line = output_of(this_program()?.args(args))?;
    Ok(serde_json::from_str(line.trim())?)
}

fn tell_agent(load: &str, taken: &Taken, most: Option<f64>) {
    let teller = Teller {
        table: tables::USERSPACE,
        load,
    };
    let target = Target {
        at_most: most,
        aim: None,
    };
    let shares: Vec<f64> = taken.reading_cpu_s.iter().map(|s| 100.0 * s).collect();
    let mean = [shares.iter().sum::<f64>() / shares.len() as f64];
    teller.tell(
        "of a CPU, median reading",
        tables::PER_CENT,
        &shares,
        Target::NONE,
    );
    teller.tell("of a CPU, mean", tables::PER_CENT, &mean, target);
    let uses: Vec<f64> = taken.uses_cpu_s.iter().map(|s| 100.0 * s).collect();
    let what = "totals, episodes and history of it, of a CPU";
    teller.tell(what, tables::PER_CENT, &uses, Target::NONE);
    teller.tell("series", tables::SERIES, &[taken.series], Target::NONE);
    for (what, bytes) in [
        ("an export request, before compression", taken.request_bytes),
        ("history", taken.history_bytes),
    ] {
        teller.tell(what, tables::MIB, &[bytes / MIB], Target::NONE);
    }
    let target = Target::at_most(2.0);
    teller.tell("start to first reading", "s", &[taken.start_s], target);
    let cpu = [1e3 * taken.start_cpu_s];
    let target = Target::at_most(300.0);
    teller.tell("CPU time of the start", "ms", &cpu, target);
    let anon = [taken.rss_anon_bytes / MIB];
    teller.tell("RssAnon", tables::MIB, &anon, Target::at_most(32.0));
    teller.tell(
        "VmRSS, mapped maps included",
        tables::MIB,
        &[taken.rss_bytes / MIB],
        Target::NONE,
    );
    teller.tell("maps", tables::MIB, &[taken.map_bytes / MIB], Target::NONE);
}

fn tell_capacity(load: &str, taken: &Taken, cpus: u32) {
    let teller = Teller {
        table: tables::USERSPACE,
        load,
    };
    let ms: Vec<f64> = taken.reading_cpu_s.iter().map(|s| 1e3 * s).collect();
    teller.tell("CPU time of reading the maps", "ms", &ms, Target::NONE);
    teller.tell("maps", tables::MIB, &[taken.map_bytes / MIB], Target::NONE);
    let sum = [(taken.map_bytes + taken.rss_anon_bytes) / MIB];
    let target = if cpus == 64 {
        Target::at_most(64.0)
    } else {
        Target::NONE
    };
    teller.tell("RssAnon and maps", tables::MIB, &sum, target);
}
