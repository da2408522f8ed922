//! OpenTelemetry metrics and events: what is told of each entity, and how it is written and
//! delivered.
//!
//! [`registry`] says which metrics there are. [`ledger`] adds up what models tell, interval by
//! interval, so that a series only grows from its start on; [`own`] has what the agent tells of
//! itself. Only this folder knows protobuf.

pub mod amount;
mod backoff;
pub mod culprit;
pub mod delivery;
pub mod document;
pub mod encode;
pub mod events;
pub mod ledger;
mod measure;
pub mod own;
pub mod registry;
pub mod resource;
pub mod transport;
