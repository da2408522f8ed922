//! The kernel side as the agent sees it: types, loading, attaching, reading maps.

pub mod btf;
pub mod load;
pub mod offsets;
