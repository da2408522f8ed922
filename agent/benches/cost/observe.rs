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
    config::Form,
    entity::identify,
    history::{BUDGET, Store},
    host::{cgroups::Cgroups, hierarchy::Version},
    kernel::{
        self, block,
        btf::Btf,
        load::{self, Places},
        offsets,
        reader::Reader,
    },
    model::Model,
    names::Names,
    observe::Observer,
    otlp::{
        encode,
        ledger::{Ledger, Limits},
        own::Telemetry,
        resource::Host,
    },
    signal::{
        Thresholds,
        episodes::{Episodes, Rules},
    },
};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::cgroups::hierarchy;

const INTERVAL: Duration = Duration::from_secs(1);
/// Readings before the measured ones: the first find all that is there.
const WARM_UP: u64 = 3;

/// What the agent took.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// From the start to the first reading.
    pub(crate) start_s: f64,
    /// CPU time of it.
    pub(crate) start_cpu_s: f64,
    /// CPU time of each later reading with its model, and what waits for the next.
    pub(crate) reading_cpu_s: Vec<f64>,
    /// CPU time of what an agent does with it: totals, episodes, history.
    pub(crate) uses_cpu_s: Vec<f64>,
    /// Series to export.
    pub(crate) series: f64,
    /// An export request with all of them, before compression.
    pub(crate) request_bytes: f64,
    /// What is remembered.
    pub(crate) history_bytes: f64,
    /// Heap and stacks.
    pub(crate) rss_anon_bytes: f64,
    /// All that is resident, the mapped maps too.
    pub(crate) rss_bytes: f64,
    /// Maps, as the kernel charges them.
    pub(crate) map_bytes: f64,
}

impl Taken {
    /// With the memory that is in use now.
    fn end(self, start_s: f64, start_cpu_s: f64) -> Result<Taken> {
        Ok(Taken {
            start_s,
            start_cpu_s,
            rss_anon_bytes: status("RssAnon:")?,
            rss_bytes: status("VmRSS:")?,
            map_bytes: map_bytes()?,
            ..self
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
    let mut taken = Taken::default();
    let mut uses = Uses::new();
    for number in 0..WARM_UP + seconds {
        let cpu = cpu_time()?;
        thread::sleep(INTERVAL);
        let after = observer.sample()?;
        let model = Model::of_entities(&before, &after, &identify);
        before = after;
        let read = cpu_time()?;
        uses.add(&model)?;
        if number >= WARM_UP {
            taken.reading_cpu_s.push(read - cpu);
            taken.uses_cpu_s.push(cpu_time()? - read);
        }
    }
    let parts = uses
        .own
        .part()
        .into_iter()
        .chain(encode::parts(&uses.ledger));
    let request = encode::request(parts.map(|part| part.metrics));
    taken.series = uses.ledger.series() as f64;
    taken.request_bytes = request.encoded_len() as f64;
    taken.history_bytes = uses.history.bytes() as f64;
    taken.end(start_s, start_cpu_s)?.print()
}

/// What an agent does with each second, and with each interval that it exports; here each second is
/// one, which costs more.
struct Uses {
    episodes: Episodes,
    history: Store,
    ledger: Ledger,
    own: Telemetry,
}

impl Uses {
    fn new() -> Uses {
        let rules = Rules::default();
        Uses {
            episodes: Episodes::new(rules, Thresholds::default(), 1),
            history: Store::new(BUDGET),
            ledger: Ledger::new(Host::default(), Limits::default()),
            own: Telemetry::new(Host::default(), Form::default()),
        }
    }

    fn add(&mut self, model: &Model) -> Result<()> {
        let signals = self.episodes.judge(model);
        std::hint::black_box(self.episodes.observe(model, &signals));
        self.history.add(model)?;
        if let Some(added) = self.ledger.add(model, &Names::default()) {
            self.own.add(model, &Names::default(), &added);
        }
        Ok(())
    }
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
    let mut taken = Taken::default();
    for number in 0..WARM_UP + READINGS {
        thread::sleep(INTERVAL);
        let cpu = cpu_time()?;
        std::hint::black_box(reader.read(&online));
        if number >= WARM_UP {
            taken.reading_cpu_s.push(cpu_time()? - cpu);
        }
    }
    let taken = taken.end(start_s, start_cpu_s)?;
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
