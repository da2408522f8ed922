//! Reads and writes of known number and size.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::time::Instant;

use tests::shape::{Shape, Transfer};
use tests::sys;
use tests::tally::Tally;

use crate::course::{Course, Started};
use crate::crew::Job;

/// Direct I/O wants memory, and places in the file, that are whole blocks of any device.
const BLOCK: usize = 4096;

/// A thread for each region of the target.
pub(crate) fn jobs(shape: &Shape, transfer: Transfer, cpus: &[usize]) -> Result<Vec<Job>, String> {
    let job = |number| {
        let mut region = Region::open(shape, transfer, number)
            .map_err(|error| format!("{}: {error}", shape.target))?;
        let shape = shape.clone();
        Ok(Job {
            cpus: cpus.to_vec(),
            work: Box::new(move |course| work(&shape, transfer, &mut region, course)),
        })
    };
    (0..shape.threads).map(job).collect()
}

fn work(shape: &Shape, transfer: Transfer, region: &mut Region, course: &Course) {
    let started = Started::now();
    let mut tally = Tally::default();
    // Without a count it goes on to the end.
    let rounds = if shape.count == 0 {
        usize::MAX
    } else {
        shape.count
    };
    for _ in 0..rounds {
        if course.over(&started) {
            break;
        }
        tally += region.next(transfer);
    }
    course.add(tally);
}

/// Opens a target for one kind of operation.
pub(crate) fn open(target: &str, transfer: Transfer) -> io::Result<File> {
    let flags = match transfer {
        Transfer::Read | Transfer::Write | Transfer::WriteFlush => libc::O_DIRECT,
        Transfer::SyncWrite => libc::O_DIRECT | libc::O_DSYNC,
        Transfer::Buffered | Transfer::Discard => 0,
    };
    OpenOptions::new()
        .read(true)
        .write(transfer != Transfer::Read)
        .create(transfer == Transfer::Buffered)
        .custom_flags(flags)
        .open(target)
}

/// A part of the target that one thread goes through, again and again.
struct Region {
    file: File,
    buffer: Buffer,
    start: u64,
    slots: u64,
    next: u64,
}

impl Region {
    fn open(shape: &Shape, transfer: Transfer, number: usize) -> io::Result<Self> {
        let mut file = open(&shape.target, transfer)?;
        let size = shape.size as u64;
        if transfer == Transfer::Buffered {
            // Whoever first changes a file is whom its write-back is charged to.
            file.set_len(size * (shape.count * shape.threads) as u64)?;
        }
        let slots = file.seek(SeekFrom::End(0))? / size / shape.threads as u64;
        if slots == 0 {
            return Err(io::Error::other("too small for one request a thread"));
        }
        Ok(Self {
            file,
            buffer: Buffer::new(shape.size),
            start: number as u64 * slots * size,
            slots,
            next: 0,
        })
    }

    fn next(&mut self, transfer: Transfer) -> Tally {
        let place = self.start + self.next % self.slots * self.buffer.size as u64;
        self.next += 1;
        transfer_once(&self.file, transfer, &mut self.buffer, place)
    }
}

/// One operation, and what came of it.
pub(crate) fn transfer_once(
    file: &File,
    transfer: Transfer,
    buffer: &mut Buffer,
    place: u64,
) -> Tally {
    let (size, start) = (buffer.size, Instant::now());
    let got = match transfer {
        Transfer::Read => file.read_at(buffer.bytes(), place),
        Transfer::Write | Transfer::SyncWrite | Transfer::Buffered => {
            file.write_at(buffer.bytes(), place)
        }
        Transfer::WriteFlush => file
            .write_at(buffer.bytes(), place)
            .and_then(|bytes| file.sync_data().map(|()| bytes)),
        Transfer::Discard => sys::discard(file, place, size as u64).map(|()| size),
    };
    Tally::of(size, got.ok(), start.elapsed())
}

/// Memory of whole blocks.
pub(crate) struct Buffer {
    memory: Vec<u8>,
    size: usize,
}

impl Buffer {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            memory: vec![0xa5; size + BLOCK],
            size,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.memory.as_ptr().align_offset(BLOCK);
        &mut self.memory[start..start + self.size]
    }
}
