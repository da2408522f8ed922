//! How culprits are named to receivers: the one place that says it, for metrics and events.

use ring::hmac;

use crate::{
    config::CulpritNames,
    model::{Kind, Row},
    otlp::{
        amount::Attributes,
        registry::{CULPRIT_KIND, CULPRIT_NAME, CULPRIT_NAMESPACE},
    },
    wording,
};

/// Tells receivers as much of a culprit's name as they may know.
#[derive(Clone, Debug)]
pub struct Naming {
    names: CulpritNames,
    key: hmac::Key,
}

impl Default for Naming {
    fn default() -> Naming {
        Naming::new(CulpritNames::Full, b"")
    }
}

impl Naming {
    /// Without the `secret` nobody can find out a name by hashing guesses; with the same one the
    /// hashes are the same.
    pub fn new(names: CulpritNames, secret: &[u8]) -> Naming {
        Naming {
            names,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Attributes that name a culprit.
    pub fn attributes(&self, culprit: &Row) -> Attributes {
        let mut attributes = vec![(CULPRIT_KIND, culprit.kind.name().to_owned())];
        attributes.extend(self.name(culprit));
        attributes
    }

    /// A culprit in a sentence.
    pub fn word(&self, culprit: &Row) -> String {
        let kind = culprit.kind.name();
        match self.name(culprit) {
            _ if self.names == CulpritNames::Full => wording::entity(culprit),
            Some((CULPRIT_NAMESPACE, namespace)) => format!("a {kind} in {namespace}"),
            Some((_, hash)) => format!("{kind} {hash}"),
            None if culprit.kind == Kind::Host => "the root cgroup".into(),
            None => format!("a {kind}"),
        }
    }

    /// What of the name is told beside the kind.
    fn name(&self, culprit: &Row) -> Option<(&'static str, String)> {
        match self.names {
            CulpritNames::Full => Some((CULPRIT_NAME, culprit.name.clone())),
            CulpritNames::Namespace => {
                let namespace = culprit.labels.namespace.clone();
                namespace.map(|namespace| (CULPRIT_NAMESPACE, namespace))
            }
            CulpritNames::Hash => Some((CULPRIT_NAME, self.hash(culprit))),
            CulpritNames::Kind => None,
        }
    }

    fn hash(&self, culprit: &Row) -> String {
        digits(hmac::sign(&self.key, culprit.key_text().as_bytes()).as_ref())
    }
}

/// The first 16 digits of a hash: enough for no two of a host to be alike.
pub(super) fn digits(hash: &[u8]) -> String {
    let first = hash.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, fixture::Scene};

    fn culprit() -> Row {
        let mut scene = Scene::new(1);
        let party = scene.cgroup(2, "/secret.scope");
        scene.ran(party, 1.0);
        let model: Model = scene.model();
        let mut row = model.entities.rows[0].clone();
        row.labels.namespace = Some("shop".into());
        row
    }

    #[test]
    fn no_more_is_told_than_may_be_known() {
        let row = culprit();
        let told = |names| {
            let naming = Naming::new(names, b"boot");
            (naming.attributes(&row), naming.word(&row))
        };
        let kind = (CULPRIT_KIND, "container".to_owned());
        let full = (CULPRIT_NAME, "secret.scope".to_owned());
        let namespace = (CULPRIT_NAMESPACE, "shop".to_owned());
        assert_eq!(
            told(CulpritNames::Full),
            (vec![kind.clone(), full], "secret.scope".into())
        );
        assert_eq!(
            told(CulpritNames::Namespace),
            (vec![kind.clone(), namespace], "a container in shop".into())
        );
        assert_eq!(told(CulpritNames::Kind), (vec![kind], "a container".into()));
        let (attributes, word) = told(CulpritNames::Hash);
        assert!(!format!("{attributes:?}{word}").contains("secret"));
        assert_eq!(attributes[1].1.len(), 16);
    }

    #[test]
    fn a_hash_stays_the_same_and_depends_on_the_secret() {
        let hash = |secret: &[u8]| Naming::new(CulpritNames::Hash, secret).hash(&culprit());
        assert_eq!(hash(b"one"), hash(b"one"));
        assert_ne!(hash(b"one"), hash(b"two"));
    }

    #[test]
    fn without_a_namespace_the_kind_is_told() {
        let mut row = culprit();
        row.labels.namespace = None;
        let naming = Naming::new(CulpritNames::Namespace, b"");
        assert_eq!(
            naming.attributes(&row),
            [(CULPRIT_KIND, "container".to_owned())]
        );
    }
}
