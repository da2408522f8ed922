//! Receivers of OTLP that others wrote, each a process of its own on loopback, with a folder that goes with it.
//!
//! `CROSSTALK_RECEIVERS` names the folder of their programs; by default it is where set-up puts them.

pub mod python;
mod rotel;
mod victoria_metrics;

use std::ffi::OsStr;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use self::rotel::Rotel;
pub use self::victoria_metrics::{Series, VictoriaMetrics};

/// The program of a receiver; the error is the capability that this machine lacks.
fn program(name: &str) -> Result<PathBuf, String> {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/receivers/bin").into();
    let folder = std::env::var_os("CROSSTALK_RECEIVERS").map_or_else(default, PathBuf::from);
    let program = folder.join(name);
    let is_there = program.exists();
    is_there
        .then_some(program)
        .ok_or_else(|| format!("the receiver {name}"))
}

/// A port of loopback that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Asks again and again; panics after half a minute.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "not seen in half a minute: {what}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A receiver's process. Dropped, it is ended and waited for, before its folder goes.
#[derive(Debug)]
struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts it with a log of all that it says, and waits until it listens on all these ports.
    fn start<Arg: AsRef<OsStr>>(
        mut command: Command,
        folder: TempDir,
        args: &[Arg],
        ports: &[u16],
    ) -> Self {
        let log = File::create(folder.path().join("log")).expect("a folder of our own");
        let also = log.try_clone().expect("a descriptor");
        let command = command.args(args).stdin(Stdio::null());
        let child = command.stdout(log).stderr(also).spawn();
        let mut server = Self {
            child: child.expect("set-up has seen it start"),
            folder,
        };
        for port in ports {
            wait_until("a receiver that listens", || {
                let ended = server.child.try_wait().expect("our own child");
                assert!(ended.is_none(), "{ended:?}: {}", server.log());
                TcpStream::connect(("127.0.0.1", *port)).is_ok()
            });
        }
        server
    }

    fn log(&self) -> String {
        let log =
            std::fs::read(self.folder.path().join("log")).expect("it is there from the start");
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
