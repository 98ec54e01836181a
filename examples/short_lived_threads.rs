//! Many threads that live for a moment: 10,000 of them share eight lanes, one after the other and some at once, and none
//! of their records is lost.
//!
//! `cargo run --example short_lived_threads`

use std::time::Duration;

use kakashi::{Block, Channel, FileSink, info};

kakashi::channel!(
    /// A lane for each of eight threads at a time; a ninth one shares a slower lane until one is free.
    static JOBS: Channel<128, 256, 8, Block>;
);

const THREADS: u64 = 10_000;

/// Runs it.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("kakashi-jobs-{}.log", std::process::id()));
    let guard = kakashi::builder().sink(FileSink::create(&path)).start()?;
    for first in (0..THREADS).step_by(20) {
        std::thread::scope(|scope| {
            for job in first..first + 20 {
                scope.spawn(move || {
                    info!(JOBS, "began", job = job);
                    info!(JOBS, "done", job = job);
                });
            }
        });
    }
    guard.shutdown(Duration::from_secs(10))?;

    let log = std::fs::read_to_string(&path)?;
    assert_eq!(log.lines().count() as u64, 2 * THREADS);
    let stats = kakashi::get_async_stats();
    println!(
        "{} records of {THREADS} threads on {} lanes, {} dropped",
        stats.messages_written,
        JOBS.lanes().count(),
        stats.messages_dropped
    );
    println!("{}", log.lines().last().unwrap_or_default());
    std::fs::remove_file(path)?;
    Ok(())
}
