//! What the threads of each load do.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tests::shape::{Mode, Shape};
use tests::sys;

use crate::course::{Course, Started, burn, turn};
use crate::crew::Job;
use crate::disk;
use crate::pty;

/// Whether a load goes on until it is told to stop.
pub(crate) const fn endless(shape: &Shape) -> bool {
    match shape.mode {
        Mode::Fork | Mode::Churn | Mode::Tour => false,
        Mode::Disk(_) => shape.count == 0,
        _ => true,
    }
}

/// The jobs of a load, all on these CPUs (or anywhere, when there are none).
pub(crate) fn of(shape: &Shape, cpus: &[usize]) -> Result<Vec<Job>, String> {
    match shape.mode {
        Mode::Spin => Ok(alike(shape, cpus, spin)),
        Mode::Sleeper => Ok(alike(shape, cpus, sleeper)),
        Mode::Yield => Ok(alike(shape, cpus, yielder)),
        Mode::Migrate => Ok(alike(shape, cpus, migrate)),
        Mode::Mutex => Ok(mutex(shape, cpus)),
        Mode::Fork => Ok(alike(&shape.clone().threads(1), cpus, fork)),
        Mode::PingPong => {
            ping_pong(shape, cpus).map_err(|error| format!("unsupported: pipe: {error}"))
        }
        Mode::Pty => {
            pty::jobs(cpus).map_err(|error| format!("unsupported: pseudo-terminal: {error}"))
        }
        Mode::Disk(transfer) => disk::jobs(shape, transfer, cpus),
        Mode::Churn | Mode::Tour => Err("it has no threads".to_owned()),
    }
}

fn alike(shape: &Shape, cpus: &[usize], work: fn(&Shape, &Course)) -> Vec<Job> {
    let job = |_| {
        let shape = shape.clone();
        Job {
            cpus: cpus.to_vec(),
            work: Box::new(move |course| work(&shape, course)),
        }
    };
    (0..shape.threads).map(job).collect()
}

fn spin(_: &Shape, course: &Course) {
    let started = Started::now();
    while !course.over(&started) {
        turn();
    }
}

fn sleeper(shape: &Shape, course: &Course) {
    let started = Started::now();
    while !course.over(&started) {
        thread::sleep(shape.period);
        burn(shape.work);
    }
}

fn yielder(_: &Shape, course: &Course) {
    let started = Started::now();
    while !course.over(&started) {
        thread::yield_now();
    }
}

fn migrate(shape: &Shape, course: &Course) {
    let started = Started::now();
    let cpus = sys::allowed_cpus().unwrap_or_default();
    for &cpu in cpus.iter().cycle() {
        if course.over(&started) || sys::set_affinity(&[cpu]).is_err() {
            return;
        }
        burn(shape.period);
    }
}

fn mutex(shape: &Shape, cpus: &[usize]) -> Vec<Job> {
    let lock = Arc::new(Mutex::new(()));
    let job = |_| {
        let (lock, work) = (Arc::clone(&lock), shape.work);
        let contend = move |course: &Course| {
            let started = Started::now();
            while !course.over(&started) {
                let held = lock.lock();
                burn(work);
                drop(held);
            }
        };
        Job {
            cpus: cpus.to_vec(),
            work: Box::new(contend),
        }
    };
    (0..shape.threads).map(job).collect()
}

fn fork(shape: &Shape, course: &Course) {
    let child = Shape::new(Mode::Spin).cpu_time(shape.work);
    for _ in 0..shape.count {
        let mut child = Command::new("/proc/self/exe")
            .args(["-", "", "other", &child.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a load can start itself");
        child
            .stdin
            .as_mut()
            .expect("piped")
            .write_all(b"go\n")
            .expect("the child reads");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Ends with the line "done": the child then sleeps until it is released.
        let done = lines.map_while(Result::ok).any(|line| line == "done");
        assert!(done, "a child ended before its work was done");
        course.keep(child);
    }
}

/// The two threads of a pair share a CPU, so each exchange is a switch.
fn ping_pong(shape: &Shape, cpus: &[usize]) -> std::io::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for pair in 0..shape.threads {
        let cpus: Vec<usize> = cpus
            .iter()
            .copied()
            .cycle()
            .skip(pair)
            .take(1.min(cpus.len()))
            .collect();
        let ((here, there), (near, far)) = (pipe()?, pipe()?);
        jobs.push(Job {
            cpus: cpus.clone(),
            work: Box::new(move |course| serve(here, far, course)),
        });
        jobs.push(Job {
            cpus,
            work: Box::new(move |_| answer(near, there)),
        });
    }
    Ok(jobs)
}

fn serve(mut from: PipeReader, mut to: PipeWriter, course: &Course) {
    let started = Started::now();
    let mut byte = [0];
    while !course.over(&started)
        && to.write_all(&byte).is_ok()
        && from.read_exact(&mut byte).is_ok()
    {}
}

fn answer(mut from: PipeReader, mut to: PipeWriter) {
    let mut byte = [0];
    while from.read_exact(&mut byte).is_ok() && to.write_all(&byte).is_ok() {}
}
