//! Values that many slices repeat, such as names: each is told once, and called by a number.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::Malformed;

/// What an entry takes beside its value, at least.
const ENTRY: usize = 160;

/// Values of a store.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    number_of: HashMap<Bytes, u32>,
    entries: BTreeMap<u32, Entry>,
    next: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    /// The end of the latest slice that has it.
    used: Duration,
}

impl Dictionary {
    /// The number of a value of a slice that ends then.
    pub(super) fn number(
        &mut self,
        value: &impl Serialize,
        end: Duration,
    ) -> Result<u32, Malformed> {
        let value = postcard::to_stdvec(value).map_err(|_| Malformed)?;
        if let Some(number) = self.number_of.get(value.as_slice()) {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.used = entry.used.max(end);
            }
            return Ok(*number);
        }
        let (number, value) = (self.next, Bytes::from(value));
        self.next = self.next.checked_add(1).ok_or(Malformed)?;
        self.bytes += value.len() + ENTRY;
        self.number_of.insert(value.clone(), number);
        self.entries.insert(number, Entry { value, used: end });
        Ok(number)
    }

    /// The number of a value that is known.
    pub(super) fn find(&self, value: &impl Serialize) -> Option<u32> {
        let value = postcard::to_stdvec(value).ok()?;
        self.number_of.get(value.as_slice()).copied()
    }

    /// Forgets what only slices had that ended by then.
    pub(super) fn forget_until(&mut self, oldest: Duration) {
        let Dictionary {
            number_of,
            entries,
            bytes,
            ..
        } = self;
        entries.retain(|_, entry| {
            let is_used = entry.used > oldest;
            if !is_used {
                number_of.remove(&entry.value);
                *bytes -= entry.value.len() + ENTRY;
            }
            is_used
        });
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that is known, to be sent.
    pub(super) fn entries(&self) -> Values {
        let entries = self.entries.iter();
        Values(
            entries
                .map(|(number, e)| (*number, e.value.clone()))
                .collect(),
        )
    }
}

/// Values by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(BTreeMap<u32, Bytes>);

impl Values {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Malformed> {
        let entries = self.0.iter();
        let entries: Vec<(u32, &[u8])> = entries.map(|(n, value)| (*n, &value[..])).collect();
        postcard::to_stdvec(&entries).map_err(|_| Malformed)
    }

    /// From bytes.
    pub(super) fn decode(bytes: &[u8]) -> Result<Values, Malformed> {
        let entries: Vec<(u32, &[u8])> = postcard::from_bytes(bytes).map_err(|_| Malformed)?;
        let entries = entries.into_iter();
        Ok(Values(
            entries
                .map(|(number, value)| (number, Bytes::copy_from_slice(value)))
                .collect(),
        ))
    }

    /// The value with a number.
    pub(super) fn get<T: DeserializeOwned>(&self, number: u32) -> Result<T, Malformed> {
        let value = self.0.get(&number).ok_or(Malformed)?;
        postcard::from_bytes(value).map_err(|_| Malformed)
    }
}
