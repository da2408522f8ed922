//! The course of a load: when it is over, and the child processes that it keeps.

use std::hint::black_box;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::shape::Limit;
use tests::sys;
use tests::tally::Tally;

/// What all threads of a load share while it runs.
#[derive(Debug)]
pub(crate) struct Course {
    limit: Limit,
    stop: AtomicBool,
    children: Mutex<Vec<Child>>,
    /// Of the threads that read or write, as each of them ends.
    tally: Mutex<Option<Tally>>,
}

impl Course {
    pub(crate) const fn new(limit: Limit) -> Self {
        Self {
            limit,
            stop: AtomicBool::new(false),
            children: Mutex::new(Vec::new()),
            tally: Mutex::new(None),
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether a thread that started its work then has done enough.
    pub(crate) fn over(&self, started: &Started) -> bool {
        match self.limit {
            _ if self.stop.load(Ordering::Relaxed) => true,
            Limit::Wall(time) => started.at.elapsed() >= time,
            Limit::Cpu(time) => cpu_time() >= started.cpu + time,
            Limit::Stop => false,
        }
    }

    /// Adds what one thread did.
    pub(crate) fn add(&self, tally: Tally) {
        let mut sum = self.tally.lock().expect("no thread panics with it");
        *sum.get_or_insert_default() += tally;
    }

    /// What all threads did; nothing where they do not count it.
    pub(crate) fn tally(&self) -> Option<Tally> {
        *self.tally.lock().expect("no thread panics with it")
    }

    /// Keeps a child until the load is dismissed.
    pub(crate) fn keep(&self, child: Child) {
        self.children
            .lock()
            .expect("no thread panics with it")
            .push(child);
    }

    /// Ends all children, which exit when their standard input closes, and waits for them.
    pub(crate) fn release_children(&self) {
        for mut child in self
            .children
            .lock()
            .expect("no thread panics with it")
            .drain(..)
        {
            child.stdin.take();
            let _ = child.wait();
        }
    }
}

/// When the calling thread started its work, in both kinds of time.
#[derive(Debug)]
pub(crate) struct Started {
    at: Instant,
    cpu: Duration,
}

impl Started {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            cpu: cpu_time(),
        }
    }
}

fn cpu_time() -> Duration {
    sys::thread_cpu_time().expect("a thread can read its own clock")
}

/// Burns CPU for this long.
pub(crate) fn burn(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        turn();
    }
}

/// A few microseconds of arithmetic. No pause instruction: a hypervisor may take the CPU away at it.
pub(crate) fn turn() {
    let mut value = 1_u64;
    for step in 0..2_000 {
        value = black_box(
            value
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step),
        );
    }
}
