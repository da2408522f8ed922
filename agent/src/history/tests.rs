//! A store against the intervals that it was given, its size, and the socket.

mod fixture;
mod protocol;
mod size;
mod socket;
mod store;
