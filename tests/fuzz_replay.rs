//! The fuzz targets over their corpora, without a fuzzer: `cargo test --features fuzzing --test fuzz_replay`.
//!
//! A target is a function (`src/fuzz/`; `fuzz/outside/` for what is not of the library); `fuzz/` hands it what
//! libFuzzer thinks of. An input that was ever found to break one is put into `fuzz/corpus/NAME` and stays there.
#![cfg(feature = "fuzzing")]

#[path = "../fuzz/outside/options.rs"]
mod options;
#[path = "../fuzz/outside/replay.rs"]
mod replay;
#[path = "../fuzz/outside/template.rs"]
mod template;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use kakashi::__fuzz::{TARGETS, Target, tags};

/// Each target by the name of its corpus.
fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    let outside: [(_, Target); 3] =
        [("options", options::options), ("replay", replay::replay), ("template", template::template)];
    TARGETS.into_iter().chain(outside)
}

/// The inputs of a corpus.
fn corpus(name: &str) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("the folder is read").path());
    paths.map(|path| (path.clone(), fs::read(&path).expect("the file is read"))).collect()
}

#[test]
fn every_input_of_every_corpus_passes() {
    for (name, target) in targets() {
        let inputs = corpus(name);
        for (path, bytes) in &inputs {
            if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
                panic!("the target `{name}` fails on {}", path.display());
            }
        }
        assert!(inputs.len() >= 10, "the corpus of `{name}` has {} inputs only", inputs.len());
    }
}

/// Every target that libFuzzer runs is replayed here, and has a corpus; and no corpus is nobody's.
#[test]
fn every_target_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz.join(folder)).expect("the folder is read");
        let paths = entries.map(|entry| entry.expect("the folder is read").path());
        paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
    };
    let replayed = targets().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names("fuzz_targets"), replayed);
    assert_eq!(names("corpus"), replayed);
}

/// Every kind of value, in both encodings, is decoded.
#[test]
fn the_corpus_of_decode_has_every_tag() {
    let seen: BTreeSet<u8> = corpus("decode").iter().flat_map(|(_, bytes)| tags(bytes).0).collect();
    assert_eq!(seen, tags(&[]).1.into_iter().collect());
}

/// What a fuzzer begins with: a little of everything, the same each time.
#[test]
fn some_random_inputs_pass() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    for (_, target) in targets() {
        for _ in 0..300 {
            let bytes: Vec<u8> = (0..random()).map(|_| random()).collect();
            target(&bytes);
        }
    }
}
