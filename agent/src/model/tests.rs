//! What must hold for any two samples.

mod examples;
mod properties;
