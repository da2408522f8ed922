//! However often an agent ends, and however it does, nothing of it is left in the kernel, and the next one starts.
//!
//! `CROSSTALK_CYCLES` is how many agents are started and ended: 36 by default, 6 under emulation. A thousand take half an hour.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::capability::emulated;
use tests::metrics;
use tests::report::crosstalk;
use tests::sink::{Protocol, Sink};
use tests::sys::{BpfObject, bpf_ids};

const KINDS: [(BpfObject, &str); 3] = [
    (BpfObject::Program, "prog_id:"),
    (BpfObject::Map, "map_id:"),
    (BpfObject::Link, "link_id:"),
];

type Objects = BTreeSet<(BpfObject, u32)>;

/// All that the kernel has.
fn all() -> Objects {
    let of = |(kind, _)| {
        let ids = bpf_ids(kind).expect("this is root");
        ids.into_iter().map(move |id| (kind, id))
    };
    KINDS.into_iter().flat_map(of).collect()
}

/// What a process holds: others may load programs meanwhile.
fn of_process(id: u32) -> Objects {
    let descriptors = fs::read_dir(format!("/proc/{id}/fdinfo")).into_iter();
    let infos = descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_to_string(descriptor.ok()?.path()).ok());
    let mut held = Objects::new();
    for info in infos {
        for (kind, name) in KINDS {
            let ids = info.lines().filter_map(|line| line.strip_prefix(name));
            held.extend(ids.map(|id| (kind, id.trim().parse().expect("a number"))));
        }
    }
    held
}

/// The kernel frees what a dead process held a moment later, without telling: how long it took.
fn wait_until_gone(held: &Objects, what: &str) -> Duration {
    // A CPU under emulation needs longer to see that nobody reads any more.
    let limit = Duration::from_secs(if emulated() { 10 } else { 1 });
    let start = Instant::now();
    loop {
        let left: Vec<_> = all().intersection(held).copied().collect();
        let took = start.elapsed();
        if left.is_empty() {
            return took;
        }
        assert!(
            took < limit,
            "left behind after {took:?} and {what}: {left:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where one agent after the other listens.
struct Place {
    folder: tempfile::TempDir,
    sink: Sink,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            sink: Sink::start(Protocol::Http, &[]),
        }
    }

    fn socket(&self) -> String {
        self.folder.path().join("agent.sock").display().to_string()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("our own folder");
        let names = entries.map(|entry| entry.expect("our own folder").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    fn start(&self) -> (Agent, Objects) {
        // An interval does not end by itself.
        let (endpoint, socket) = (self.sink.endpoint(), self.socket());
        let to = ["--interval", "1h", "--endpoint", &endpoint];
        let agent = Agent::start(&[&to[..], &["--history-socket", &socket]].concat());
        let held = of_process(agent.id());
        for (kind, _) in KINDS {
            let is_held = held.iter().any(|(of, _)| *of == kind);
            assert!(is_held, "it holds no {kind:?}, and the test sees nothing");
        }
        UnixStream::connect(self.socket()).expect("it listens");
        (agent, held)
    }

    /// Killed wherever it is in its start, later from round to round.
    fn kill_while_it_starts(&self, round: u32) -> Duration {
        let step = Duration::from_millis(if emulated() { 900 } else { 90 });
        let mut child = crosstalk(&["agent", "--history-socket", &self.socket()])
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        std::thread::sleep(step * (round % 12));
        let held = of_process(child.id());
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        let took = wait_until_gone(&held, "kill -9 at the start");
        self.assert_nobody_listens();
        took
    }

    fn kill_at_work(&self) -> Duration {
        let (agent, held) = self.start();
        agent.kill();
        let took = wait_until_gone(&held, "kill -9 at work");
        self.assert_nobody_listens();
        took
    }

    fn terminate(&self) -> Duration {
        let before = self.sink.accepted().len();
        let (agent, held) = self.start();
        let exported = agent.terminate().exported();
        let took = wait_until_gone(&held, "SIGTERM");
        assert_eq!(self.files(), [""; 0], "left behind after SIGTERM");
        let last = &self.sink.accepted()[before..];
        assert_eq!(
            exported.points,
            last.iter().map(metrics::count).sum::<u64>()
        );
        let mut points = last.iter().flat_map(metrics::points);
        let is_told = points.any(|point| {
            point.metric == "crosstalk.cpu.run.time" && point.value.is_some_and(|run| run > 0.0)
        });
        assert!(is_told, "the last interval was not delivered: {exported:?}");
        took
    }

    /// Who is killed leaves the name of its socket, and nothing else.
    fn assert_nobody_listens(&self) {
        let files = self.files();
        let others = files.iter().filter(|name| *name != "agent.sock");
        assert_eq!(others.count(), 0, "left behind: {files:?}");
        let refused = UnixStream::connect(Path::new(&self.socket())).map_err(|error| error.kind());
        let is_dead = matches!(
            refused,
            Err(ErrorKind::NotFound | ErrorKind::ConnectionRefused)
        );
        assert!(is_dead, "somebody listens: {refused:?}");
    }
}

fn cycles() -> u32 {
    let default = if emulated() { 6 } else { 36 };
    let given = std::env::var("CROSSTALK_CYCLES").ok();
    given.map_or(default, |number| {
        number.parse().expect("CROSSTALK_CYCLES is a number")
    })
}

#[test]
fn an_agent_leaves_nothing_and_the_next_one_starts() {
    let before = all();
    let place = Place::new();
    let cycles = cycles();
    let longest = (0..cycles).map(|cycle| match cycle % 3 {
        0 => place.kill_while_it_starts(cycle / 3),
        1 => place.kill_at_work(),
        _ => place.terminate(),
    });
    let longest = longest.max().unwrap_or_default();
    println!("{cycles} agents ended; the kernel freed what they held within {longest:?}");
    // What no descriptor showed. Whatever others load meanwhile goes again, and a leak does not.
    let start = Instant::now();
    while !all().is_subset(&before) {
        let left: Vec<_> = all().difference(&before).copied().collect();
        assert!(start.elapsed() < Duration::from_mins(1), "left: {left:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
