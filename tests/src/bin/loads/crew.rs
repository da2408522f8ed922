//! The threads of a load, held at a gate before their work and at another after it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tests::shape::Limit;
use tests::sys;
use tests::tally::Tally;

use crate::course::Course;

/// What one thread does, and where.
pub(crate) struct Job {
    pub(crate) cpus: Vec<usize>,
    pub(crate) work: Box<dyn FnOnce(&Course) + Send>,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().expect("no thread panics with it") = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().expect("no thread panics with it");
        drop(
            self.opened
                .wait_while(open, |open| !*open)
                .expect("no thread panics with it"),
        );
    }
}

struct Shared {
    course: Course,
    start: Gate,
}

/// Threads that wait for their start.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    reports: Receiver<Result<(), String>>,
    size: usize,
}

impl Crew {
    /// Starts a thread for each job and waits until each is where it belongs.
    pub(crate) fn park(jobs: Vec<Job>, policy: &str, limit: Limit) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            course: Course::new(limit),
            start: Gate::default(),
        });
        let (sender, reports) = channel();
        let size = jobs.len();
        for job in jobs {
            let (shared, sender, policy) = (Arc::clone(&shared), sender.clone(), policy.to_owned());
            thread::spawn(move || work(job, &policy, &shared, &sender));
        }
        let crew = Self {
            shared,
            reports,
            size,
        };
        crew.hear_all()?;
        Ok(crew)
    }

    pub(crate) fn start(&self) {
        self.shared.start.open();
    }

    pub(crate) fn stop(&self) {
        self.shared.course.stop();
    }

    /// Waits until each thread has done its job; what they did, where they count it.
    pub(crate) fn wait_done(&mut self) -> Option<Tally> {
        self.hear_all().expect("a job cannot fail");
        self.shared.course.tally()
    }

    pub(crate) fn dismiss(self) {
        self.shared.course.release_children();
    }

    fn hear_all(&self) -> Result<(), String> {
        self.reports.iter().take(self.size).collect()
    }
}

fn work(job: Job, policy: &str, shared: &Shared, sender: &Sender<Result<(), String>>) {
    let settled = settle(&job.cpus, policy);
    let failed = settled.is_err();
    let _ = sender.send(settled);
    if failed {
        return;
    }
    shared.start.pass();
    (job.work)(&shared.course);
    let _ = sender.send(Ok(()));
    loop {
        // The exit of the process ends it: until then its schedstat stays readable.
        thread::park();
    }
}

fn settle(cpus: &[usize], policy: &str) -> Result<(), String> {
    if !cpus.is_empty() {
        sys::set_affinity(cpus)
            .map_err(|error| format!("unsupported: affinity {cpus:?}: {error}"))?;
    }
    let policy = match policy {
        "idle" => (libc::SCHED_IDLE, 0),
        "fifo" => (libc::SCHED_FIFO, 1),
        _ => return Ok(()),
    };
    sys::set_policy(policy.0, policy.1)
        .map_err(|error| format!("unsupported: policy {policy:?}: {error}"))
}
