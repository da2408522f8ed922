//! The agent in a process of its own, as it is measured from inside.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use crosstalk::{
    entity::identify,
    host::{cgroups::Cgroups, hierarchy::Version},
    kernel::{
        self, block,
        btf::Btf,
        load::{self, Places},
        offsets,
        reader::Reader,
    },
    model::Model,
    observe::Observer,
};
use serde::{Deserialize, Serialize};

use crate::cgroups::hierarchy;

const INTERVAL: Duration = Duration::from_secs(1);
/// Readings before the measured ones: the first find all that is there.
const WARM_UP: u64 = 3;

/// What the agent took.
#[derive(Serialize, Deserialize)]
pub(crate) struct Taken {
    /// From the start to the first reading.
    pub(crate) start_s: f64,
    /// CPU time of it.
    pub(crate) start_cpu_s: f64,
    /// CPU time of each later reading with its model, and what waits for the next.
    pub(crate) reading_cpu_s: Vec<f64>,
    /// Heap and stacks.
    pub(crate) rss_anon_bytes: f64,
    /// All that is resident, the mapped maps too.
    pub(crate) rss_bytes: f64,
    /// Maps, as the kernel charges them.
    pub(crate) map_bytes: f64,
}

impl Taken {
    /// With the memory that is in use now.
    fn now(start_s: f64, start_cpu_s: f64, reading_cpu_s: Vec<f64>) -> Result<Taken> {
        Ok(Taken {
            start_s,
            start_cpu_s,
            reading_cpu_s,
            rss_anon_bytes: status("RssAnon:")?,
            rss_bytes: status("VmRSS:")?,
            map_bytes: map_bytes()?,
        })
    }

    fn print(&self) -> Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

/// Observes once a second, and prints what that took.
pub(crate) fn observe(seconds: u64) -> Result<()> {
    let (start, start_cpu) = (Instant::now(), cpu_time()?);
    let mut observer = Observer::start()?;
    let mut before = observer.sample()?;
    let (start_s, start_cpu_s) = (start.elapsed().as_secs_f64(), cpu_time()? - start_cpu);
    let mut reading_cpu_s = Vec::new();
    for number in 0..WARM_UP + seconds {
        let cpu = cpu_time()?;
        thread::sleep(INTERVAL);
        let after = observer.sample()?;
        let model = Model::of_entities(&before, &after, &identify);
        std::hint::black_box(model);
        before = after;
        if number >= WARM_UP {
            reading_cpu_s.push(cpu_time()? - cpu);
        }
    }
    let taken = Taken::now(start_s, start_cpu_s, reading_cpu_s)?;
    taken.print()
}

/// Observes until standard input ends.
pub(crate) fn watch() -> Result<()> {
    let mut observer = Observer::start()?;
    println!("ready");
    thread::spawn(move || {
        loop {
            thread::sleep(INTERVAL);
            if let Err(error) = observer.sample() {
                eprintln!("a reading failed: {error}");
            }
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Reads maps made for more CPUs than there are, all of which are taken to be on-line.
pub(crate) fn capacity(cpus: u32) -> Result<()> {
    const READINGS: u64 = 10;
    let (start, start_cpu) = (Instant::now(), cpu_time()?);
    let hierarchy = hierarchy()?;
    let btf = Btf::read(Path::new("/sys/kernel/btf/vmlinux"))?;
    let offsets = offsets::resolve(&btf, hierarchy.version == Version::V1)?;
    let settings = kernel::size::settings(cpus, &hierarchy);
    let places = Places {
        tasks: offsets,
        requests: Some(block::offsets::resolve(&btf)?),
    };
    let mut cgroups = Cgroups::new(&hierarchy);
    cgroups.scan(kernel::monotonic())?;
    let online: Vec<u32> = (0..cpus).collect();
    let loaded = load::load(&btf, &places, settings)?;
    drop(btf);
    let ids = cgroups.to_sample().into_keys();
    let mut reader = Reader::new(loaded.maps()?, ids, &online);
    let programs = loaded.attach()?;
    reader.read(&online);
    let (start_s, start_cpu_s) = (start.elapsed().as_secs_f64(), cpu_time()? - start_cpu);
    let mut reading_cpu_s = Vec::new();
    for number in 0..WARM_UP + READINGS {
        thread::sleep(INTERVAL);
        let cpu = cpu_time()?;
        std::hint::black_box(reader.read(&online));
        if number >= WARM_UP {
            reading_cpu_s.push(cpu_time()? - cpu);
        }
    }
    let taken = Taken::now(start_s, start_cpu_s, reading_cpu_s)?;
    drop(programs);
    taken.print()
}

/// CPU time of all threads, seconds.
fn cpu_time() -> Result<f64> {
    let mut ns = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let run = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?;
        ns += run.parse::<u64>()?;
    }
    Ok(ns as f64 / 1e9)
}

/// Bytes of a line of `/proc/self/status`.
fn status(name: &str) -> Result<f64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no such line in the status")?.parse::<f64>()? * 1024.0)
}

/// All maps that this process holds.
fn map_bytes() -> Result<f64> {
    let mut maps = BTreeMap::new();
    for file in fs::read_dir("/proc/self/fdinfo")? {
        let Ok(text) = fs::read_to_string(file?.path()) else {
            continue;
        };
        let field = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            rest.trim().parse::<u64>().ok()
        };
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum::<u64>() as f64)
}
