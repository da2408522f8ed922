//! Block devices of known behaviour, what the kernel says about them, and what the report does.

pub mod device;
pub mod filesystem;
pub mod io_stat;
pub mod loop_device;
pub mod mapped;
pub mod md_array;
pub mod null_blk;
pub mod rows;
pub mod scene;
pub mod scratch;
pub mod scsi_debug;

/// Pieces of this size go to the one and the other device of a stripe in turn.
pub const CHUNK: usize = 64 << 10;
