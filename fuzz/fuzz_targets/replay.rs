#![no_main]

#[path = "../outside/replay.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::replay(bytes));
