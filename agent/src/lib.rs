//! The agent of Crosstalk: reads what the kernel programs account, and tells who waited, for what
//! and for whom.

pub mod host;
pub mod kernel;
pub mod sample;
