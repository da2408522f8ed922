//! Short-lived cgroups, each with a short-lived process in it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tests::shape::Shape;
use tests::sys;

use crate::course::burn;

/// Runs all rounds and returns the CPU time that the children used, which nobody can read elsewhere once they are gone.
pub(crate) fn run(shape: &Shape) -> io::Result<Duration> {
    for round in 0..shape.count {
        let dir = Path::new(&shape.dir).join(format!("short-{round}"));
        fs::create_dir(&dir)?;
        let visited = sys::fork_and_wait(|| visit(&dir, shape.work));
        remove(&dir)?;
        visited?;
    }
    sys::children_cpu_time()
}

fn visit(dir: &Path, work: Duration) {
    if fs::write(dir.join("cgroup.procs"), "0").is_ok() {
        // A new slice: time is booked where the task was when it got the CPU.
        std::thread::sleep(Duration::from_nanos(1));
        burn(work);
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_micros(100));
            }
            other => return other,
        }
    }
}
