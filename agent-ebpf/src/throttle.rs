//! When a CPU quota held a run queue back, and what remains of a wait besides.

use bytemuck::{Pod, Zeroable};

use crate::{layout::hash, opaque};

/// Tracks for each CPU.
pub const TRACKS: u32 = 128;
/// Places where a run queue's track may be.
pub const PROBES: u32 = 4;
/// Intervals that a track keeps.
pub const INTERVALS: usize = 30;
/// Parts of a wait between throttled intervals, at most.
pub const WINDOWS: usize = 32;

/// An interval in the run queue's clock.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Zeroable, Pod)]
pub struct Interval {
    /// Start.
    pub start: u64,
    /// End.
    pub end: u64,
}

/// The latest throttled intervals of one `cfs_rq`, by its own or any ancestor's quota.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Track {
    /// [`mark`] of the `cfs_rq`; 0 is empty.
    pub tag: u64,
    /// `throttled_clock_self_time` when it was last read.
    pub self_time: u64,
    /// Start of the interval that has not ended; 0 is none.
    pub open: u64,
    /// Where the next interval goes.
    next: u32,
    /// Intervals kept.
    kept: u32,
    /// The ring of intervals.
    intervals: [Interval; INTERVALS],
}

/// The identity of a run queue, from the low half of its address: never 0.
#[inline(always)]
pub fn mark(address: u32) -> u64 {
    address as u64 | 1
}

/// The first place to look for a run queue's track.
#[inline(always)]
pub fn track_of(cfs_rq: u64) -> u32 {
    (hash(cfs_rq) as u32) & (TRACKS - 1)
}

/// The parts of a wait that are not throttled, latest first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct Windows {
    /// Parts in use.
    pub count: u64,
    /// Parts.
    pub parts: [Interval; WINDOWS],
}

impl Windows {
    /// One window: a wait that nothing throttled.
    #[inline(always)]
    pub fn whole(&mut self, wait: Interval) {
        self.count = 1;
        self.parts[0] = wait;
    }

    /// Window `index`.
    #[inline(always)]
    pub fn part(&self, index: u64) -> Interval {
        self.parts[opaque(index as usize) & (WINDOWS - 1)]
    }

    #[inline(always)]
    fn push(&mut self, start: u64, end: u64) {
        if end > start {
            self.parts[opaque(self.count as usize) & (WINDOWS - 1)] = Interval { start, end };
            self.count += 1;
        }
    }
}

impl Track {
    /// Makes it the track of another run queue.
    #[inline(always)]
    pub fn reset(&mut self, tag: u64, self_time: u64) {
        self.tag = tag;
        self.self_time = self_time;
        self.open = 0;
        self.next = 0;
        self.kept = 0;
    }

    #[inline(always)]
    fn interval(&self, index: u64) -> Interval {
        let index = opaque(index as usize);
        if index < INTERVALS {
            self.intervals[index]
        } else {
            Interval::default()
        }
    }

    /// Records an interval that ended.
    #[inline(always)]
    pub fn push(&mut self, interval: Interval) {
        let index = opaque(self.next as usize);
        if index < INTERVALS {
            self.intervals[index] = interval;
        }
        self.next = if index + 1 < INTERVALS {
            index as u32 + 1
        } else {
            0
        };
        if self.kept < INTERVALS as u32 {
            self.kept += 1;
        }
    }
}

/// The way back through the intervals of a track, which splits a wait into what was throttled and
/// the windows around it. It lives in a map, as [`crate::walk::Walk`] does and for the same reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Zeroable, Pod)]
pub struct Split {
    /// Throttled so far, nanoseconds.
    pub throttled: u64,
    start: u64,
    /// From here on it is done.
    end: u64,
    /// Behind the next interval in the ring.
    index: u64,
    left: u64,
}

impl Split {
    /// Starts at the wait's end, with a throttle that has not ended.
    #[inline(always)]
    pub fn start(&mut self, track: &Track, wait: Interval, windows: &mut Windows) {
        windows.count = 0;
        *self = Split {
            throttled: 0,
            start: wait.start,
            end: wait.end,
            index: track.next as u64,
            left: track.kept as u64,
        };
        if track.open != 0 && track.open < wait.end {
            let from = if track.open > wait.start {
                track.open
            } else {
                wait.start
            };
            self.throttled = wait.end - from;
            self.end = from;
        }
    }

    /// Takes the interval before; `false` when there is none that matters. Then the last window
    /// is there too.
    #[inline(always)]
    pub fn step(&mut self, track: &Track, windows: &mut Windows) -> bool {
        let interval = if self.left == 0 || self.end <= self.start {
            Interval::default()
        } else {
            self.left -= 1;
            self.index = if self.index == 0 {
                INTERVALS as u64 - 1
            } else {
                self.index - 1
            };
            track.interval(self.index)
        };
        if interval.end <= self.start {
            windows.push(self.start, self.end);
            return false;
        }
        let until = if interval.end < self.end {
            interval.end
        } else {
            self.end
        };
        let from = if interval.start > self.start {
            interval.start
        } else {
            self.start
        };
        if from < until {
            self.throttled += until - from;
            windows.push(until, self.end);
            self.end = from;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(lengths: &[(u64, u64)]) -> (Track, Vec<Interval>) {
        let mut track: Track = Zeroable::zeroed();
        let (mut now, mut all) = (1_000, Vec::new());
        for &(gap, length) in lengths {
            let start = now + gap;
            now = start + length;
            track.push(Interval { start, end: now });
            all.push(Interval { start, end: now });
        }
        let kept = all.len().saturating_sub(INTERVALS);
        (track, all.split_off(kept))
    }

    fn split(track: &Track, wait: Interval, windows: &mut Windows) -> u64 {
        let mut split = Split::default();
        split.start(track, wait, windows);
        let mut steps = 0;
        while split.step(track, windows) {
            steps += 1;
            assert!(steps <= INTERVALS, "a split without end");
        }
        split.throttled
    }

    proptest! {
        #[test]
        fn windows_and_throttled_time_tile_the_wait(
            lengths in prop::collection::vec((1u64..500, 1u64..500), 0..=2 * INTERVALS),
            start in 0u64..30_000,
            length in 0u64..20_000,
            open in prop::option::of(0u64..500),
        ) {
            let (mut track, mut all) = track(&lengths);
            let wait = Interval { start, end: start + length };
            if let Some(after) = open {
                track.open = all.last().map_or(1_000, |last| last.end) + 1 + after;
                all.push(Interval { start: track.open, end: u64::MAX });
            }
            let mut windows: Windows = Zeroable::zeroed();
            let throttled = split(&track, wait, &mut windows);

            let expected: u64 = all
                .iter()
                .map(|i| i.end.min(wait.end).saturating_sub(i.start.max(wait.start)))
                .sum();
            prop_assert_eq!(throttled, expected);
            let parts = &windows.parts[..windows.count as usize];
            let outside: u64 = parts.iter().map(|part| part.end - part.start).sum();
            prop_assert_eq!(throttled + outside, length);
            prop_assert!(parts.windows(2).all(|pair| pair[1].end <= pair[0].start));
            for part in parts {
                prop_assert!(all.iter().all(|i| i.end <= part.start || i.start >= part.end));
            }
        }
    }

    #[test]
    fn a_wait_over_many_periods_keeps_all_of_them() {
        let (track, _) = track(&[(20, 80); 10]);
        let mut windows: Windows = Zeroable::zeroed();
        let throttled = split(
            &track,
            Interval {
                start: 1_000,
                end: 2_000,
            },
            &mut windows,
        );
        assert_eq!((throttled, windows.count), (800, 10));
    }
}
