//! Sums over the seconds of an episode.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    model::{Key, Row},
    signal::{
        Class, Thresholds,
        episodes::{EpisodeCulprit, second::Second},
        loss::Loss,
    },
};

/// Of more culprits an episode keeps no account: the smallest goes.
const MOST_CULPRITS: usize = 64;

/// What was lost, and to whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    pub(super) loss: Loss,
    pub(super) observed: Duration,
    pub(super) neighbors: usize,
    whole_ns: u64,
    by_class: Vec<(Option<Class>, u64)>,
    culprits: BTreeMap<Key, Sum>,
}

#[derive(Clone, Debug)]
struct Sum {
    who: Arc<Row>,
    ns: u64,
    /// Ratios times nanoseconds, and those nanoseconds.
    over: (f64, u64),
}

impl Losses {
    pub(super) fn add(&mut self, second: &Second) {
        let length = second.span.until.saturating_sub(second.span.from);
        self.observed = self.observed.saturating_add(length);
        self.loss.add(second.loss);
        self.neighbors = self.neighbors.max(second.neighbors);
        self.whole_ns = self.whole_ns.saturating_add(second.whole_ns);
        let class = self.by_class.iter_mut();
        match class.into_iter().find(|(class, _)| *class == second.class) {
            Some((_, ns)) => *ns = ns.saturating_add(second.loss.lost_ns),
            None => self.by_class.push((second.class, second.loss.lost_ns)),
        }
        for culprit in &second.culprits {
            let sum = self.culprits.entry(culprit.who.key.clone());
            let sum = sum.or_insert_with(|| Sum {
                who: Arc::clone(&culprit.who),
                ns: 0,
                over: (0.0, 0),
            });
            sum.who = Arc::clone(&culprit.who);
            sum.ns = sum.ns.saturating_add(culprit.ns);
            if let Some(over) = culprit.over {
                sum.over.0 += over * culprit.ns as f64;
                sum.over.1 = sum.over.1.saturating_add(culprit.ns);
            }
        }
        while self.culprits.len() > MOST_CULPRITS {
            let smallest = self.culprits.iter().min_by_key(|(_, sum)| sum.ns);
            let Some(key) = smallest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.culprits.remove(&key);
        }
    }

    /// The class of most of the loss.
    pub(super) fn class(&self) -> Option<Class> {
        let most = self.by_class.iter().max_by_key(|(_, ns)| *ns);
        most.and_then(|(class, _)| *class)
    }

    /// Those large enough to name, the largest first.
    pub(super) fn culprits(&self, thresholds: &Thresholds) -> Vec<EpisodeCulprit> {
        let seconds = self.observed.as_secs_f64();
        let mut large: Vec<&Sum> = self
            .culprits
            .values()
            .filter(|sum| {
                self.share(sum) >= thresholds.culprit_share
                    && sum.ns as f64 / 1e9 >= thresholds.culprit_cpus * seconds
            })
            .collect();
        large.sort_by_key(|sum| std::cmp::Reverse(sum.ns));
        let named = large.into_iter().take(thresholds.culprits);
        named
            .map(|sum| EpisodeCulprit {
                who: Arc::clone(&sum.who),
                share: self.share(sum),
                over: (sum.over.1 > 0).then(|| sum.over.0 / sum.over.1 as f64),
            })
            .collect()
    }

    fn share(&self, sum: &Sum) -> f64 {
        sum.ns as f64 / self.whole_ns.max(sum.ns).max(1) as f64
    }
}
