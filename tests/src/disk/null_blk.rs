//! A device that takes a known time for each request, whatever it is. Removed on drop.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::device::Device;

const CONFIG: &str = "/sys/kernel/config/nullb";

/// What the tests say where it is missing.
pub const CAPABILITY: &str = "null_blk with configfs";

/// What kind of device.
#[derive(Clone, Copy, Debug)]
pub struct NullPlan {
    /// From issue to completion.
    pub delay: Duration,
    /// Requests that it takes at a time.
    pub depth: u32,
    /// Megabytes.
    pub size: u32,
    /// Keeps what is written, and takes discards.
    pub keeps_data: bool,
    /// Megabytes of a cache that must be flushed.
    pub cache: u32,
    /// Name of the I/O scheduler.
    pub scheduler: &'static str,
    /// The kernel keeps statistics of it, and so notes when a request is created.
    pub statistics: bool,
}

impl Default for NullPlan {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            depth: 64,
            size: 64,
            keeps_data: false,
            cache: 0,
            scheduler: "none",
            statistics: true,
        }
    }
}

impl NullPlan {
    /// A device that takes so long for each request, and many at a time.
    pub fn slow(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// A device that takes one request after the other, and lets the others queue: their waits are queue time, and not
    /// the wait for a tag, which is before a request exists.
    pub fn one_at_a_time(delay: Duration) -> Self {
        Self {
            delay,
            depth: 1,
            scheduler: "mq-deadline",
            ..Self::default()
        }
    }
}

/// The device.
#[derive(Debug)]
pub struct NullBlk {
    device: Device,
    config: PathBuf,
}

impl NullBlk {
    /// Makes it; `None` where the kernel has no such driver.
    pub fn new(plan: NullPlan) -> Option<Self> {
        Path::new(CONFIG)
            .exists()
            .then(|| Self::make(plan).expect("a null_blk device"))
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn make(plan: NullPlan) -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ctnull{number}");
        let config = Path::new(CONFIG).join(&name);
        fs::create_dir(&config)?;
        let mut made = Self {
            device: Device::named(&name),
            config,
        };
        let flag = |set: bool| u32::from(set).to_string();
        for (file, value) in [
            ("size", plan.size.to_string()),
            ("blocksize", "512".to_owned()),
            // 2: requests, and a timer for each of them.
            ("queue_mode", "2".to_owned()),
            ("irqmode", "2".to_owned()),
            ("completion_nsec", plan.delay.as_nanos().to_string()),
            ("submit_queues", "1".to_owned()),
            ("hw_queue_depth", plan.depth.to_string()),
            ("memory_backed", flag(plan.keeps_data)),
            ("discard", flag(plan.keeps_data)),
            ("cache_size", plan.cache.to_string()),
            ("power", "1".to_owned()),
        ] {
            let path = made.config.join(file);
            fs::write(&path, &value).map_err(|error| {
                io::Error::new(error.kind(), format!("{} {value}: {error}", path.display()))
            })?;
        }
        if !Path::new("/sys/block").join(&name).exists() {
            // Older kernels name it themselves.
            let index = fs::read_to_string(made.config.join("index"))?;
            made.device = Device::named(format!("nullb{}", index.trim()));
        }
        made.device.set("scheduler", plan.scheduler)?;
        made.device.set("nomerges", "2")?;
        if !plan.statistics {
            made.device.set("iostats", "0")?;
        }
        if plan.scheduler != "none" {
            // By default twice the depth: the others would wait for a tag.
            made.device.set("nr_requests", "64")?;
        }
        Ok(made)
    }
}

impl Drop for NullBlk {
    fn drop(&mut self) {
        let _ = fs::write(self.config.join("power"), "0");
        if let Err(error) = fs::remove_dir(&self.config) {
            eprintln!("could not remove {}: {error}", self.config.display());
        }
    }
}
