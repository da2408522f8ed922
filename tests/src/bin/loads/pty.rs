//! Bytes through a pseudo-terminal: what is written on one side is carried to the other by a kernel worker.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use tests::sys;

use crate::course::{Course, Started};
use crate::crew::Job;

/// A writer at the slave side and a reader at the master side.
pub(crate) fn jobs(cpus: &[usize]) -> io::Result<Vec<Job>> {
    let (master, path) = sys::open_pty()?;
    let slave = OpenOptions::new().read(true).write(true).open(path)?;
    let mut master = File::from(master);
    let write = Box::new(move |course: &Course| {
        let started = Started::now();
        let mut slave = slave;
        while !course.over(&started) && slave.write_all(&[b'x'; 2048]).is_ok() {}
    });
    let read = Box::new(move |_: &Course| {
        let mut buffer = [0; 4096];
        // Fails with EIO when the slave side is closed.
        while master.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    });
    Ok(vec![
        Job {
            cpus: cpus.to_vec(),
            work: write,
        },
        Job {
            cpus: cpus.to_vec(),
            work: read,
        },
    ])
}
