//! One device over one window of time: an event for each request that is created, issued, served
//! for longer than alone, or completed.
//!
//! Between events all rates are constant. Each sum is brought up to date only when one of its
//! factors changes, so an event costs a step for each owner, whatever the number of requests.

use std::collections::BTreeMap;

use agent_ebpf::block::{OPERATIONS, Operation};

use super::{Observed, Request, unloaded::Unloaded};
use crate::sample::disk::{DiskOwner, DiskWait};

/// Owners with an account of their own in one window.
const MOST_OWNERS: usize = 128;

/// What happens to a request, in the order of what happens at one time.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Created = 0,
    Issued = 1,
    /// Served for longer than alone.
    Delayed = 2,
    /// Completed, and was not delayed.
    Done = 3,
    /// Completed after a delay.
    DoneLate = 4,
}

const KINDS: [Kind; 5] = [
    Kind::Created,
    Kind::Issued,
    Kind::Delayed,
    Kind::Done,
    Kind::DoneLate,
];
const KIND_BITS: u32 = 3;
const NUMBER_BITS: u32 = 20;

/// `{time: 41 | kind: 3 | number of the request: 20}`, to be sorted.
fn event(time: u64, kind: Kind, number: usize) -> u64 {
    (time << KIND_BITS | kind as u64) << NUMBER_BITS | number as u64
}

/// The work of one window; its memory is used again.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    owners: Vec<DiskOwner>,
    /// By request: owner and operation.
    victims: Vec<u16>,
    /// By request: issued, in observed time; only for those that can be learned from.
    learnable: Vec<Option<u64>>,
    events: Vec<u64>,
    state: State,
}

impl Sweep {
    /// Settles the window `(from, until)`.
    pub(super) fn run(
        &mut self,
        requests: &[Request],
        (from, until): (u64, u64),
        observed: Observed,
        unloaded: &mut Unloaded,
    ) {
        self.note_owners(requests);
        self.state.reset(self.owners.len());
        self.events.clear();
        self.learnable.clear();
        let start = observed.before(from);
        let time = |at: u64| observed.before(at.clamp(from, until)) - start;
        for (number, request) in requests.iter().enumerate() {
            self.learnable
                .push(learnable(request, (from, until), &time));
            if request.start >= until || request.done <= from {
                continue;
            }
            let (created, done) = (time(request.start), time(request.done));
            let victim = self.victims[number] as usize;
            if request.is_of_kernel() {
                self.state.device[victim] += (done - created) as f64;
                continue;
            }
            let Some(issued) = request.issued else {
                self.state.unattributed[victim] += (done - created) as f64;
                continue;
            };
            let alone = unloaded.ns(request.operation, request.bytes);
            let delayed = alone
                .map(|ns| issued.saturating_add(ns))
                .filter(|delayed| *delayed < request.done.min(until));
            self.events.extend([
                event(created, Kind::Created, number),
                event(time(issued), Kind::Issued, number),
            ]);
            self.events
                .extend(delayed.map(|at| event(time(at), Kind::Delayed, number)));
            let end = delayed.map_or(Kind::Done, |_| Kind::DoneLate);
            self.events.push(event(done, end, number));
        }
        self.events.sort_unstable();
        self.go_through(requests, unloaded);
    }

    fn note_owners(&mut self, requests: &[Request]) {
        self.owners.clear();
        self.owners.push(DiskOwner::Other);
        let mut numbers = BTreeMap::from([(DiskOwner::Other, 0)]);
        self.victims.clear();
        for request in requests {
            let number = numbers.get(&request.owner).copied().unwrap_or_else(|| {
                let number = self.owners.len();
                if number >= MOST_OWNERS {
                    return 0;
                }
                self.owners.push(request.owner);
                numbers.insert(request.owner, number);
                number
            });
            let victim = number * OPERATIONS + request.operation as usize;
            self.victims.push(victim as u16);
        }
    }

    fn go_through(&mut self, requests: &[Request], unloaded: &mut Unloaded) {
        for event in &self.events {
            let number = (event & ((1 << NUMBER_BITS) - 1)) as usize;
            let kind = KINDS[(event >> NUMBER_BITS) as usize & 7];
            let now = event >> (NUMBER_BITS + KIND_BITS);
            self.state.advance(now);
            let victim = self.victims[number] as usize;
            match kind {
                Kind::Created => self.state.change_queued(victim, 1.0),
                Kind::Issued => {
                    self.state.change_queued(victim, -1.0);
                    self.state.change_served(victim, 1.0);
                    self.state.change_prompt(victim, 1.0);
                }
                Kind::Delayed => {
                    self.state.change_prompt(victim, -1.0);
                    self.state.change_delayed(victim, 1.0);
                }
                Kind::Done | Kind::DoneLate => {
                    if let Some(issued) = self.learnable[number] {
                        let request = &requests[number];
                        let was_alone = self.state.busy_until <= issued;
                        unloaded.learn(request.operation, request.bytes, now - issued, was_alone);
                    }
                    if kind == Kind::Done {
                        self.state.change_prompt(victim, -1.0);
                    } else {
                        self.state.change_delayed(victim, -1.0);
                    }
                    self.state.change_served(victim, -1.0);
                }
            }
        }
    }

    /// Adds what was settled to what was before.
    pub(super) fn add_to(&self, waits: &mut BTreeMap<(DiskOwner, Operation), DiskWait>) {
        let count = self.owners.len();
        for (number, owner) in self.owners.iter().enumerate() {
            for operation in Operation::ALL {
                let victim = number * OPERATIONS + operation as usize;
                let state = &self.state;
                let pairs = &state.waited[victim * count..][..count];
                let parts = [
                    state.device[victim],
                    state.held[victim],
                    state.unattributed[victim],
                    pairs.iter().sum(),
                ];
                if parts.iter().sum::<f64>() < 0.5 {
                    continue;
                }
                let wait = waits.entry((*owner, operation)).or_default();
                add(&mut wait.device_ns, state.device[victim]);
                add(&mut wait.held_ns, state.held[victim]);
                add(&mut wait.unattributed_ns, state.unattributed[victim]);
                for (culprit, ns) in self.owners.iter().zip(pairs) {
                    if culprit == owner && *owner != DiskOwner::Other {
                        add(&mut wait.self_ns, *ns);
                    } else if *ns >= 0.5 {
                        add(wait.neighbor_ns.entry(*culprit).or_default(), *ns);
                    }
                }
            }
        }
    }
}

fn add(sum: &mut u64, ns: f64) {
    *sum = sum.saturating_add(ns.round().max(0.0) as u64);
}

/// When a request was issued, in observed time, if its whole service was observed.
fn learnable(
    request: &Request,
    (from, until): (u64, u64),
    time: &impl Fn(u64) -> u64,
) -> Option<u64> {
    let issued = request.issued?;
    if issued < from || request.done > until {
        return None;
    }
    let at = time(issued);
    (time(request.done) - at == request.done - issued).then_some(at)
}

/// Numbers of requests, and their sums over time. By victim: owner and operation.
#[derive(Debug, Default)]
struct State {
    owners: usize,
    now: u64,
    /// Requests in service, of all and by owner.
    served: f64,
    served_by: Vec<f64>,
    /// Not issued.
    queued: Vec<f64>,
    /// In service for no longer than alone.
    prompt: Vec<f64>,
    /// In service for longer.
    delayed: Vec<f64>,
    /// Time that nothing was in service; one request was.
    idle: f64,
    single: f64,
    /// Time over the number of requests in service; over that of all but one.
    share: f64,
    share_of_others: f64,
    /// The last time that two or more were in service.
    busy_until: u64,
    /// Sums are up to date for these values of the clocks.
    queued_at_idle: Vec<f64>,
    prompt_at: Vec<f64>,
    delayed_at_single: Vec<f64>,
    /// By victim and owner.
    waited: Vec<f64>,
    at_share: Vec<f64>,
    at_share_of_others: Vec<f64>,
    device: Vec<f64>,
    held: Vec<f64>,
    unattributed: Vec<f64>,
}

impl State {
    fn reset(&mut self, owners: usize) {
        let victims = owners * OPERATIONS;
        self.owners = owners;
        (self.now, self.busy_until) = (0, 0);
        for clock in [
            &mut self.served,
            &mut self.idle,
            &mut self.single,
            &mut self.share,
            &mut self.share_of_others,
        ] {
            *clock = 0.0;
        }
        for (values, length) in [
            (&mut self.served_by, owners),
            (&mut self.queued, victims),
            (&mut self.prompt, victims),
            (&mut self.delayed, victims),
            (&mut self.queued_at_idle, victims),
            (&mut self.prompt_at, victims),
            (&mut self.delayed_at_single, victims),
            (&mut self.device, victims),
            (&mut self.held, victims),
            (&mut self.unattributed, victims),
            (&mut self.waited, victims * owners),
            (&mut self.at_share, victims * owners),
            (&mut self.at_share_of_others, victims * owners),
        ] {
            values.clear();
            values.resize(length, 0.0);
        }
    }

    fn advance(&mut self, now: u64) {
        let length = (now - self.now) as f64;
        self.now = now;
        if self.served < 0.5 {
            self.idle += length;
            return;
        }
        self.share += length / self.served;
        if self.served < 1.5 {
            self.single += length;
        } else {
            self.share_of_others += length / (self.served - 1.0);
            self.busy_until = now;
        }
    }

    fn change_queued(&mut self, victim: usize, by: f64) {
        self.update_pairs(victim);
        self.held[victim] += self.queued[victim] * (self.idle - self.queued_at_idle[victim]);
        self.queued_at_idle[victim] = self.idle;
        self.queued[victim] += by;
    }

    fn change_delayed(&mut self, victim: usize, by: f64) {
        self.update_pairs(victim);
        self.device[victim] +=
            self.delayed[victim] * (self.single - self.delayed_at_single[victim]);
        self.delayed_at_single[victim] = self.single;
        self.delayed[victim] += by;
    }

    fn change_prompt(&mut self, victim: usize, by: f64) {
        let now = self.now as f64;
        self.device[victim] += self.prompt[victim] * (now - self.prompt_at[victim]);
        self.prompt_at[victim] = now;
        self.prompt[victim] += by;
    }

    fn change_served(&mut self, victim: usize, by: f64) {
        let owner = victim / OPERATIONS;
        for victim in 0..self.queued.len() {
            self.update_pair(victim, owner);
        }
        self.served_by[owner] += by;
        self.served += by;
    }

    fn update_pairs(&mut self, victim: usize) {
        for owner in 0..self.owners {
            self.update_pair(victim, owner);
        }
    }

    /// What a victim waited for an owner since the pair was last up to date.
    fn update_pair(&mut self, victim: usize, owner: usize) {
        let pair = victim * self.owners + owner;
        let own = if victim / OPERATIONS == owner {
            1.0
        } else {
            0.0
        };
        let served = self.served_by[owner];
        self.waited[pair] += self.queued[victim] * served * (self.share - self.at_share[pair])
            + self.delayed[victim]
                * (served - own)
                * (self.share_of_others - self.at_share_of_others[pair]);
        self.at_share[pair] = self.share;
        self.at_share_of_others[pair] = self.share_of_others;
    }
}
