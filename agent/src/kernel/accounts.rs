//! What each party has accumulated since attach, whatever slots it had. Pure.
//!
//! Only differences come in, so that no total ever falls, neither when a slot is given to another
//! nor when a party has two.

use std::collections::BTreeMap;

use agent_ebpf::{bucket::BUCKETS, layout::Cell};

use crate::sample::{Account, Counts, Party};

/// Readings in which a party is still reported after its last slot went: the differences of the
/// last interval are whole in the first of them.
const FAREWELL: u8 = 2;

/// Words of a [`Cell`].
pub(crate) const WORDS: usize = size_of::<Cell>() / size_of::<u64>();

/// Blame by victim and culprit, nanoseconds.
pub(crate) type Blame = BTreeMap<(Party, Party), u64>;

#[derive(Debug, Default)]
struct Total {
    words: [u64; WORDS],
    delay: Counts,
    throttled: Counts,
    /// The most run time that was ever reported: an open slice counts as run time until steal and
    /// interrupts are known.
    reported_run_ns: u64,
    /// Readings left, once the last slot is gone.
    leaves_after: Option<u8>,
}

/// The totals of all parties.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    parties: BTreeMap<Party, Total>,
    blame: Blame,
}

/// What grew, of the two histograms of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Run-queue delay.
    Delay,
    /// Throttled time.
    Throttled,
}

impl Accounts {
    /// Adds what the cells of a party grew by.
    pub(crate) fn add(&mut self, party: Party, grown: &[u64; WORDS]) {
        let total = self.parties.entry(party).or_default();
        total.leaves_after = None;
        for (sum, grown) in total.words.iter_mut().zip(grown) {
            *sum = sum.saturating_add(*grown);
        }
    }

    /// Adds what a histogram of a party grew by.
    pub(crate) fn count(&mut self, party: Party, kind: Kind, grown: &[u32; BUCKETS]) {
        let total = self.parties.entry(party).or_default();
        let counts = match kind {
            Kind::Delay => &mut total.delay,
            Kind::Throttled => &mut total.throttled,
        };
        for (sum, grown) in counts.0.iter_mut().zip(grown) {
            *sum = sum.saturating_add(u64::from(*grown));
        }
    }

    /// Adds what `victim` waited while `culprit` ran. A party is no culprit of its own.
    pub(crate) fn blame(&mut self, victim: Party, culprit: Party, grown_ns: u64) {
        if victim != culprit {
            *self.blame.entry((victim, culprit)).or_default() += grown_ns;
        }
    }

    /// Whether a party has an account.
    pub(crate) fn has(&self, party: Party) -> bool {
        self.parties.contains_key(&party)
    }

    /// The party gave its last slot back.
    pub(crate) fn leave(&mut self, party: Party) {
        if let Some(total) = self.parties.get_mut(&party) {
            total.leaves_after = Some(FAREWELL);
        }
    }

    /// All accounts; `open_ns` is added to the run time. Afterwards those who left long enough ago
    /// are forgotten.
    pub(crate) fn report(
        &mut self,
        open_ns: &BTreeMap<Party, u64>,
    ) -> (BTreeMap<Party, Account>, Blame) {
        for party in open_ns.keys() {
            self.parties.entry(*party).or_default();
        }
        let accounts = self
            .parties
            .iter_mut()
            .map(|(party, total)| {
                let open = open_ns.get(party).copied().unwrap_or(0);
                (*party, total.report(open))
            })
            .collect();
        let blame = self.blame.clone();
        self.forget();
        (accounts, blame)
    }

    fn forget(&mut self) {
        let before = self.parties.len();
        self.parties
            .retain(|_, total| match &mut total.leaves_after {
                None => true,
                Some(0) => false,
                Some(readings) => {
                    *readings -= 1;
                    true
                }
            });
        if self.parties.len() < before {
            let parties = &self.parties;
            let is_known = |party: &Party| *party == Party::Other || parties.contains_key(party);
            self.blame
                .retain(|(victim, culprit), _| is_known(victim) && is_known(culprit));
        }
    }
}

impl Total {
    fn report(&mut self, open_ns: u64) -> Account {
        let cell: &Cell = &bytemuck::cast(self.words);
        let run_ns = cell.run_ns.saturating_add(open_ns);
        self.reported_run_ns = self.reported_run_ns.max(run_ns);
        Account {
            run_ns: self.reported_run_ns,
            steal_ns: cell.steal_ns,
            irq_ns: cell.irq_ns,
            wait_ns: cell.wait_ns,
            waits: cell.waits,
            switches_voluntary: cell.switches_voluntary,
            switches_involuntary: cell.switches_involuntary,
            migrations: cell.migrations,
            phantom_ns: cell.phantom_ns,
            delay: self.delay.clone(),
            throttled: self.throttled.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::CgroupId;

    const A: Party = Party::Cgroup(CgroupId(7));
    const B: Party = Party::Cgroup(CgroupId(8));

    fn ran(ns: u64) -> [u64; WORDS] {
        bytemuck::cast(Cell {
            run_ns: ns,
            ..Cell::default()
        })
    }

    #[test]
    fn run_time_does_not_fall_when_a_slice_turns_out_to_be_stolen() {
        let mut accounts = Accounts::default();
        accounts.add(A, &ran(100));
        let run = |accounts: &mut Accounts, open| {
            accounts.report(&BTreeMap::from([(A, open)])).0[&A].run_ns
        };
        assert_eq!(run(&mut accounts, 50), 150);
        accounts.add(A, &ran(20));
        assert_eq!(run(&mut accounts, 0), 150);
        accounts.add(A, &ran(40));
        assert_eq!(run(&mut accounts, 0), 160);
    }

    #[test]
    fn a_party_that_left_is_reported_twice_more_and_then_forgotten() {
        let mut accounts = Accounts::default();
        for party in [A, B] {
            accounts.add(party, &ran(1));
        }
        accounts.blame(A, B, 5);
        accounts.blame(B, Party::Other, 6);
        accounts.blame(A, A, 9);
        accounts.leave(A);
        let none = BTreeMap::new();
        for _ in 0..=FAREWELL {
            let (reported, blame) = accounts.report(&none);
            assert_eq!((reported.len(), blame.len()), (2, 2));
        }
        let (reported, blame) = accounts.report(&none);
        assert_eq!(reported.keys().collect::<Vec<_>>(), [&B]);
        assert_eq!(blame, Blame::from([((B, Party::Other), 6)]));
        assert!(!accounts.has(A));
    }

    #[test]
    fn a_party_that_comes_back_stays() {
        let mut accounts = Accounts::default();
        accounts.add(A, &ran(1));
        accounts.leave(A);
        accounts.add(A, &ran(1));
        for _ in 0..5 {
            assert_eq!(accounts.report(&BTreeMap::new()).0[&A].run_ns, 2);
        }
    }
}
