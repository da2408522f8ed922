//! How entities are put into requests.

use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    entity::identify,
    model::{Model, fixture::Scene},
    names::Names,
    otlp::{
        encode::{self, Part},
        ledger::{Ledger, Limits},
        resource::Host,
    },
};

fn parts(cgroups: u64) -> Vec<Part> {
    let mut scene = Scene::new(2);
    for id in 0..cgroups {
        let party = scene.cgroup(id + 2, format!("/s{id}.service"));
        scene.ran(party, 0.001);
    }
    let mut ledger = Ledger::new(Host::default(), Limits::default());
    ledger.add(
        &Model::new(&scene.before, &scene.after, &identify),
        &Names::default(),
    );
    encode::parts(&ledger).collect()
}

proptest! {
    #[test]
    fn an_event_waits_until_it_is_taken_or_refused(
        steps in prop::collection::vec((0usize..5, 0usize..4), 1..30),
    ) {
        let shared = Shared::new(Ledger::new(Host::default(), Limits::default()));
        let mut outbox = EventOutbox::new(Arc::clone(&shared));
        let mut told = 0;
        for (events, outcome) in steps {
            shared.tell((0..events).map(|_| ResourceLogs::default()));
            told += events as u64;
            let mut parts = outbox.pending();
            let waited = parts.len();
            prop_assert_eq!(outbox.renewed(&parts).len(), waited);
            let request = EventOutbox::request(&mut parts);
            prop_assert_eq!(request.resource_logs.len(), waited);
            let outcome = match outcome {
                0 => Outcome::Accepted { rejected: waited as u64 / 2 },
                1 => Outcome::Refused { for_its_content: true },
                2 => Outcome::Divided,
                _ => Outcome::Failed { may_have_arrived: false },
            };
            outbox.note(&parts, waited as u64, outcome);
            let is_over = matches!(outcome, Outcome::Accepted { .. } | Outcome::Refused { .. });
            prop_assert_eq!(shared.waiting_events(), if is_over { 0 } else { waited });
            let total = shared.total();
            let over = total.events_accepted + total.events_rejected + total.events_refused;
            prop_assert_eq!(told, over + shared.waiting_events() as u64);
        }
    }

    #[test]
    fn requests_hold_each_entity_once_and_are_small_enough(
        cgroups in 0u64..40,
        largest in 1_000usize..20_000,
    ) {
        let all: Vec<_> = parts(cgroups).into_iter().map(|part| part.subject).collect();
        let chunks = chunks::<TotalsOutbox>(parts(cgroups), largest);
        let whose = chunks.iter().flatten().map(|part| part.subject.clone());
        prop_assert_eq!(whose.collect::<Vec<_>>(), all);
        for chunk in chunks {
            let alone = chunk.len() == 1;
            let request = encode::request(chunk.into_iter().map(|part| part.metrics));
            prop_assert!(alone || request.encoded_len() <= largest);
        }
    }
}
