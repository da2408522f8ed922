//! The agent of Crosstalk: reads what the kernel programs account, and tells who waited, for what
//! and for whom.

pub mod attribution;
pub mod canary;
pub mod capability;
pub mod cli;
pub mod config;
pub mod confine;
pub mod entity;
pub mod history;
pub mod host;
pub mod kernel;
pub mod model;
pub mod names;
pub mod observe;
pub mod otlp;
pub mod sample;
pub mod signal;
pub mod wording;
