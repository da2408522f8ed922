//! The YAML file of the agent: right, or an error that names a place.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::config::fuzzing::file(data));
