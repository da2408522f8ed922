//! What must hold for any two samples.

mod consecutive;
mod disk;
mod disk_figures;
mod disk_properties;
mod examples;
mod properties;
