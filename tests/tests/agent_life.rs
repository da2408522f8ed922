//! What an agent hears from those who run it, and what they hear from it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::report::crosstalk;
use tests::sink::{Protocol, Sink};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder as a mounted ConfigMap is: a link leads to the data, and another takes its place.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(text: &str) -> Self {
        let mounted = Self(tempfile::tempdir().expect("a temporary folder"));
        symlink("data/agent.yaml", mounted.path("agent.yaml")).expect("a link");
        mounted.swap("first", text);
        mounted
    }

    fn path(&self, name: impl AsRef<Path>) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn swap(&self, version: &str, text: &str) {
        let folder = self.path(version);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("agent.yaml"), text).expect("a file");
        symlink(version, self.path("next")).expect("a link");
        fs::rename(self.path("next"), self.path("data")).expect("links can be replaced");
    }
}

fn settings(sink: &Sink, more: &str) -> String {
    let endpoint = sink.endpoint();
    format!("interval: 1s\n{more}export:\n  protocol: grpc\n  endpoint: {endpoint}\n")
}

/// Waits until the sink has got so many more requests.
fn wait_for(sink: &Sink, what: &str) {
    let (start, before) = (Instant::now(), sink.accepted().len());
    while sink.accepted().len() < before + 2 {
        assert!(start.elapsed() < PATIENCE, "nothing arrives: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn settings_change_with_the_file_and_after_sighup() {
    let [one, other] = [(), ()].map(|()| Sink::start(Protocol::Grpc, &[]));
    let mounted = Mounted::new(&settings(&one, ""));
    let file = mounted.path("agent.yaml").display().to_string();
    let agent = Agent::start(&["--config", &file, "--history-socket", "none"]);
    wait_for(&one, "before");

    mounted.swap("second", &settings(&other, ""));
    wait_for(&other, "after the file is another");
    let before = one.accepted().len();

    mounted.swap("third", "intervall: 1s\n");
    std::thread::sleep(Duration::from_secs(2));
    wait_for(&other, "after the file is wrong");
    assert_eq!(one.accepted().len(), before, "the old receiver gets more");

    mounted.swap(
        "fourth",
        &settings(&one, "resource:\n  deployment.environment.name: test\n"),
    );
    agent.hang_up();
    wait_for(&one, "after SIGHUP");
    let ended = agent.terminate();
    ended.exported();
    let count = |text: &str| ended.log.matches(text).count();
    assert_eq!(count("reloaded: exporting every 1s"), 2, "{}", ended.log);
    assert_eq!(count("agent.yaml:1: `intervall`"), 1, "{}", ended.log);
    let told = format!("{:?}", one.accepted().last().expect("it got some"));
    assert!(told.contains("deployment.environment.name"), "{told}");
}

/// Reads what arrives until something of it begins so; all that came before.
fn listen(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let (start, mut heard) = (Instant::now(), Vec::new());
    let mut buffer = [0; 4096];
    while start.elapsed() < PATIENCE {
        if let Ok(length) = socket.recv(&mut buffer) {
            let lines = String::from_utf8_lossy(&buffer[..length]).into_owned();
            heard.extend(lines.lines().map(str::to_owned));
        }
        if heard.iter().any(|line| line.starts_with(wanted)) {
            return heard;
        }
    }
    panic!("no {wanted} in {heard:?}");
}

#[test]
fn systemd_hears_how_it_fares() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let timeout = Some(Duration::from_millis(100));
    socket.set_read_timeout(timeout).expect("a time-out");
    let settings = folder.path().join("agent.yaml");
    // Nobody listens there, which is no concern of systemd's.
    let text = "shutdown_timeout: 1s\nexport:\n  endpoint: http://127.0.0.1:9\n";
    fs::write(&settings, text).expect("a file");
    let settings = settings.display().to_string();
    let args = ["agent", "--config", &settings, "--history-socket", "none"];
    let agent = Agent::run(crosstalk(&args).env("NOTIFY_SOCKET", &path));
    listen(&socket, "READY=1");
    for _ in 0..2 {
        listen(&socket, "WATCHDOG=1");
    }
    agent.hang_up();
    let heard = listen(&socket, "READY=1").join(" ");
    assert!(heard.contains("RELOADING=1 MONOTONIC_USEC="), "{heard}");
    assert!(agent.terminate().status.success());
    listen(&socket, "STOPPING=1");
}
