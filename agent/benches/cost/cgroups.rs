//! Cgroups of the benchmark, and what runs in them.

use std::{
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use crosstalk::host::hierarchy::{self, Controller, Hierarchy};

use crate::child::{Flock, this_program};

/// The hierarchy that owns `cpu` here.
pub(crate) fn hierarchy() -> Result<Hierarchy> {
    Ok(hierarchy::find(Path::new("/proc"), Controller::Cpu)?)
}

/// Of the names of all folders; the number of the process follows.
const PREFIX: &str = "crosstalk-bench-";

/// A folder of cgroups, removed on drop.
pub(crate) struct Folder {
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Folder> {
        let mount = hierarchy()?.mount;
        remove_abandoned(&mount);
        let path = mount.join(format!("{PREFIX}{}-{name}", std::process::id()));
        make(&path)?;
        Ok(Folder {
            path,
            made: Vec::new(),
        })
    }

    /// One more cgroup in it.
    pub(crate) fn add(&mut self) -> Result<PathBuf> {
        let path = self.path.join(format!("cgroup-{}", self.made.len()));
        make(&path)?;
        self.made.push(path.clone());
        Ok(path)
    }

    /// Moves this process into the first of them, until the guest is dropped.
    pub(crate) fn visit(&self) -> Result<Guest> {
        let host = self.made.first().context("no cgroup to visit")?;
        let home = hierarchy()?.own_folder()?;
        let home = home.context("this program's own cgroup is not to be seen")?;
        enter(host)?;
        Ok(Guest { home })
    }
}

/// This process in another cgroup. It returns on drop.
pub(crate) struct Guest {
    home: PathBuf,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Err(error) = enter(&self.home) {
            eprintln!("{error:#}");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for path in self.made.iter().chain([&self.path]) {
            remove(path);
        }
    }
}

fn make(path: &Path) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("cannot make the cgroup {}", path.display()))
}

/// A task that was waited for can keep its cgroup busy for a moment longer.
fn remove(path: &Path) {
    for _ in 0..1_000 {
        if fs::remove_dir(path).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    eprintln!("could not remove {}: it stays busy", path.display());
}

/// Removes the folders of benchmarks that were killed: the agent would look at their cgroups too.
fn remove_abandoned(mount: &Path) {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter(|path| path.is_dir())
    };
    for folder in folders(mount) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        let is_gone = |process: &str| !Path::new("/proc").join(process).exists();
        if process.is_some_and(is_gone) {
            // Where somebody is left, it stays.
            let all = folders(&folder).chain([folder.clone()]);
            all.for_each(|path| _ = fs::remove_dir(path));
        }
    }
}

/// A command that runs in `cgroup`.
pub(crate) fn command_in(cgroup: &Path, words: &[&str]) -> Result<Command> {
    let mut command = this_program()?;
    command.arg("enter").arg(cgroup).args(words);
    Ok(command)
}

/// Enters a cgroup and becomes another program.
pub(crate) fn enter_and_become(cgroup: &Path, words: &[String]) -> Result<()> {
    enter(cgroup)?;
    let (program, args) = words.split_first().context("no command")?;
    Err(Command::new(program).args(args).exec()).with_context(|| format!("cannot start {program}"))
}

fn enter(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
        .with_context(|| format!("cannot enter {}", cgroup.display()))
}

/// Cgroups whose threads sleep, and wake for a moment. Fields are dropped in this order.
pub(crate) struct Sleepers {
    _processes: Flock,
    _folder: Folder,
}

impl Sleepers {
    /// Starts `threads` in each of the cgroups; each wakes up once in `period`.
    pub(crate) fn start(cgroups: u32, threads: u32, period: Duration) -> Result<Sleepers> {
        let mut folder = Folder::new("sleepers")?;
        let mut processes = Flock::new()?;
        for _ in 0..cgroups {
            let cgroup = folder.add()?;
            let mut command = this_program()?;
            command.arg("sleepers").arg(cgroup).arg(threads.to_string());
            command.arg(period.as_millis().to_string());
            processes.start(&mut command)?;
        }
        // Until all have started, and sleep.
        thread::sleep(Duration::from_secs(2) + Duration::from_millis(4) * cgroups);
        Ok(Sleepers {
            _processes: processes,
            _folder: folder,
        })
    }
}

/// The process of [`Sleepers`].
pub(crate) fn sleep_in(cgroup: &Path, threads: u32, period_ms: u64) -> Result<()> {
    const STACK: usize = 64 * 1024;
    enter(cgroup)?;
    let seed = u64::from(std::process::id());
    for number in 0..u64::from(threads) {
        let offset = (seed * 7_919 + number * period_ms / u64::from(threads)) % period_ms;
        let sleeper = thread::Builder::new().stack_size(STACK);
        sleeper.spawn(move || {
            thread::sleep(Duration::from_millis(offset));
            loop {
                thread::sleep(Duration::from_millis(period_ms));
            }
        })?;
    }
    // The process ends with this thread, and with it all others.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
