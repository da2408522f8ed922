//! What a load that reads or writes did, by its own count and clock.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;
use std::time::Duration;

/// Sum over the requests of one load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were made, each for one request.
    pub requests: u64,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Of the calls, those that failed or transferred less than asked for.
    pub errors: u64,
    /// Time in all calls together.
    pub time: Duration,
    /// The longest call.
    pub longest: Duration,
}

impl Tally {
    /// One call that took this long.
    pub fn of(asked: usize, got: Option<usize>, time: Duration) -> Self {
        Self {
            requests: 1,
            bytes: got.unwrap_or(0) as u64,
            errors: u64::from(got != Some(asked)),
            time,
            longest: time,
        }
    }

    /// Time of a call on average, in seconds.
    pub fn mean_s(&self) -> f64 {
        self.time.as_secs_f64() / self.requests as f64
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.time += other.time;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            bytes,
            errors,
            time,
            longest,
        } = self;
        let (time, longest) = (time.as_nanos(), longest.as_nanos());
        write!(f, "{requests} {bytes} {errors} {time} {longest}")
    }
}

impl FromStr for Tally {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
        match numbers.as_deref() {
            Ok([requests, bytes, errors, time, longest]) => Ok(Self {
                requests: *requests,
                bytes: *bytes,
                errors: *errors,
                time: Duration::from_nanos(*time),
                longest: Duration::from_nanos(*longest),
            }),
            _ => Err(format!("no tally: {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_says_a_test_reads() {
        let mut tally = Tally::of(512, Some(512), Duration::from_nanos(7));
        tally += Tally::of(512, None, Duration::from_nanos(9));
        assert_eq!((tally.requests, tally.bytes, tally.errors), (2, 512, 1));
        assert_eq!(tally.to_string().parse(), Ok(tally));
        assert!("1 2 3".parse::<Tally>().is_err());
    }
}
