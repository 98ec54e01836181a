//! One run of a backend, from its start to the proof that nothing is missing.

#![allow(dead_code)] // each benchmark uses its part

use std::path::{Path, PathBuf};
use std::time::Duration;

use kakashi::{AsyncStats, Builder, FileSink, Guard};

use crate::method::{count_lines, tmpfs};

const PATIENCE: Duration = Duration::from_secs(60);

/// A backend that runs, and what was counted before.
pub struct Run {
    guard: Guard,
    before: AsyncStats,
    path: Option<PathBuf>,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub bytes: u64,
    /// Calls that had to wait for room.
    pub blocked: u64,
}

/// A name in memory for a run's file.
pub fn file_of(bench: &str) -> PathBuf {
    tmpfs().join(format!("kakashi-{bench}-{}.log", std::process::id()))
}

impl Run {
    /// Starts a backend that writes to `path`, a new file or a device.
    pub fn to(path: &Path, builder: Builder) -> Self {
        let mut run = Run::with(builder.sink(FileSink::create(path)));
        run.path = Some(path.to_owned());
        run
    }

    /// Starts a backend with sinks of the caller's.
    pub fn with(builder: Builder) -> Self {
        let before = kakashi::get_async_stats();
        let guard = builder.start().unwrap_or_else(|error| panic!("the backend does not start: {error}"));
        Run { guard, before, path: None }
    }

    /// Waits until all that was logged has been taken by the sink.
    pub fn flush(&self) {
        kakashi::flush(PATIENCE).unwrap_or_else(|error| panic!("the writer does not catch up: {error}"));
    }

    /// Shuts down, and verifies that `records` were logged, and that each of them is written and a line of
    /// the file. The file stays.
    pub fn finish(self, records: u64) -> Finished {
        self.guard.shutdown(PATIENCE).unwrap_or_else(|error| panic!("the shutdown fails: {error}"));
        let now = kakashi::get_async_stats();
        let dropped = now.messages_dropped - self.before.messages_dropped;
        assert_eq!(dropped, 0, "the run counts for nothing: records were dropped ({})", now.dropped);
        let written = now.messages_written - self.before.messages_written;
        assert_eq!(written, records, "the run counts for nothing: records written, and calls made, differ");
        if let Some(path) = self.path.filter(|path| path.is_file()) {
            let lines = count_lines(&path).expect("the log can be read");
            assert_eq!(
                lines, records,
                "the run counts for nothing: lines of the log, and calls made, differ"
            );
        }
        Finished {
            bytes: now.bytes_written - self.before.bytes_written,
            blocked: now.blocked - self.before.blocked,
        }
    }
}
