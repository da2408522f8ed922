//! One process that visits many cgroups, and does the same small I/O in each.

use std::fs::{self, File};
use std::io;

use tests::shape::{Shape, Transfer};
use tests::tally::Tally;

use crate::disk::{self, Buffer};

/// What is done in each cgroup.
const STOPS: [Transfer; 3] = [Transfer::Read, Transfer::Write, Transfer::Discard];

/// Visits all of them, and comes home.
pub(crate) fn run(shape: &Shape, home: &str) -> io::Result<Tally> {
    let mut files = STOPS
        .iter()
        .map(|transfer| Ok((*transfer, disk::open(&shape.target, *transfer)?)))
        .collect::<io::Result<Vec<(Transfer, File)>>>()?;
    let mut buffer = Buffer::new(shape.size);
    let mut tally = Tally::default();
    for number in 0..shape.threads {
        enter(&format!("{}/{number}", shape.dir))?;
        for (transfer, file) in &mut files {
            tally += disk::transfer_once(file, *transfer, &mut buffer, 0);
        }
    }
    enter(home)?;
    Ok(tally)
}

fn enter(cgroup: &str) -> io::Result<()> {
    fs::write(format!("{cgroup}/cgroup.procs"), "0")
}
