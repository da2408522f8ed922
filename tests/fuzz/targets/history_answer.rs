//! What an agent, or who stands in its place, answers a report.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::history::fuzzing::answer(data));
