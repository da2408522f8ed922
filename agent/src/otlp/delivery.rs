//! Delivers what the ledger holds, and never gives up.
//!
//! Nothing is queued: totals are cumulative, so each try sends the newest ones, and what was not
//! delivered is part of them. Memory is bounded by the ledger, whatever a receiver does.

mod course;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prost::Message as _;
use tokio::sync::{Notify, watch};

use crate::{
    config::Target,
    otlp::{
        backoff::Backoff,
        encode::{self, Part},
        ledger::{Ledger, Life},
        measure::Exported,
        transport::{Answer, Transport, TransportError},
    },
};
use course::Course;

/// Receivers take 4 MiB by default.
const LARGEST_REQUEST: usize = 3 << 20;
/// New connections reach receivers that came later.
const CONNECTION_LASTS: Duration = Duration::from_mins(10);

/// What observation and delivery have in common.
#[derive(Debug)]
pub struct Shared {
    ledger: Mutex<Ledger>,
    total: Mutex<Exported>,
    fresh: Notify,
}

impl Shared {
    /// Nothing to deliver yet.
    pub fn new(ledger: Ledger) -> Arc<Shared> {
        Arc::new(Shared {
            ledger: Mutex::new(ledger),
            total: Mutex::default(),
            fresh: Notify::new(),
        })
    }

    /// The ledger. Not to be held while waiting.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Totals are whole after each step, also where another one panicked.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something new to deliver.
    pub fn publish(&self) {
        self.fresh.notify_one();
    }

    /// What was exported since the start.
    pub fn total(&self) -> Exported {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, change: impl Fn(&mut Exported)) {
        self.ledger().count_exported(&change);
        change(&mut self.total.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Delivers to one receiver.
#[derive(Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
    target: Target,
    transport: Transport,
    renew: Instant,
    course: Course,
    /// Up to when all was delivered, nanoseconds of Unix time.
    delivered: u64,
}

/// Not all was delivered.
struct Later {
    after: Option<Duration>,
}

impl Delivery {
    /// Reads the certificates.
    pub fn new(shared: Arc<Shared>, target: Target) -> Result<Delivery, TransportError> {
        Ok(Delivery {
            transport: Transport::new(&target)?,
            renew: renewal(),
            course: Course::new(target.uri.to_string()),
            shared,
            target,
            delivered: 0,
        })
    }

    /// Delivers whatever is published, until `ending` says so; then the rest, however long it
    /// takes.
    pub async fn run(mut self, mut ending: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                () = self.shared.fresh.notified() => {}
                _ = ending.wait_for(|ending| *ending) => break,
            }
            self.deliver(&mut ending).await;
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
        let now = self.shared.ledger().now();
        if now == self.delivered {
            return Ok(());
        }
        let mut pending = chunks(encode::parts(&self.shared.ledger()), LARGEST_REQUEST);
        while let Some(chunk) = pending.pop() {
            pending.extend(self.send(chunk).await?);
        }
        self.delivered = now;
        Ok(())
    }

    /// Sends one request; what of it to send again in smaller ones.
    async fn send(&mut self, mut chunk: Vec<Part>) -> Result<Vec<Vec<Part>>, Later> {
        let points = chunk.iter().map(|part| part.points).sum();
        let metrics = chunk
            .iter_mut()
            .map(|part| std::mem::take(&mut part.metrics));
        let request = encode::request(metrics.collect::<Vec<_>>());
        let in_flight = InFlight {
            shared: &self.shared,
            points,
        };
        let answer = self.transport.send(request).await;
        std::mem::forget(in_flight);
        self.course.note(&answer);
        match answer {
            Answer::Accepted { rejected, .. } => {
                let rejected = rejected.min(points);
                for part in &chunk {
                    self.shared.ledger().taken(&part.whose, part.told);
                }
                self.shared.count(|exported| {
                    exported.requests_accepted += 1;
                    exported.points_accepted += points - rejected;
                    exported.points_rejected += rejected;
                });
                Ok(Vec::new())
            }
            Answer::Refused { divide: true, .. } if chunk.len() > 1 => {
                self.shared.count(|exported| {
                    exported.requests_refused += 1;
                    exported.points_superseded += points;
                });
                Ok(self.halves(&chunk))
            }
            Answer::Refused { divide, .. } => {
                if divide {
                    self.give_up_ended(&chunk);
                }
                self.shared.count(|exported| {
                    exported.requests_refused += 1;
                    exported.points_refused += points;
                });
                Ok(Vec::new())
            }
            Answer::TryAgain { after, .. } => {
                self.shared.count(|exported| {
                    exported.requests_failed += 1;
                    exported.points_superseded += points;
                });
                Err(Later { after })
            }
        }
    }

    /// The newest of the same entities, in two requests.
    fn halves(&self, chunk: &[Part]) -> Vec<Vec<Part>> {
        let (one, other) = chunk.split_at(chunk.len() / 2);
        let ledger = self.shared.ledger();
        let of = |half: &[Part]| {
            let wanted = |part: &Part| half.iter().any(|old| old.whose == part.whose);
            encode::parts(&ledger).filter(wanted).collect()
        };
        vec![of(one), of(other)]
    }

    /// What the receiver does not want of those who are gone will never be different.
    fn give_up_ended(&self, chunk: &[Part]) {
        let ended = chunk.iter().filter(|part| part.told.life != Life::Alive);
        for part in ended {
            self.shared.ledger().taken(&part.whose, part.told);
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
struct InFlight<'a> {
    shared: &'a Shared,
    points: u64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.shared.count(|exported| {
            exported.requests_failed += 1;
            exported.points_superseded += self.points;
        });
    }
}

/// Whole entities together, as many as a receiver takes at once.
fn chunks(parts: impl Iterator<Item = Part>, largest: usize) -> Vec<Vec<Part>> {
    let mut chunks: Vec<Vec<Part>> = Vec::new();
    let mut size = 0;
    for part in parts {
        // Up to ten bytes tell that a part follows, and how long it is.
        let length = part.metrics.encoded_len() + 10;
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
mod tests;
