//! The fuzz targets over their corpora, without a fuzzer: `cargo test --features fuzzing --test fuzz_replay`.
//!
//! A target is a function (`src/fuzz.rs`); `fuzz/` hands it what libFuzzer thinks of. An input that was ever
//! found to break one is put into `fuzz/corpus/NAME` and stays there.
#![cfg(feature = "fuzzing")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use kakashi::__fuzz::TARGETS;

#[test]
fn every_input_of_every_corpus_passes() {
    for (name, target) in TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
            let path = entry.expect("the folder is read").path();
            let bytes = fs::read(&path).expect("the file is read");
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                panic!("the target `{name}` fails on {}", path.display());
            }
            inputs += 1;
        }
        assert!(inputs >= 10, "the corpus of `{name}` has {inputs} inputs only");
    }
}

/// What a fuzzer begins with: a little of everything, the same each time.
#[test]
fn some_random_inputs_pass() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for (_, target) in TARGETS {
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..random()).map(|_| random()).collect();
            target(&bytes);
        }
    }
}
