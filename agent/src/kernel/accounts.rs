//! What each party has accumulated since attach, whatever slots it had. Pure.
//!
//! Only differences come in, so that no total ever falls, neither when a slot is given to another
//! nor when a party has two.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    time::Duration,
};

use agent_ebpf::{bucket::BUCKETS, layout::Cell};

use crate::sample::{Account, Blame, CgroupId, Counts, Party};

/// Readings in which a cgroup is still reported after it went and gave its last slot back: the
/// differences of the last interval are whole in the first of them.
const FAREWELL: u8 = 2;
/// How long it is reported at least, for those who compare with an earlier reading …
const REMEMBERED: Duration = Duration::from_mins(2);
/// … while there are no more of them than this.
const MOST: usize = 1024;

/// Words of a [`Cell`].
pub(crate) const WORDS: usize = size_of::<Cell>() / size_of::<u64>();

#[derive(Debug, Default)]
struct Total {
    words: [u64; WORDS],
    delay: Counts,
    throttled: Counts,
    /// The most run time that was ever reported: an open slice counts as run time until steal and
    /// interrupts are known.
    reported_run_ns: u64,
    left: Option<Left>,
}

/// Since when a party has no slot any more.
#[derive(Clone, Copy, Debug)]
struct Left {
    at: Duration,
    /// Its cgroup is gone as well, as the last scan told.
    is_gone: bool,
    /// Readings left.
    readings: u8,
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
        total.left = None;
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
        if grown.iter().all(|grown| *grown == 0) {
            return;
        }
        for (sum, grown) in counts.change().iter_mut().zip(grown) {
            *sum = sum.saturating_add(u64::from(*grown));
        }
    }

    /// Adds what victims waited while culprits ran. A party is no culprit of its own.
    pub(crate) fn blame(&mut self, mut grown: Vec<((Party, Party), u64)>) {
        grown.retain(|((victim, culprit), _)| victim != culprit);
        self.blame.add(&mut grown);
    }

    /// Whether a party has an account.
    pub(crate) fn has(&self, party: Party) -> bool {
        self.parties.contains_key(&party)
    }

    /// The party gave its last slot back. `now` is a monotonic clock.
    pub(crate) fn leave(&mut self, party: Party, now: Duration) {
        if let Some(total) = self.parties.get_mut(&party) {
            total.left = Some(Left {
                at: now,
                is_gone: false,
                readings: FAREWELL,
            });
        }
    }

    /// A scan of the cgroup tree. Who exists may run again, and goes on where it was.
    pub(crate) fn scanned(&mut self, exists: impl Fn(CgroupId) -> bool) {
        for (party, total) in &mut self.parties {
            if let (Party::Cgroup(id), Some(left)) = (party, &mut total.left) {
                left.is_gone = !exists(*id);
            }
        }
    }

    /// All accounts; `open_ns` is added to the run time. Afterwards cgroups that went long enough
    /// ago are forgotten: what they did is then [`Party::Other`]'s.
    pub(crate) fn report(
        &mut self,
        open_ns: &BTreeMap<Party, u64>,
        now: Duration,
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
        self.forget(now);
        (accounts, blame)
    }

    fn forget(&mut self, now: Duration) {
        let gone = self.gone(now);
        if gone.is_empty() {
            return;
        }
        let mut other = self.parties.remove(&Party::Other).unwrap_or_default();
        for party in &gone {
            if let Some(total) = self.parties.remove(party) {
                other.absorb(&total);
            }
        }
        self.parties.insert(Party::Other, other);
        self.blame
            .retain(|(victim, culprit)| !gone.contains(victim) && !gone.contains(culprit));
    }

    /// Those whose farewell is over, and of these the ones that left too long ago or are too many.
    fn gone(&mut self, now: Duration) -> BTreeSet<Party> {
        let mut over = Vec::new();
        for (party, total) in &mut self.parties {
            match &mut total.left {
                Some(Left { is_gone: false, .. }) | None => {}
                Some(Left {
                    at, readings: 0, ..
                }) => over.push((*at, *party)),
                Some(left) => left.readings -= 1,
            }
        }
        over.sort_unstable();
        let excess = over.len().saturating_sub(MOST);
        let is_gone = |(at, (left, _)): &(usize, (Duration, Party))| {
            *at < excess || now.saturating_sub(*left) >= REMEMBERED
        };
        let gone = over.into_iter().enumerate().filter(is_gone);
        gone.map(|(_, (_, party))| party).collect()
    }
}

impl Total {
    /// Run time counts as it was reported: whoever compares with an earlier reading does so too.
    fn absorb(&mut self, part: &Total) {
        for (sum, part) in self.words.iter_mut().zip(&part.words) {
            *sum = sum.saturating_add(*part);
        }
        let run = offset_of!(Cell, run_ns) / size_of::<u64>();
        let beyond = part.reported_run_ns.saturating_sub(part.words[run]);
        self.words[run] = self.words[run].saturating_add(beyond);
        let run_ns = part.reported_run_ns.max(part.words[run]);
        self.reported_run_ns = self.reported_run_ns.saturating_add(run_ns);
        self.delay.add(&part.delay);
        self.throttled.add(&part.throttled);
    }

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

    const A: Party = Party::Cgroup(CgroupId(7));
    const B: Party = Party::Cgroup(CgroupId(8));
    const NOW: Duration = Duration::from_secs(1_000);

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
            accounts.report(&BTreeMap::from([(A, open)]), NOW).0[&A].run_ns
        };
        assert_eq!(run(&mut accounts, 50), 150);
        accounts.add(A, &ran(20));
        assert_eq!(run(&mut accounts, 0), 150);
        accounts.add(A, &ran(40));
        assert_eq!(run(&mut accounts, 0), 160);
    }

    #[test]
    fn a_party_that_left_is_reported_for_a_while_and_then_forgotten() {
        let mut accounts = Accounts::default();
        for party in [A, B] {
            accounts.add(party, &ran(1));
        }
        accounts.blame(vec![((A, B), 5), ((B, Party::Other), 6), ((A, A), 9)]);
        accounts.leave(A, NOW);
        accounts.scanned(|id| Party::Cgroup(id) != A);
        let none = BTreeMap::new();
        let later = NOW + REMEMBERED;
        for now in [NOW, NOW, NOW, NOW, later] {
            let (reported, blame) = accounts.report(&none, now);
            assert_eq!((reported.len(), blame.len()), (2, 2));
        }
        let (reported, blame) = accounts.report(&none, later);
        assert_eq!(reported.keys().collect::<Vec<_>>(), [&B, &Party::Other]);
        assert_eq!(reported[&Party::Other].run_ns, 1);
        assert_eq!(blame, Blame::from_iter([((B, Party::Other), 6)]));
        assert!(!accounts.has(A));
    }

    #[test]
    fn a_full_interval_is_reported_however_late_the_next_reading_comes() {
        let mut accounts = Accounts::default();
        accounts.add(A, &ran(1));
        accounts.leave(A, NOW);
        accounts.scanned(|_| false);
        for reading in 0..=FAREWELL {
            let now = NOW + REMEMBERED * u32::from(reading + 1);
            assert_eq!(accounts.report(&BTreeMap::new(), now).0.len(), 1);
        }
        assert!(!accounts.has(A));
    }

    #[test]
    fn of_many_that_left_the_latest_are_kept() {
        let mut accounts = Accounts::default();
        for id in 0..MOST as u64 + 10 {
            let party = Party::Cgroup(CgroupId(id));
            accounts.add(party, &ran(1));
            accounts.leave(party, NOW + Duration::from_nanos(id));
        }
        accounts.scanned(|_| false);
        for _ in 0..=FAREWELL {
            accounts.report(&BTreeMap::new(), NOW);
        }
        let (reported, _) = accounts.report(&BTreeMap::new(), NOW);
        assert_eq!(reported.len(), MOST + 1);
        assert_eq!(reported[&Party::Other].run_ns, 10);
        assert!(!reported.contains_key(&Party::Cgroup(CgroupId(9))));
    }

    #[test]
    fn what_is_folded_is_what_was_reported() {
        let mut accounts = Accounts::default();
        let open = BTreeMap::from([(A, 50), (Party::Other, 7)]);
        accounts.add(A, &ran(100));
        accounts.count(A, Kind::Delay, &[2; BUCKETS]);
        let sum = |accounts: &mut Accounts, open: &BTreeMap<Party, u64>| -> u64 {
            let (reported, _) = accounts.report(open, NOW + REMEMBERED);
            reported.values().map(|account| account.run_ns).sum()
        };
        assert_eq!(sum(&mut accounts, &open), 157);
        accounts.leave(A, NOW);
        accounts.scanned(|_| false);
        for _ in 0..=FAREWELL + 1 {
            assert_eq!(sum(&mut accounts, &BTreeMap::new()), 157);
        }
        assert!(!accounts.has(A));
        let (reported, _) = accounts.report(&BTreeMap::new(), NOW);
        assert_eq!(reported[&Party::Other].delay[3], 2);
    }

    #[test]
    fn an_idle_cgroup_is_never_forgotten() {
        let mut accounts = Accounts::default();
        accounts.add(A, &ran(3));
        accounts.leave(A, NOW);
        for _ in 0..5 {
            accounts.scanned(|_| true);
            let (reported, _) = accounts.report(&BTreeMap::new(), NOW + 9 * REMEMBERED);
            assert_eq!(reported[&A].run_ns, 3);
        }
    }

    #[test]
    fn a_party_that_comes_back_stays() {
        let mut accounts = Accounts::default();
        accounts.add(A, &ran(1));
        accounts.leave(A, NOW);
        accounts.scanned(|_| false);
        accounts.add(A, &ran(1));
        for _ in 0..5 {
            let (reported, _) = accounts.report(&BTreeMap::new(), NOW + REMEMBERED);
            assert_eq!(reported[&A].run_ns, 2);
        }
    }
}
