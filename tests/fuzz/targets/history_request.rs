//! What anybody says to the socket of an agent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::history::fuzzing::request(data));
