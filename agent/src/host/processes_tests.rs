//! A fake `/proc`, and this machine's own.

use std::path::PathBuf;

use super::*;

struct Proc(tempfile::TempDir);

impl Proc {
    fn new(uptime: &str) -> Proc {
        let proc = Proc(tempfile::tempdir().unwrap());
        fs::write(proc.path("uptime"), format!("{uptime} 1.00\n")).unwrap();
        fs::write(proc.path("version"), "Linux\n").unwrap();
        proc
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, pid: u32, comm: &[u8], ticks: (u64, u64), start: u64) {
        let mut bytes = format!("{pid} (").into_bytes();
        bytes.extend_from_slice(comm);
        let (user, system) = ticks;
        let rest =
            format!(") S 1 1 1 0 -1 4194560 1 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 9 9\n");
        bytes.extend_from_slice(rest.as_bytes());
        fs::create_dir_all(self.path(&pid.to_string())).unwrap();
        fs::write(self.path(&format!("{pid}/stat")), bytes).unwrap();
    }

    fn exit(&self, pid: u32) {
        fs::remove_dir_all(self.path(&pid.to_string())).unwrap();
    }

    fn all(&self) -> Snapshot {
        Snapshot::all(self.0.path()).unwrap()
    }

    fn of_cgroup(&self, procs: &str) -> Snapshot {
        fs::write(self.path("cgroup.procs"), procs).unwrap();
        Snapshot::read(self.0.path(), &self.path("cgroup.procs")).unwrap()
    }
}

fn shown(usages: &[Usage]) -> Vec<String> {
    usages
        .iter()
        .map(|it| format!("{} {} {}ms", it.pid, it.comm, it.cpu_ns / 1_000_000))
        .collect()
}

#[test]
fn most_first() {
    let proc = Proc::new("50.00");
    proc.run(10, b"nginx", (100, 0), 1000);
    proc.run(11, b"idle", (5, 5), 1000);
    proc.run(12, b"tar", (0, 7), 1000);
    let before = proc.all();
    assert_eq!(before.len(), 3);
    proc.run(10, b"nginx", (103, 1), 1000);
    proc.run(12, b"tar", (0, 70), 1000);
    proc.run(13, b"fresh", (2, 0), 5000);
    let after = proc.all();
    assert_eq!(
        shown(&top(&before, &after, 5)),
        ["12 tar 630ms", "10 nginx 40ms", "13 fresh 20ms"]
    );
    assert_eq!(top(&before, &after, 1).len(), 1);
    assert_eq!(top(&before, &proc.of_cgroup("10\n11\n"), 5).len(), 1);
}

#[test]
fn what_vanished_or_was_never_looked_at() {
    let proc = Proc::new("50.00");
    proc.run(10, b"a", (100, 0), 1000);
    proc.run(11, b"b", (100, 0), 1000);
    let before = proc.of_cgroup("10\n0\n999\nx\n");
    proc.exit(10);
    proc.run(12, b"reused", (900, 0), 1200);
    let after = proc.all();
    // 11 and 12 ran before the first look: what they used since is unknown.
    assert_eq!(top(&before, &after, 5), []);
}

#[test]
fn a_reused_pid_is_another_process() {
    let proc = Proc::new("50.00");
    proc.run(10, b"old", (100, 0), 1000);
    let before = proc.all();
    proc.run(10, b"new", (3, 0), 5001);
    assert_eq!(shown(&top(&before, &proc.all(), 5)), ["10 new 30ms"]);
}

#[test]
fn names_of_any_bytes() {
    let proc = Proc::new("0.00");
    for (pid, comm, name) in [
        (1, &b"a) S (b"[..], "a) S (b"),
        (2, b") ) )", ") ) )"),
        (3, b"new\nline \xff", "new\\x0aline \\xff"),
        (4, b"", ""),
    ] {
        proc.run(pid, comm, (1, 0), 10);
        let usage = top(&Snapshot::default(), &proc.of_cgroup(&pid.to_string()), 1);
        assert_eq!(usage[0].comm, name);
    }
}

#[test]
fn broken_files_are_left_out() {
    for stat in [
        "",
        "1",
        "1 (x",
        "1 )x( S",
        "1 (x) S 1",
        "1 (x) S 1 1 1 0 -1 0 1 0 0 0 a b 0 0 20 0 1 0 5",
    ] {
        assert_eq!(parse(stat.as_bytes()), None, "{stat:?}");
    }
    let huge = u64::MAX;
    let stat = format!("1 (x) S 1 1 1 0 -1 0 1 0 0 0 {huge} {huge} 0 0 20 0 1 0 5");
    assert_eq!(parse(stat.as_bytes()).unwrap().cpu_ns, huge);
}

#[test]
fn this_machine() {
    let proc = Path::new("/proc");
    let snapshot = Snapshot::all(proc).unwrap();
    let own = std::process::id();
    assert!(snapshot.processes.contains_key(&own));
    // Half a second in hand: start times are in ticks, and a time namespace may shift them.
    assert!(snapshot.processes[&own].start_ticks <= snapshot.taken_ticks + 50);
    assert!(
        top(&snapshot, &snapshot, 3)
            .iter()
            .all(|usage| usage.pid != own)
    );
}
