//! Recent history: what happened before somebody asked.
//!
//! The agent keeps each second of the last minutes, each minute of the last two hours, and of
//! fifteen minutes the seconds of those that lost time, all encoded, within a bound. It tells them
//! over a Unix socket, as they are: whoever asks decodes and adds them up. The store is pure; only
//! the socket does IO.

mod client;
mod dictionary;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod named;
mod packed;
mod protocol;
mod server;
mod slice;
mod store;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use client::{AskError, ask};
pub use protocol::PROTOCOL;
use server::Server;
pub use server::{ListenError, Socket};
pub use store::{BUDGET, Store};
pub use window::{Extent, Past, Window};

use crate::{
    capability::Capability,
    host::{facts::HostFacts, hierarchy::Mode},
    model::Model,
    names::{self, Names},
    observe::Observer,
};

/// Where an agent is found unless asked otherwise.
pub const SOCKET: &str = "/run/crosstalk/agent.sock";

/// What cannot be decoded: it was made by another version, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it cannot be decoded")]
pub struct Malformed;

/// Where the history is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The host.
    pub facts: HostFacts,
    /// Its cgroup hierarchies.
    pub hierarchy: Mode,
    /// What the agent can observe there.
    pub capabilities: Vec<Capability>,
}

/// The history of an agent, told while this is there. Without a socket nothing is kept.
#[derive(Debug)]
pub struct History {
    memory: Option<(Arc<Mutex<Memory>>, Server)>,
}

/// What is remembered, and where.
#[derive(Debug)]
struct Memory {
    store: Store,
    origin: Origin,
    /// How names fared lately.
    names: Option<Capability>,
}

impl History {
    /// Listens, inside the runtime. Where that fails the log says why, and nothing is remembered.
    pub fn start(socket: Option<&Socket>, observer: &Observer) -> History {
        let origin = Origin {
            facts: observer.facts().clone(),
            hierarchy: observer.hierarchy().mode,
            capabilities: observer.capabilities().to_vec(),
        };
        History::start_at(socket, origin)
    }

    fn start_at(socket: Option<&Socket>, origin: Origin) -> History {
        let Some(socket) = socket else {
            return History { memory: None };
        };
        let memory = Arc::new(Mutex::new(Memory {
            store: Store::new(BUDGET),
            origin,
            names: None,
        }));
        let server = Server::start(socket, Arc::clone(&memory));
        let server =
            server.inspect_err(|error| tracing::warn!("nothing will be remembered: {error}"));
        History {
            memory: server.ok().map(|server| (memory, server)),
        }
    }

    /// Adds what happened since the last one, and how names fare.
    pub fn add(&self, model: &Model, names: &Names) {
        let Some((memory, _)) = &self.memory else {
            return;
        };
        let mut memory = lock(memory);
        memory.names = Some(names::capability(names));
        if memory.store.add(model).is_err() {
            tracing::warn!("a second cannot be remembered: it could not be encoded");
        }
    }
}

impl Memory {
    fn origin(&self) -> Origin {
        let mut origin = self.origin.clone();
        origin.capabilities.extend(self.names.clone());
        origin
    }
}

/// What a panic left is a memory still.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
