//! The command `crosstalk`.

fn main() {}
