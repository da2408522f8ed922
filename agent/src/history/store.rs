//! What is kept of the past, and for how long. Pure: its time is the sum of the intervals that it
//! was given.
//!
//! An interval arrives whole and stays so for a minute or two. Then a minute of them becomes one
//! slice of all entities, and of its seconds those are kept that lost time, or took it, in that
//! minute or in one beside it: so whoever lost time in a window of a minute is in all of it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use flate2::Compression;

use super::{
    Malformed,
    dictionary::Dictionary,
    named::{named, with_others_together},
    packed::{pack, unpack},
    slice::Slice,
    window::{Extent, Found, Window},
};
use crate::model::{Consecutive, Key, Model};

/// Memory of a store at most, bytes.
pub const BUDGET: usize = 8 << 20;

/// What one slice is in the end.
const MINUTE: Duration = Duration::from_mins(1);
/// So much is whole.
const WHOLE: Duration = Duration::from_mins(2);
/// So far back there are seconds of those that lost time.
const SECONDS: Duration = Duration::from_mins(15);
/// So far back there are minutes.
const MINUTES: Duration = Duration::from_hours(2);
/// A window of seconds is no longer: of longer ones only minutes tell all of everybody.
const LONGEST_OF_SECONDS: Duration = MINUTE;
/// A packed slice takes so much beside its bytes, at most.
const PACKED: usize = 128;

/// Some slices.
#[derive(Clone, Debug)]
struct Packed {
    from: Duration,
    to: Duration,
    bytes: Bytes,
}

/// An interval as it arrived.
#[derive(Debug)]
struct Fresh {
    packed: Packed,
    /// Keys of those who lost time in it, or took it, by number.
    named: Vec<u32>,
}

/// The past.
#[derive(Debug)]
pub struct Store {
    budget: usize,
    names: Dictionary,
    minutes: VecDeque<Packed>,
    seconds: VecDeque<Packed>,
    fresh: VecDeque<Fresh>,
    /// Those named in the newest minute.
    named: BTreeSet<u32>,
    end: Duration,
}

impl Store {
    /// An empty one.
    pub fn new(budget: usize) -> Store {
        Store {
            budget,
            names: Dictionary::default(),
            minutes: VecDeque::new(),
            seconds: VecDeque::new(),
            fresh: VecDeque::new(),
            named: BTreeSet::new(),
            end: Duration::ZERO,
        }
    }

    /// Adds the interval that follows. When it cannot be encoded, nothing is remembered of it.
    pub fn add(&mut self, model: &Model) -> Result<(), Malformed> {
        let from = self.end;
        self.end = from.saturating_add(model.length);
        if model.length.is_zero() {
            return Ok(());
        }
        let slice = Slice::of(model, from, &mut self.names)?;
        let keys = named(model).into_iter();
        let keys = keys.map(|row| self.names.number(&model.entities.rows[row].key, self.end));
        let named = keys.collect::<Result<_, _>>()?;
        let bytes = pack(&[slice], Compression::fast())?;
        let to = self.end;
        self.fresh.push_back(Fresh {
            packed: Packed { from, to, bytes },
            named,
        });
        self.make_room()
    }

    /// Memory that it takes, bytes.
    pub fn bytes(&self) -> usize {
        self.names.bytes() + of(&self.minutes) + of(&self.seconds) + self.of_fresh()
    }

    /// Of it, that of minutes and that of seconds.
    #[cfg(test)]
    pub(super) fn bytes_by_length(&self) -> (usize, usize) {
        (of(&self.minutes), of(&self.seconds))
    }

    /// What is remembered of a window; `None` when that is nothing.
    pub(super) fn find(&self, window: Window) -> Option<Found> {
        let from = self.end.saturating_sub(window.since);
        let to = self.end.saturating_sub(window.until);
        let whole_from = self.fresh.front()?.packed.from;
        let fresh = self.fresh.iter().map(|fresh| &fresh.packed);
        let is_short = window.length() <= LONGEST_OF_SECONDS;
        let others_together = from < whole_from && is_short && begins_by(&self.seconds, from);
        let older = if others_together {
            &self.seconds
        } else {
            &self.minutes
        };
        let inside = |packed: &&Packed| packed.from < to && packed.to > from;
        let slices: Vec<&Packed> = older.iter().chain(fresh).filter(inside).collect();
        let (first, last) = (slices.first()?, slices.last()?);
        // Minutes are told as a whole.
        let is_exact = |packed: &Packed| others_together || packed.from >= whole_from;
        let begin = if is_exact(first) {
            from.max(first.from)
        } else {
            first.from
        };
        let end = if is_exact(last) { to } else { last.to };
        Some(Found {
            extent: Extent {
                from: begin,
                to: end,
                whole: begin <= from && window.since <= self.end,
                others_together,
            },
            names: self.names.entries(),
            slices: slices.iter().map(|packed| packed.bytes.clone()).collect(),
        })
    }

    fn of_fresh(&self) -> usize {
        let fresh = self.fresh.iter();
        fresh
            .map(|fresh| fresh.packed.size() + fresh.named.len() * size_of::<u32>())
            .sum()
    }

    fn make_room(&mut self) -> Result<(), Malformed> {
        while self.whole() >= WHOLE || (self.of_fresh() > self.budget / 2 && self.fresh.len() > 1) {
            self.fold()?;
        }
        self.seconds
            .retain(|seconds| seconds.age(self.end) < SECONDS);
        self.minutes.retain(|minute| minute.age(self.end) < MINUTES);
        self.forget_names();
        while self.bytes() > self.budget && self.drop_oldest() {
            self.forget_names();
        }
        Ok(())
    }

    fn whole(&self) -> Duration {
        let first = self.fresh.front();
        first.map_or(Duration::ZERO, |first| {
            self.end.saturating_sub(first.packed.from)
        })
    }

    /// Makes a minute of the oldest seconds, or less where these are short of room.
    fn fold(&mut self) -> Result<(), Malformed> {
        let Some(first) = self.fresh.front().map(|fresh| fresh.packed.from) else {
            return Ok(());
        };
        let length = MINUTE.min(self.whole() / 2);
        let many = self.fresh.iter();
        let many = many
            .take_while(|fresh| fresh.packed.from.saturating_sub(first) < length)
            .count();
        let folded: Vec<Fresh> = self.fresh.drain(..many.max(1)).collect();
        let to = folded.last().map_or(first, |last| last.packed.to);
        let own: BTreeSet<u32> = all_named(&folded).collect();
        let mut around = std::mem::replace(&mut self.named, own.clone());
        around.extend(own);
        around.extend(all_named(&self.fresh));
        let names = self.names.entries();
        let mut minute = Consecutive::default();
        let mut seconds = Vec::with_capacity(folded.len());
        for fresh in &folded {
            for slice in unpack(&fresh.packed.bytes)? {
                let from = slice.from;
                let second = slice.model(&names)?;
                let is_named = |key: &Key| {
                    let number = self.names.find(key);
                    number.is_some_and(|number| around.contains(&number))
                };
                let of_named = with_others_together(&second, &is_named);
                seconds.push(Slice::of(&of_named, from, &mut self.names)?);
                minute.push(second);
            }
        }
        let bytes = pack(&seconds, Compression::default())?;
        let from = first;
        self.seconds.push_back(Packed { from, to, bytes });
        if let Some(minute) = minute.finish() {
            let slice = Slice::of(&minute, from, &mut self.names)?;
            let bytes = pack(&[slice], Compression::default())?;
            self.minutes.push_back(Packed { from, to, bytes });
        }
        Ok(())
    }

    /// Of what takes most.
    fn drop_oldest(&mut self) -> bool {
        let packed = if of(&self.seconds) > of(&self.minutes) {
            &mut self.seconds
        } else {
            &mut self.minutes
        };
        packed.pop_front().is_some() || self.fresh.pop_front().is_some()
    }

    fn forget_names(&mut self) {
        let oldest = [self.minutes.front(), self.seconds.front()];
        let oldest = oldest.into_iter().flatten();
        let oldest = oldest.chain(self.fresh.front().map(|fresh| &fresh.packed));
        if let Some(oldest) = oldest.map(|packed| packed.from).min() {
            self.names.forget_until(oldest);
        }
    }
}

impl Packed {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.to)
    }

    fn size(&self) -> usize {
        self.bytes.len() + PACKED
    }
}

fn of(packed: &VecDeque<Packed>) -> usize {
    packed.iter().map(Packed::size).sum()
}

fn all_named<'a>(fresh: impl IntoIterator<Item = &'a Fresh>) -> impl Iterator<Item = u32> {
    fresh
        .into_iter()
        .flat_map(|fresh| fresh.named.iter().copied())
}

fn begins_by(packed: &VecDeque<Packed>, from: Duration) -> bool {
    packed.front().is_some_and(|first| first.from <= from)
}
