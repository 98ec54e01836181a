#![no_main]

#[path = "../outside/options.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target::options(bytes));
