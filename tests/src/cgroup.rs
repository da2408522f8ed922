//! Cgroups made by the tests, in the hierarchy that owns `cpu`; each is removed when its last user is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Which interface the CPU controller has here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own (`cpu.shares`, `cpu.cfs_quota_us`).
    V1,
    /// The unified one (`cpu.weight`, `cpu.max`).
    V2,
}

/// The mounted hierarchy that owns the CPU controller.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// Where it is mounted.
    pub mount: PathBuf,
}

impl Hierarchy {
    /// Finds it in the mount table.
    pub fn find() -> io::Result<Self> {
        let (mount, version) = mount_of("cpu", "cpu")?;
        Ok(Self { version, mount })
    }
}

fn mount_row(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split(' ').skip(1);
    Some((fields.next()?, fields.next()?, fields.next()?))
}

fn has_controller(mount: &Path, wanted: &str) -> bool {
    let controllers = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|name| name == wanted)
}

/// A cgroup's weight. With the two extremes a busy loop starves another for many seconds.
#[derive(Clone, Copy, Debug)]
pub enum Weight {
    /// The smallest there is.
    Least,
    /// A tenth of the default.
    Tenth,
    /// The largest there is.
    Most,
}

/// A cgroup; clones share it.
#[derive(Clone, Debug)]
pub struct Cgroup(Rc<Dir>);

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    hierarchy: Hierarchy,
    /// Where the I/O controller has the same cgroup, for those that were made with it.
    io: Option<PathBuf>,
    // Held so that a parent is removed after its children.
    _parent: Option<Cgroup>,
}

impl Cgroup {
    /// A new cgroup below the root, for one test.
    pub fn new() -> io::Result<Self> {
        let hierarchy = Hierarchy::find()?;
        let mount = hierarchy.mount.clone();
        Self::make(mount.join(new_name()), hierarchy, &mount, None)
    }

    /// A new cgroup below the root, in the hierarchy that owns the I/O controller too.
    pub fn with_io() -> io::Result<Self> {
        let io = io_mount()?;
        let plain = Self::new()?;
        let name = plain.0.path.file_name().map(PathBuf::from);
        let dir = io.join(name.unwrap_or_default());
        if io.join("cgroup.subtree_control").exists() {
            write(&io.join("cgroup.subtree_control"), "+io")?;
        }
        if dir != plain.0.path {
            fs::create_dir(&dir).map_err(|error| annotate(&dir, &error))?;
        }
        Ok(Self(Rc::new(Dir {
            path: plain.0.path.clone(),
            hierarchy: plain.0.hierarchy.clone(),
            io: Some(dir),
            _parent: Some(plain),
        })))
    }

    /// A new cgroup in this one.
    pub fn child(&self, name: &str) -> io::Result<Self> {
        Self::make(
            self.0.path.join(name),
            self.0.hierarchy.clone(),
            &self.0.path,
            Some(self.clone()),
        )
    }

    fn make(
        path: PathBuf,
        hierarchy: Hierarchy,
        above: &Path,
        parent: Option<Self>,
    ) -> io::Result<Self> {
        if hierarchy.version == Version::V2 {
            write(&above.join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir(&path).map_err(|error| annotate(&path, &error))?;
        Ok(Self(Rc::new(Dir {
            path,
            hierarchy,
            io: None,
            _parent: parent,
        })))
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.0.path
    }

    /// Its directory where the I/O controller is.
    pub fn io_dir(&self) -> &Path {
        self.0.io.as_deref().expect("made with the I/O controller")
    }

    /// Whether the kernel knows whose the pages are that it writes back: version 2, with memory and I/O in one tree.
    pub fn writes_back(&self) -> bool {
        self.io_dir().join("io.stat").exists() && self.io_dir().join("memory.current").exists()
    }

    /// Its directories in all hierarchies that it was made in.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        let io = self.0.io.as_deref().filter(|io| *io != self.0.path);
        std::iter::once(self.dir()).chain(io)
    }

    /// Its path in the hierarchy, as the report shows it.
    pub fn path(&self) -> String {
        let inside = self
            .0
            .path
            .strip_prefix(&self.0.hierarchy.mount)
            .unwrap_or(&self.0.path);
        format!("/{}", inside.display())
    }

    /// Sets its weight.
    pub fn set_weight(&self, weight: Weight) -> io::Result<()> {
        match (self.0.hierarchy.version, weight) {
            (Version::V1, Weight::Least) => self.write("cpu.shares", "2"),
            (Version::V1, Weight::Tenth) => self.write("cpu.shares", "102"),
            (Version::V1, Weight::Most) => self.write("cpu.shares", "262144"),
            (Version::V2, Weight::Least) => self.write("cpu.weight", "1"),
            (Version::V2, Weight::Tenth) => self.write("cpu.weight", "10"),
            (Version::V2, Weight::Most) => self.write("cpu.weight", "10000"),
        }
    }

    /// Limits it to `quota` of CPU time in each `period`.
    pub fn set_quota(&self, quota: Duration, period: Duration) -> io::Result<()> {
        let (quota, period) = (quota.as_micros(), period.as_micros());
        match self.0.hierarchy.version {
            Version::V1 => {
                self.write("cpu.cfs_period_us", &period.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            Version::V2 => self.write("cpu.max", &format!("{quota} {period}")),
        }
    }

    /// Takes its limit away.
    pub fn lift_quota(&self) -> io::Result<()> {
        match self.0.hierarchy.version {
            Version::V1 => self.write("cpu.cfs_quota_us", "-1"),
            Version::V2 => self.write("cpu.max", "max"),
        }
    }

    /// Lets it run real-time tasks, where the kernel wants a budget for them.
    pub fn allow_realtime(&self, budget: Duration) -> io::Result<()> {
        if self.0.path.join("cpu.rt_runtime_us").exists() {
            self.write("cpu.rt_runtime_us", &budget.as_micros().to_string())?;
        }
        Ok(())
    }

    /// How long it was throttled by its own quota, summed over CPUs.
    pub fn throttled(&self) -> io::Result<Duration> {
        let (key, unit) = match self.0.hierarchy.version {
            Version::V1 => ("throttled_time", 1),
            Version::V2 => ("throttled_usec", 1_000),
        };
        let stat = fs::read_to_string(self.0.path.join("cpu.stat"))?;
        let value = stat
            .lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        value
            .map(|value| Duration::from_nanos(value * unit))
            .ok_or_else(|| io::Error::other(format!("no {key} in cpu.stat")))
    }

    /// The ids of all threads in it.
    pub fn threads(&self) -> io::Result<Vec<u32>> {
        let file = match self.0.hierarchy.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.threads",
        };
        let text = fs::read_to_string(self.0.path.join(file))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        write(&self.0.path.join(file), text)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.io.iter().for_each(|dir| remove(dir));
        remove(&self.path);
    }
}

/// Does nothing where somebody else has removed it.
fn remove(dir: &Path) {
    // A task that was waited for can keep its cgroup busy for a moment longer; there is no event to wait for.
    for _ in 0..1_000 {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            _ => return,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    eprintln!("could not remove {}: it stays busy", dir.display());
}

fn new_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("crosstalk-test-{}-{number}", std::process::id())
}

/// The mounted hierarchy that owns the I/O controller: `blkio` in version 1, `io` in version 2.
fn io_mount() -> io::Result<PathBuf> {
    mount_of("blkio", "io").map(|(path, _)| path)
}

/// Where a controller, with its names on both versions, is mounted.
fn mount_of(v1: &str, v2: &str) -> io::Result<(PathBuf, Version)> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let owner = |(path, kind, options): (&str, &str, &str)| match kind {
        "cgroup" if options.split(',').any(|option| option == v1) => {
            Some((path.into(), Version::V1))
        }
        "cgroup2" if has_controller(Path::new(path), v2) => Some((path.into(), Version::V2)),
        _ => None,
    };
    let missing = || io::Error::other(format!("no mounted cgroup hierarchy has `{v2}`"));
    let mut found = mounts.lines().filter_map(mount_row).filter_map(owner);
    found.next().ok_or_else(missing)
}

/// A cgroup whose processes together may have so much memory, and no swap beside it.
#[derive(Debug)]
pub struct MemoryLimit {
    dir: PathBuf,
    version: Version,
}

impl MemoryLimit {
    /// A new cgroup below the root.
    pub fn new(bytes: u64) -> io::Result<Self> {
        let (mount, version) = mount_of("memory", "memory")?;
        if version == Version::V2 {
            write(&mount.join("cgroup.subtree_control"), "+memory")?;
        }
        let dir = mount.join(new_name());
        fs::create_dir(&dir).map_err(|error| annotate(&dir, &error))?;
        let limit = Self { dir, version };
        let (file, swap, most) = match version {
            Version::V1 => (
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                bytes,
            ),
            Version::V2 => ("memory.max", "memory.swap.max", 0),
        };
        write(&limit.dir.join(file), &bytes.to_string())?;
        // Kernels that cannot swap have no such file.
        if limit.dir.join(swap).exists() {
            write(&limit.dir.join(swap), &most.to_string())?;
        }
        Ok(limit)
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its processes have now, bytes.
    pub fn used(&self) -> io::Result<u64> {
        let file = match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        let text = fs::read_to_string(self.dir.join(file))?;
        text.trim().parse().map_err(io::Error::other)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| annotate(path, &error))
}

fn annotate(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
