#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kakashi::__fuzz::round_trip(bytes));
