//! Which entity a cgroup belongs to: what the host's paths say, in the model's terms.

use std::ffi::OsStr;

use crate::{
    host::identity::{self, entity_of},
    model::{Identity, Kind},
};

/// The entity of a cgroup path.
pub fn identify(path: &OsStr) -> Identity {
    let entity = entity_of(path);
    Identity {
        kind: kind(entity.kind),
        name: entity.name,
        boundary: entity.boundary,
    }
}

fn kind(kind: identity::Kind) -> Kind {
    match kind {
        identity::Kind::Container => Kind::Container,
        identity::Kind::Pod => Kind::Pod,
        identity::Kind::Service => Kind::Service,
        identity::Kind::Session => Kind::Session,
        identity::Kind::Cgroup => Kind::Cgroup,
        identity::Kind::Host => Kind::Host,
        identity::Kind::Kernel => Kind::Kernel,
        identity::Kind::Other => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_both_sides() {
        for path in ["/", "/a", "/a.service/b", "/user.slice/user-1.slice"] {
            let path = OsStr::new(path);
            let (here, there) = (identify(path), entity_of(path));
            assert_eq!(here.kind.name(), there.kind.to_string());
        }
    }
}
