//! Delivers what is to be told, and never gives up.
//!
//! Metrics and events go the same way, each to its own receiver: an [`Outbox`] says what there is
//! to send, and is told what became of it.

mod course;
mod events;
mod shared;
mod totals;

use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::{
    config::Target,
    otlp::{
        backoff::Backoff,
        transport::{Answer, Request, Transport, TransportError},
    },
};
use course::Course;

pub use {events::EventOutbox, shared::Shared, totals::TotalsOutbox};

/// Receivers take 4 MiB by default.
const LARGEST_REQUEST: usize = 3 << 20;
/// New connections reach receivers that came later.
const CONNECTION_LASTS: Duration = Duration::from_mins(10);

/// What is to be delivered. A part of it is never divided.
pub trait Outbox {
    /// What belongs together.
    type Part: Send + Sync;
    /// What the parts are sent in.
    type Request: Request;
    /// What is delivered, in the log.
    const WHAT: &'static str;

    /// There is something new.
    fn fresh(&self) -> &Notify;
    /// Everything that was not delivered yet.
    fn pending(&mut self) -> Vec<Self::Part>;
    /// All that was pending then was delivered.
    fn delivered(&mut self);
    /// The same parts as they are now.
    fn renewed(&self, parts: &[Self::Part]) -> Vec<Self::Part>;
    /// How long a part is in a request, bytes.
    fn length(part: &Self::Part) -> usize;
    /// How many points or events a part has.
    fn items(part: &Self::Part) -> u64;
    /// Takes the content out of parts.
    fn request(parts: &mut [Self::Part]) -> Self::Request;
    /// What became of a request with these parts, and so many items.
    fn note(&self, parts: &[Self::Part], items: u64, outcome: Outcome);
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Accepted {
        /// All but so many items.
        rejected: u64,
    },
    /// The receiver will never take it, but perhaps parts of it, which are sent next.
    Divided,
    /// The receiver will never take it.
    Refused {
        /// For what is in it.
        for_its_content: bool,
    },
    /// It did not get through. It is tried again.
    Failed {
        /// Unless the receiver took it without saying so.
        may_have_arrived: bool,
    },
}

/// Delivers to one receiver.
#[derive(Debug)]
pub struct Delivery<O> {
    outbox: O,
    target: Target,
    transport: Transport,
    renew: Instant,
    course: Course,
}

/// Not all was delivered.
struct Later {
    after: Option<Duration>,
}

impl<O: Outbox> Delivery<O> {
    /// Reads the certificates.
    pub fn new(outbox: O, target: Target) -> Result<Delivery<O>, TransportError> {
        Ok(Delivery {
            transport: Transport::new(&target)?,
            renew: renewal(),
            course: Course::new(O::WHAT, target.uri.to_string()),
            outbox,
            target,
        })
    }

    /// Delivers whatever is published, until `ending` says so; then the rest, however long it
    /// takes.
    pub async fn run(mut self, mut ending: watch::Receiver<bool>) {
        loop {
            // Another delivery may have left something.
            self.deliver(&mut ending).await;
            tokio::select! {
                biased;
                () = self.outbox.fresh().notified() => {}
                _ = ending.wait_for(|ending| *ending) => break,
            }
        }
        self.deliver(&mut ending).await;
    }

    /// Tries until all was delivered, or once more at the end.
    async fn deliver(&mut self, ending: &mut watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        let mut is_last = *ending.borrow();
        while let Err(later) = self.round().await {
            self.renew_connection();
            let wait = tokio::time::sleep(backoff.next(later.after, fastrand::f64()));
            if is_last {
                wait.await;
                continue;
            }
            tokio::select! {
                () = wait => {}
                // Whoever calls delivers the rest.
                _ = ending.wait_for(|ending| *ending) => is_last = true,
            }
        }
        if self.renew <= Instant::now() {
            self.renew_connection();
        }
    }

    /// Sends everything that there is to tell now, unless it was sent already.
    async fn round(&mut self) -> Result<(), Later> {
        let mut pending = chunks::<O>(self.outbox.pending(), LARGEST_REQUEST);
        while let Some(chunk) = pending.pop() {
            pending.extend(self.send(chunk).await?);
        }
        self.outbox.delivered();
        Ok(())
    }

    /// Sends one request; what of it to send again in smaller ones.
    async fn send(&mut self, mut chunk: Vec<O::Part>) -> Result<Vec<Vec<O::Part>>, Later> {
        let items = chunk.iter().map(O::items).sum();
        let request = O::request(&mut chunk);
        let in_flight = InFlight {
            outbox: &self.outbox,
            chunk: &chunk,
            items,
        };
        let answer = self.transport.send(request).await;
        std::mem::forget(in_flight);
        self.course.note(&answer);
        let note = |outcome| self.outbox.note(&chunk, items, outcome);
        match answer {
            Answer::Accepted { rejected, .. } => {
                note(Outcome::Accepted {
                    rejected: rejected.min(items),
                });
                Ok(Vec::new())
            }
            Answer::Refused { divide: true, .. } if chunk.len() > 1 => {
                note(Outcome::Divided);
                let (one, other) = chunk.split_at(chunk.len() / 2);
                let halves = [one, other].map(|half| self.outbox.renewed(half));
                Ok(halves.into_iter().filter(|half| !half.is_empty()).collect())
            }
            Answer::Refused { divide, .. } => {
                note(Outcome::Refused {
                    for_its_content: divide,
                });
                Ok(Vec::new())
            }
            Answer::TryAgain {
                after,
                may_have_arrived,
                ..
            } => {
                note(Outcome::Failed { may_have_arrived });
                Err(Later { after })
            }
        }
    }

    /// Reads the certificates anew. Where they cannot be used, the old ones stay.
    fn renew_connection(&mut self) {
        self.renew = renewal();
        match Transport::new(&self.target) {
            Ok(transport) => self.transport = transport,
            Err(error) => tracing::warn!("the connection stays as it is: {error}"),
        }
    }
}

/// A request that ends with the process, before it was answered, counts too.
struct InFlight<'a, O: Outbox> {
    outbox: &'a O,
    chunk: &'a [O::Part],
    items: u64,
}

impl<O: Outbox> Drop for InFlight<'_, O> {
    fn drop(&mut self) {
        let outcome = Outcome::Failed {
            may_have_arrived: true,
        };
        self.outbox.note(self.chunk, self.items, outcome);
    }
}

/// Whole parts together, as many as a receiver takes at once.
fn chunks<O: Outbox>(parts: Vec<O::Part>, largest: usize) -> Vec<Vec<O::Part>> {
    let mut chunks: Vec<Vec<O::Part>> = Vec::new();
    let mut size = 0;
    for part in parts {
        // Up to ten bytes tell that a part follows, and how long it is.
        let length = O::length(&part) + 10;
        match chunks.last_mut() {
            Some(chunk) if size + length <= largest => {
                size += length;
                chunk.push(part);
            }
            _ => {
                size = length;
                chunks.push(vec![part]);
            }
        }
    }
    chunks
}

fn renewal() -> Instant {
    Instant::now() + CONNECTION_LASTS.mul_f64(0.8 + 0.4 * fastrand::f64())
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod outage_tests;
#[cfg(test)]
mod tests;
