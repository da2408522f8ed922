//! Block I/O: its program's maps, read each second.

pub mod offsets;

mod maps;
mod reader;
mod ring;
mod streams;

pub use maps::BlockMaps;
pub use offsets::BlockError;
pub use reader::{BlockReader, BlockReading};
