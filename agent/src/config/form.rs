//! The form in which metrics are told, which is up to who receives them.

use serde::Deserialize;

/// The form in which metrics are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Since when sums and histograms count.
    pub temporality: Temporality,
    /// How histograms are told.
    pub histograms: Histograms,
    /// Where it is said whose a data point is.
    pub identity: Identity,
}

/// Since when sums and histograms count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Since a series began
    #[default]
    Cumulative,
    /// Since a receiver took them last
    Delta,
    /// Histograms since a receiver took them last, sums since a series began
    #[value(name = "lowmemory")]
    LowMemory,
}

/// How histograms are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Histograms {
    /// As exponential ones
    #[default]
    Exponential,
    /// With bounds at powers of two, for receivers that know no others
    Explicit,
}

/// Where it is said whose a data point is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// On its Resource
    #[default]
    Resource,
    /// On each point too, for receivers that drop attributes of Resources
    Points,
}
