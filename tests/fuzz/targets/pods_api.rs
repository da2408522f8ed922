//! What a kubelet answers on its Pods API socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::names::fuzzing::pods_api(data));
