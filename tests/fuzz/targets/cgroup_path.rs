//! Paths of cgroups, which whoever may make one chooses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crosstalk::names::fuzzing::cgroup_path(data));
