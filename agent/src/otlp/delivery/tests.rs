//! How entities are put into requests.

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
    fn requests_hold_each_entity_once_and_are_small_enough(
        cgroups in 0u64..40,
        largest in 1_000usize..20_000,
    ) {
        let all: Vec<_> = parts(cgroups).into_iter().map(|part| part.whose).collect();
        let chunks = chunks::<TotalsOutbox>(parts(cgroups), largest);
        let whose = chunks.iter().flatten().map(|part| part.whose.clone());
        prop_assert_eq!(whose.collect::<Vec<_>>(), all);
        for chunk in chunks {
            let alone = chunk.len() == 1;
            let request = encode::request(chunk.into_iter().map(|part| part.metrics));
            prop_assert!(alone || request.encoded_len() <= largest);
        }
    }
}
