//! What the kernel's own trace of the scheduler says of single waits: raw events, and no program of the agent.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::sys;

/// Room for each CPU, KiB.
const BUFFER: &str = "16384";
const EVENTS: [&str; 3] = ["sched_switch", "sched_wakeup", "sched_wakeup_new"];

/// A trace of some threads, in an instance of its own. It goes on drop.
#[derive(Debug)]
pub struct Trace {
    mount: tempfile::TempDir,
    threads: Vec<u32>,
}

impl Trace {
    /// Whether the kernel has such events.
    pub fn is_there() -> bool {
        fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("\ttracefs\n"))
    }

    /// Begins to note when these threads become ready to run, and when they run.
    pub fn start(threads: Vec<u32>) -> io::Result<Self> {
        let mount = tempfile::tempdir()?;
        let trace = Self { mount, threads };
        sys::mount(Path::new("tracefs"), trace.root(), "tracefs")?;
        fs::create_dir(trace.instance())?;
        let ids: Vec<String> = trace.threads.iter().map(u32::to_string).collect();
        trace.set("buffer_size_kb", BUFFER)?;
        trace.set("set_event_pid", &ids.join(" "))?;
        for event in EVENTS {
            trace.set(&format!("events/sched/{event}/enable"), "1")?;
        }
        Ok(trace)
    }

    /// Each wait that has ended, from being ready to run to running, in microseconds.
    pub fn waits(&self) -> io::Result<Vec<u64>> {
        self.set("tracing_on", "0")?;
        let text = fs::read_to_string(self.instance().join("trace"))?;
        if let Some(lost) = text.lines().find(|line| line.contains("LOST")) {
            return Err(io::Error::other(format!("the trace has a gap: {lost}")));
        }
        Ok(waits(&text, &self.threads))
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let path = self.instance().join(name);
        fs::write(&path, value)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    fn root(&self) -> &Path {
        self.mount.path()
    }

    fn instance(&self) -> PathBuf {
        let name = format!("crosstalk-test-{}", std::process::id());
        self.root().join("instances").join(name)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        for event in EVENTS {
            let _ = self.set(&format!("events/sched/{event}/enable"), "0");
        }
        let _ = fs::remove_dir(self.instance());
        let _ = sys::unmount(self.root());
    }
}

/// The waits of some threads, from the text of `trace`, which is in the order of time.
fn waits(text: &str, threads: &[u32]) -> Vec<u64> {
    let mut ready: HashMap<u32, u64> = HashMap::new();
    let mut waits = Vec::new();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for (at, event, fields) in lines.filter_map(parts) {
        // Others come along where one takes the place of another.
        let thread = |name: &str| {
            let number = field(fields, name)?.parse().ok()?;
            threads.contains(&number).then_some(number)
        };
        if event != "sched_switch" {
            if let Some(thread) = thread("pid") {
                ready.entry(thread).or_insert(at);
            }
            continue;
        }
        let since = thread("next_pid").and_then(|thread| ready.remove(&thread));
        waits.extend(since.map(|since| at.saturating_sub(since)));
        let is_ready = field(fields, "prev_state").is_some_and(|state| state.starts_with('R'));
        if let Some(thread) = thread("prev_pid").filter(|_| is_ready) {
            ready.insert(thread, at);
        }
    }
    waits
}

/// Time in microseconds, name and fields of `task-pid [cpu] flags seconds.micros: name: fields`; a task's name may hold
/// anything, also this.
fn parts(line: &str) -> Option<(u64, &str, &str)> {
    let (head, event, fields) = EVENTS.iter().find_map(|event| {
        let separator = format!(": {event}: ");
        let (head, fields) = line.split_once(&separator)?;
        Some((head, *event, fields))
    })?;
    let (seconds, micros) = head.rsplit(' ').next()?.split_once('.')?;
    let micros: u64 = micros.parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    Some((seconds * 1_000_000 + micros, event, fields))
}

/// `value` of `name=value`; the last one, as names of tasks come first.
fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    let at = fields.rfind(&format!(" {name}="))?;
    fields[at..].split_once('=')?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_run_from_a_wake_up_or_the_loss_of_the_cpu_to_the_next_turn() {
        let text = "\
# tracer: nop
          <idle>-0       [001] d..2.    10.000100: sched_wakeup: comm=a b pid=7 prio=120 target_cpu=001
          <idle>-0       [001] d..2.    10.000150: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a b next_pid=7 next_prio=120
             a b-7       [001] d..2.    10.000300: sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 prev_state=R+ ==> next_comm=x next_pid=9 next_prio=120
               x-9       [001] d..2.    11.000000: sched_switch: prev_comm=x prev_pid=9 prev_prio=120 prev_state=S ==> next_comm=a b next_pid=7 next_prio=120
             a b-7       [001] d..2.    11.000900: sched_switch: prev_comm=a b prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=x next_pid=9 next_prio=120
";
        assert_eq!(waits(text, &[7]), [50, 999_700]);
        assert_eq!(waits(text, &[]), [0; 0]);
    }
}
