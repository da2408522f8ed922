//! What a kubelet answers to `/pods`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::names::fuzzing::kubelet(data));
