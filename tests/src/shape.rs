//! What a load does: one description that the tests write and the `loads` program reads.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each thread burns CPU.
    Spin,
    /// Each thread wakes up every `period`, burns `work` and sleeps again.
    Sleeper,
    /// Each thread gives up the CPU without pause.
    Yield,
    /// `threads` pairs of threads hand one byte to and fro through pipes.
    PingPong,
    /// Each thread spins and moves itself to the next CPU every `period`.
    Migrate,
    /// Threads contend for one mutex, holding it for `work`.
    Mutex,
    /// One thread starts `count` processes that burn `work` of CPU each and stay, asleep, until the load ends.
    Fork,
    /// Makes a cgroup, runs a child in it for `work`, removes it again, `count` times, below the directory `dir`.
    Churn,
    /// A writer and a reader of a pseudo-terminal, whose bytes a kernel worker carries.
    Pty,
    /// Each thread does this to the file or device `dir`, `count` times `size` bytes in a region of its own.
    Disk(Transfer),
    /// One process visits the cgroups `dir/0` to `dir/<threads - 1>`, and in each of them reads, writes and discards
    /// `size` bytes of the device `target`.
    Tour,
}

/// One operation on a file or device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Reads past the page cache.
    Read,
    /// Writes past the page cache.
    Write,
    /// Writes past the page cache and past the cache of the device.
    SyncWrite,
    /// Writes past the page cache, and flushes the cache of the device.
    WriteFlush,
    /// Writes into the page cache, and leaves the rest to the kernel.
    Buffered,
    /// Tells the device that the content is not needed.
    Discard,
}

const MODES: [(Mode, &str); 16] = [
    (Mode::Spin, "spin"),
    (Mode::Sleeper, "sleeper"),
    (Mode::Yield, "yield"),
    (Mode::PingPong, "pingpong"),
    (Mode::Migrate, "migrate"),
    (Mode::Mutex, "mutex"),
    (Mode::Fork, "fork"),
    (Mode::Churn, "churn"),
    (Mode::Pty, "pty"),
    (Mode::Disk(Transfer::Read), "read"),
    (Mode::Disk(Transfer::Write), "write"),
    (Mode::Disk(Transfer::SyncWrite), "sync-write"),
    (Mode::Disk(Transfer::WriteFlush), "write-flush"),
    (Mode::Disk(Transfer::Buffered), "buffered"),
    (Mode::Disk(Transfer::Discard), "discard"),
    (Mode::Tour, "tour"),
];

/// When a load ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After this much time.
    Wall(Duration),
    /// When each thread has used this much CPU.
    Cpu(Duration),
    /// When it is told to, or after `count` rounds for the loads that count.
    Stop,
}

/// A load's description; unset parts have small, harmless defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What the threads do.
    pub mode: Mode,
    /// How many threads (or pairs) do it.
    pub threads: usize,
    /// When they stop.
    pub limit: Limit,
    /// Rounds, for the loads that count.
    pub count: usize,
    /// Time between two wake-ups or moves.
    pub period: Duration,
    /// Work done at each wake-up, or by each child.
    pub work: Duration,
    /// Bytes of one request.
    pub size: usize,
    /// Directory below which `Churn` makes its cgroups, and `Tour` finds them.
    pub dir: String,
    /// File or device of the loads that read or write; without commas.
    pub target: String,
}

impl Shape {
    /// A load of one thread that runs until it is told to stop.
    pub fn new(mode: Mode) -> Self {
        let milli = Duration::from_millis(1);
        Self {
            mode,
            threads: 1,
            limit: Limit::Stop,
            count: 1,
            period: milli,
            work: milli / 10,
            size: 4096,
            dir: String::new(),
            target: String::new(),
        }
    }

    /// Sets the number of threads.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    /// Ends after this much time.
    #[must_use]
    pub fn wall(self, time: Duration) -> Self {
        Self {
            limit: Limit::Wall(time),
            ..self
        }
    }

    /// Ends when each thread has used this much CPU.
    #[must_use]
    pub fn cpu_time(self, time: Duration) -> Self {
        Self {
            limit: Limit::Cpu(time),
            ..self
        }
    }

    /// Sets the number of rounds.
    #[must_use]
    pub fn count(self, count: usize) -> Self {
        Self { count, ..self }
    }

    /// Sets the time between two wake-ups or moves.
    #[must_use]
    pub fn period(self, period: Duration) -> Self {
        Self { period, ..self }
    }

    /// Sets the work done each time.
    #[must_use]
    pub fn work(self, work: Duration) -> Self {
        Self { work, ..self }
    }

    /// Sets the bytes of one request.
    #[must_use]
    pub fn size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    /// Sets the file or device.
    #[must_use]
    pub fn target(self, target: &std::path::Path) -> Self {
        Self {
            target: target.display().to_string(),
            ..self
        }
    }

    /// Sets the directory in which cgroups are made.
    #[must_use]
    pub fn dir(self, dir: &std::path::Path) -> Self {
        Self {
            dir: dir.display().to_string(),
            ..self
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = MODES
            .iter()
            .find(|(mode, _)| *mode == self.mode)
            .map_or("?", |(_, name)| name);
        let limit = match self.limit {
            Limit::Wall(time) => format!("wall:{}", time.as_nanos()),
            Limit::Cpu(time) => format!("cpu:{}", time.as_nanos()),
            Limit::Stop => "stop:0".to_owned(),
        };
        let (period, work) = (self.period.as_nanos(), self.work.as_nanos());
        write!(
            f,
            "{name},{},{limit},{},{period},{work},{},{},{}",
            self.threads, self.count, self.size, self.target, self.dir
        )
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.splitn(9, ',').collect();
        let [mode, threads, limit, count, period, work, size, target, dir] = fields[..] else {
            return Err(format!(
                "a load has nine fields, not {}: {text}",
                fields.len()
            ));
        };
        Ok(Self {
            mode: parse_mode(mode)?,
            threads: number(threads)?,
            limit: parse_limit(limit)?,
            count: number(count)?,
            period: Duration::from_nanos(number(period)?),
            work: Duration::from_nanos(number(work)?),
            size: number(size)?,
            target: target.to_owned(),
            dir: dir.to_owned(),
        })
    }
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    MODES
        .iter()
        .find(|(_, name)| *name == text)
        .map(|(mode, _)| *mode)
        .ok_or_else(|| format!("unknown load {text}"))
}

fn parse_limit(text: &str) -> Result<Limit, String> {
    let (kind, nanos) = text
        .split_once(':')
        .ok_or_else(|| format!("bad limit {text}"))?;
    let time = Duration::from_nanos(number(nanos)?);
    match kind {
        "wall" => Ok(Limit::Wall(time)),
        "cpu" => Ok(Limit::Cpu(time)),
        "stop" => Ok(Limit::Stop),
        _ => Err(format!("bad limit {text}")),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("bad number {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_writes_the_load_reads() {
        for (mode, _) in MODES {
            let shape = Shape::new(mode)
                .threads(3)
                .wall(Duration::from_micros(7))
                .count(9)
                .size(512)
                .target("/dev/a".as_ref())
                .dir("/a,b".as_ref());
            assert_eq!(shape.to_string().parse(), Ok(shape));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "spin",
            "nap,1,stop:0,1,1,1,1,,",
            "spin,x,stop:0,1,1,1,1,,",
            "spin,1,soon:1,1,1,1,1,,",
            "spin,1,stop:0,1,1,1,,",
        ] {
            assert!(text.parse::<Shape>().is_err(), "{text} was taken");
        }
    }
}
