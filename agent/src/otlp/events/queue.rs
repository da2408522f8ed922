//! Events that wait to be delivered.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;

/// More do not wait: about 2 MiB.
const MOST: usize = 1_024;

/// Events, the oldest first.
#[derive(Debug, Default)]
pub struct Queue {
    events: VecDeque<Waiting>,
    next: u64,
}

/// One event that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// Its number in the agent's life.
    pub number: u64,
    /// What is sent.
    pub event: ResourceLogs,
}

impl Queue {
    /// Adds an event; whether the oldest had to go for it.
    pub fn push(&mut self, event: ResourceLogs) -> bool {
        let is_full = self.events.len() >= MOST;
        if is_full {
            self.events.pop_front();
        }
        self.events.push_back(Waiting {
            number: self.next,
            event,
        });
        self.next += 1;
        is_full
    }

    /// All that wait.
    pub fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.events.iter()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// These wait no more.
    pub fn take(&mut self, events: &[Waiting]) {
        let is_taken = |number: u64| events.iter().any(|event| event.number == number);
        self.events.retain(|event| !is_taken(event.number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_event_is_taken_once_or_dropped_as_the_oldest(
            steps in prop::collection::vec((0usize..400, 0usize..400), 1..12),
        ) {
            let mut queue = Queue::default();
            let (mut pushed, mut dropped, mut taken) = (0u64, 0u64, Vec::new());
            for (push, take) in steps {
                for _ in 0..push {
                    dropped += u64::from(queue.push(ResourceLogs::default()));
                    pushed += 1;
                }
                let some: Vec<Waiting> = queue.all().take(take).cloned().collect();
                queue.take(&some);
                queue.take(&some);
                taken.extend(some.into_iter().map(|event| event.number));
                prop_assert!(queue.len() <= MOST);
                let numbers: Vec<u64> = queue.all().map(|event| event.number).collect();
                prop_assert!(numbers.is_sorted());
                prop_assert_eq!(pushed, dropped + taken.len() as u64 + queue.len() as u64);
            }
            prop_assert!(taken.is_sorted_by(|one, other| one < other));
        }
    }
}
