//! Sums by key, in the order of the keys.

/// Sums by key, in the order of the keys: a map that is as cheap as can be to copy, to drop and to
/// go through, and that grows by many keys at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums<K>(Vec<(K, u64)>);

impl<K> Default for Sums<K> {
    fn default() -> Self {
        Sums(Vec::new())
    }
}

impl<K: Copy + Ord> Sums<K> {
    /// Adds what came together since: in any order, and several times for a key.
    pub fn add(&mut self, grown: &mut [(K, u64)]) {
        grown.sort_unstable_by_key(|(key, _)| *key);
        let mut new: Vec<(K, u64)> = Vec::new();
        let mut at = 0;
        for (key, more) in grown.iter() {
            at += self.0[at..].iter().take_while(|(k, _)| k < key).count();
            let known = self.0.get_mut(at).filter(|(k, _)| k == key);
            match known.or_else(|| new.last_mut().filter(|(k, _)| k == key)) {
                Some((_, sum)) => *sum = sum.saturating_add(*more),
                None => new.push((*key, *more)),
            }
        }
        if !new.is_empty() {
            self.0.append(&mut new);
            // Two sorted runs: it merges them.
            self.0.sort_by_key(|(key, _)| *key);
        }
    }

    /// The sum of a key.
    pub fn get(&self, key: &K) -> Option<u64> {
        let at = self.0.binary_search_by_key(key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, sum)| *sum)
    }

    /// Forgets keys.
    pub fn retain(&mut self, mut keeps: impl FnMut(&K) -> bool) {
        self.0.retain(|(key, _)| keeps(key));
    }

    /// All, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Copy + Ord> FromIterator<(K, u64)> for Sums<K> {
    fn from_iter<I: IntoIterator<Item = (K, u64)>>(sums: I) -> Self {
        let mut all = Sums::default();
        all.add(&mut sums.into_iter().collect::<Vec<_>>());
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_what_a_map_would_hold(
            readings in prop::collection::vec(prop::collection::vec((0u8..40, 0u64..9), 0..30), 0..8),
        ) {
            let (mut sums, mut map) = (Sums::default(), BTreeMap::<u8, u64>::new());
            for mut grown in readings {
                for (key, more) in &grown {
                    *map.entry(*key).or_default() += more;
                }
                sums.add(&mut grown);
                prop_assert!(sums.iter().eq(map.iter().map(|(key, sum)| (*key, *sum))));
            }
            for key in 0..40 {
                prop_assert_eq!(sums.get(&key), map.get(&key).copied());
            }
            sums.retain(|key| key % 3 != 0);
            map.retain(|key, _| key % 3 != 0);
            prop_assert_eq!(sums, map.into_iter().collect());
        }
    }
}
