//! The contenders: each one's calls, and how it is set up and ended.

#![forbid(unsafe_code)]

#[macro_use]
mod case;

mod facade;
mod fast_log;
mod ftlog;
mod inqjet;
pub mod kakashi;
mod logforth;
mod low_latency_log;
mod slog;
mod spdlog;
mod ticklog;
mod tracing;

use std::path::PathBuf;

pub use case::{Case, Run};

use crate::method::CoreId;

/// A logger in one setting.
pub struct Contender {
    pub name: &'static str,
    /// The crate whose version is shown, and others that do its work.
    pub crates: &'static [&'static str],
    /// How it is set up, in a few words.
    pub setting: &'static str,
    /// What it is to kakashi.
    pub role: Role,
    /// Whether a full queue makes the caller wait; otherwise what happens.
    pub lossless: Result<(), &'static str>,
    pub start: fn(&Setup) -> Result<Running, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Kakashi,
    /// Leaves the formatting of numbers to its backend.
    Deferring,
    Formatting,
}

/// What a logger is told.
pub struct Setup {
    /// An empty folder on tmpfs. All that a logger writes there is counted.
    pub dir: PathBuf,
    /// Where its backend belongs.
    pub core: CoreId,
    /// Not into a file but away with it: asked of kakashi only.
    pub discard: bool,
}

impl Setup {
    pub fn file(&self) -> PathBuf {
        if self.discard { PathBuf::from("/dev/null") } else { self.dir.join("log") }
    }
}

/// A logger that runs.
pub struct Running {
    pub cases: Vec<Case>,
    /// Logs `2 ints + double` for each number from the first up to the second, excluded.
    pub fill: fn(u64, u64),
    /// What a thread does before its first call, as the documentation advises.
    pub prepare: fn(),
    /// Returns when all is in the file. An error makes the turn worthless.
    pub finish: Box<dyn FnOnce() -> Result<(), String>>,
}

/// All of them; kakashi's come first.
pub fn all() -> Vec<Contender> {
    let mut all = kakashi::contenders();
    all.extend([
        ticklog::CONTENDER,
        inqjet::PARKING,
        inqjet::SPINNING,
        low_latency_log::CONTENDER,
        spdlog::CONTENDER,
        ftlog::CONTENDER,
        fast_log::CONTENDER,
        tracing::BLOCKING,
        tracing::LOSSY,
        slog::CONTENDER,
        logforth::CONTENDER,
    ]);
    all
}

/// Records that a peer's queue holds, where that is to be chosen: what two of them recommend.
const QUEUE: usize = 100_000;

/// For peers that take any `Write`: a file behind a buffer, as those have that open files by themselves.
fn buffered_file(setup: &Setup) -> Result<std::io::BufWriter<std::fs::File>, String> {
    let file = std::fs::File::create(setup.file()).map_err(|error| error.to_string())?;
    Ok(std::io::BufWriter::with_capacity(256 << 10, file))
}
