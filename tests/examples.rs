//! The examples run to their ends, and verify what they did.
#![cfg(not(any(
    feature = "max_level_off",
    feature = "max_level_error",
    feature = "max_level_warn",
    feature = "max_level_info",
    feature = "max_level_debug"
)))]

mod common;

#[path = "../examples/audio_callback.rs"]
mod audio_callback;
#[path = "../examples/matching_engine.rs"]
mod matching_engine;
#[cfg(all(feature = "log", feature = "tracing"))]
#[path = "../examples/service.rs"]
mod service;
#[path = "../examples/short_lived_threads.rs"]
mod short_lived_threads;

use common::alone;

#[test]
fn the_audio_callback_logs_what_it_should() {
    alone("the_audio_callback_logs_what_it_should", || audio_callback::main().expect("it runs"));
}

#[test]
fn the_matching_engine_writes_all_that_it_counts() {
    alone("the_matching_engine_writes_all_that_it_counts", || matching_engine::main().expect("it runs"));
}

#[test]
fn short_lived_threads_lose_nothing() {
    alone("short_lived_threads_lose_nothing", || short_lived_threads::main().expect("it runs"));
}

#[cfg(all(feature = "log", feature = "tracing"))]
#[test]
fn the_service_shows_a_request_whole() {
    alone("the_service_shows_a_request_whole", || service::main().expect("it runs"));
}
