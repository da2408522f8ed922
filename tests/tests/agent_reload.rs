//! Settings of a running agent change with their file, and a wrong file changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::agent::Agent;
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
