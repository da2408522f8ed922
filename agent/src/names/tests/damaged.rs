//! Answers of a kubelet that something happened to on their way: whatever is left of them is read, or is an error.

use proptest::prelude::*;
use prost::Message as _;

use super::{https, kubelet};
use crate::{
    entity::identify_with,
    names::{Error, Facts, kubelet::facts, objects, pods_api::pods, proto::pods::ListPodsResponse},
};

/// Something that happens to bytes, at a part of their length.
#[derive(Clone, Debug)]
enum Damage {
    Changed(f64, u8),
    Inserted(f64, Vec<u8>),
    Removed(f64, usize),
    /// So many bytes come once more.
    Repeated(f64, usize),
}

impl Damage {
    fn any() -> impl Strategy<Value = Damage> {
        let at = 0.0..1.0;
        prop_oneof![
            (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Changed(at, byte)),
            (at.clone(), prop::collection::vec(any::<u8>(), 1..9))
                .prop_map(|(at, bytes)| Damage::Inserted(at, bytes)),
            (at.clone(), 1usize..40).prop_map(|(at, length)| Damage::Removed(at, length)),
            (at, 1usize..40).prop_map(|(at, length)| Damage::Repeated(at, length)),
        ]
    }

    fn befall(&self, bytes: &mut Vec<u8>) {
        let place = |at: f64| (at * bytes.len() as f64) as usize;
        match self {
            Damage::Changed(at, byte) => {
                let place = place(*at);
                bytes[place..]
                    .iter_mut()
                    .take(1)
                    .for_each(|there| *there = *byte);
            }
            Damage::Inserted(at, more) => {
                let place = place(*at);
                bytes.splice(place..place, more.iter().copied());
            }
            Damage::Removed(at, length) => {
                let place = place(*at);
                bytes.drain(place..bytes.len().min(place + length));
            }
            Damage::Repeated(at, length) => {
                let place = place(*at);
                let part = bytes[place..bytes.len().min(place + length)].to_vec();
                bytes.splice(place..place, part);
            }
        }
    }
}

fn damaged(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(Damage::any(), 0..6).prop_map(move |all| {
        let mut bytes = whole.clone();
        for damage in all {
            damage.befall(&mut bytes);
        }
        bytes
    })
}

/// What is told has the forms that cgroup paths and names have.
fn check(facts: Result<Facts, Error>) -> Result<(), TestCaseError> {
    let Ok(facts) = facts else { return Ok(()) };
    for (id, container) in &facts.containers {
        prop_assert_eq!(id.len(), 64);
        let path = format!("/docker-{id}.scope");
        let told = identify_with(&facts, path.as_ref());
        prop_assert_eq!(told.labels.container_id.as_ref(), Some(id));
        prop_assert_eq!(told.labels.container, container.name.clone());
        prop_assert!(container.cpu_request.is_none_or(f64::is_finite));
    }
    for (uid, pod) in &facts.pods {
        prop_assert!(matches!(uid.len(), 32 | 36));
        let names = [&pod.name, &pod.namespace].into_iter().flatten();
        prop_assert!(
            names
                .into_iter()
                .all(|name| name.is_ascii() && !name.is_empty())
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_damaged_list_of_pods(body in damaged(https::pods().into_bytes())) {
        check(facts(&body))?;
    }

    #[test]
    fn a_damaged_answer_of_the_pods_api(
        body in damaged(ListPodsResponse { pods: kubelet::some_pods() }.encode_to_vec()),
    ) {
        if let Ok(reply) = ListPodsResponse::decode(body.as_slice()) {
            check(pods(&reply.pods).map(|pods| objects::facts(&pods)))?;
        }
    }
}

#[test]
fn what_is_whole_is_read() {
    assert!(
        !facts(https::pods().as_bytes())
            .unwrap()
            .containers
            .is_empty()
    );
    let pods = pods(&kubelet::some_pods()).unwrap();
    assert!(!objects::facts(&pods).containers.is_empty());
}
