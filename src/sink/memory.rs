//! A sink that keeps its lines, for tests.
#![forbid(unsafe_code)]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Sink;

/// Keeps everything in memory; a clone reads what the backend has written.
///
/// ```
/// use std::time::Duration;
///
/// let sink = kakashi::MemorySink::new();
/// let guard = kakashi::builder().sink(sink.clone()).start()?;
/// kakashi::info!("filled {}", 7);
/// kakashi::flush(Duration::from_secs(5))?;
/// assert!(sink.lines()[0].ends_with("filled 7"));
/// # guard.shutdown(Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl MemorySink {
    /// An empty one.
    pub fn new() -> Self {
        MemorySink::default()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Everything written so far, line by line, without the line ends.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Forgets what was written so far.
    pub fn clear(&self) {
        self.bytes().clear();
    }
}

impl Sink for MemorySink {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }
}
