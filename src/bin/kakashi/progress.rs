//! How far the replay is, for who watches it on a terminal.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Calls made so far, by all threads.
#[derive(Default)]
pub struct Progress(AtomicU64);

impl Progress {
    pub fn add(&self, calls: u64) {
        self.0.fetch_add(calls, Ordering::Relaxed);
    }
}

/// A bar on standard error, drawn by a thread of its own.
pub struct Bar<'scope> {
    drawer: ScopedJoinHandle<'scope, ()>,
    bar: ProgressBar,
}

impl<'scope> Bar<'scope> {
    /// Shows it, if standard error is a terminal.
    pub fn show<'env>(
        scope: &'scope Scope<'scope, 'env>,
        progress: &'scope Progress,
        total: u64,
    ) -> Option<Bar<'scope>> {
        if !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:32} {human_pos} of {human_len} records, {eta} left")
        {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let draw = move || {
            while !shown.is_finished() {
                shown.set_position(progress.0.load(Ordering::Relaxed));
                thread::park_timeout(Duration::from_millis(100));
            }
        };
        let drawer = thread::Builder::new().name("progress".to_owned()).spawn_scoped(scope, draw).ok()?;
        Some(Bar { drawer, bar })
    }

    /// Takes it away.
    pub fn clear(self) {
        self.bar.finish_and_clear();
        self.drawer.thread().unpark();
    }
}
