//! Crosstalk
