//! What the fuzz targets call, and `tests/fuzz_replay.rs` calls with their corpora: functions of any bytes
//! that panic when a promise is broken. `fuzz/README.md` says which promises, and how to run them.

mod input;
mod json;
mod lent;
mod line;
mod policies;
mod render;
mod rings;
mod round_trip;
mod statements;
mod text;
mod told;

pub use crate::blackbox::fuzz::black_box;
pub use json::json;
pub use line::{REPLAYED, line, replayed};
pub use policies::policies;
pub use render::{decode, escape, float, tags};
pub use rings::rings;
pub use round_trip::round_trip;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Each target of the library by the name of its corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("black_box", black_box),
    ("decode", decode),
    ("escape", escape),
    ("float", float),
    ("json", json),
    ("line", line),
    ("policies", policies),
    ("rings", rings),
    ("round_trip", round_trip),
];
