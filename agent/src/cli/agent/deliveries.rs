//! What is on its way to receivers.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    cli::{agent::say, interrupt::Interrupts},
    config::Settings,
    otlp::{
        delivery::{Delivery, EventOutbox, Shared, TotalsOutbox},
        transport::TransportError,
    },
};

/// Deliveries that could begin.
pub(super) struct Prepared {
    totals: Delivery<TotalsOutbox>,
    /// `None` where events are not told.
    events: Option<Delivery<EventOutbox>>,
}

impl Prepared {
    /// Reads the certificates.
    pub(super) fn new(
        shared: &Arc<Shared>,
        settings: &Settings,
    ) -> Result<Prepared, TransportError> {
        let totals = TotalsOutbox::new(Arc::clone(shared));
        let events = || EventOutbox::new(Arc::clone(shared));
        let target = settings.event_target.clone();
        Ok(Prepared {
            totals: Delivery::new(totals, settings.target.clone())?,
            events: target
                .map(|target| Delivery::new(events(), target))
                .transpose()?,
        })
    }
}

/// Deliveries under way.
pub(super) struct Deliveries {
    tasks: JoinSet<()>,
    end: watch::Sender<bool>,
}

impl Deliveries {
    /// Must be called inside the runtime.
    pub(super) fn start(prepared: Prepared) -> Deliveries {
        let mut deliveries = Deliveries {
            tasks: JoinSet::new(),
            end: watch::Sender::new(false),
        };
        deliveries.spawn(prepared);
        deliveries
    }

    fn spawn(&mut self, prepared: Prepared) {
        self.tasks.spawn(prepared.totals.run(self.end.subscribe()));
        if let Some(events) = prepared.events {
            self.tasks.spawn(events.run(self.end.subscribe()));
        }
    }

    /// Others take over, with all that was not delivered.
    pub(super) async fn replace(&mut self, prepared: Prepared) {
        // The end of each counts what was in flight.
        self.tasks.shutdown().await;
        self.spawn(prepared);
    }

    /// Waits until all is delivered, or the time is over, or a second signal comes.
    pub(super) async fn finish(mut self, deadline: Duration, interrupts: &mut Interrupts) {
        // Nobody listens only when delivery has ended.
        let _ = self.end.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = all => return,
            _ = interrupts.next() => {}
            () = sleep(deadline) => {}
        }
        tracing::warn!("the last interval could not be delivered in time");
        self.tasks.shutdown().await;
    }
}

/// What became of everything, in a few words.
pub(super) fn summarize(shared: &Shared) {
    let total = shared.total();
    let events = [
        total.events_accepted,
        total.events_rejected,
        total.events_refused,
        total.events_dropped,
        shared.waiting_events() as u64,
    ];
    if events.iter().any(|number| *number > 0) {
        let [accepted, rejected, refused, dropped, waiting] = events;
        say(&format!(
            "exported {accepted} events; {rejected} rejected, {refused} refused, {dropped} dropped, {waiting} not delivered\n",
        ));
    }
    say(&format!(
        "exported {} points in {} requests; {} rejected, {} refused, {} superseded by newer ones; {} requests failed, {} were refused\n",
        total.points_accepted,
        total.requests_accepted,
        total.points_rejected,
        total.points_refused,
        total.points_superseded,
        total.requests_failed,
        total.requests_refused,
    ));
}
