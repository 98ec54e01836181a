//! What the driver asks of a child process, and the child's part of it that all tasks share.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::loggers::{self, Contender, Setup};
use crate::method::{self, Cores};

/// One process's work. Its answer is one line of JSON.
#[derive(Serialize, Deserialize)]
pub enum Task {
    Latency { contender: String, bursts: usize, warm_bursts: usize, pause_us: u64 },
    Throughput { contender: String, threads: u64, records: u64, discard: bool },
    WriteAlone { bytes: u64 },
    Idle { contender: String, ms: u64 },
}

/// The folder of a child, on tmpfs; it goes when the value goes, or when the driver finds that it could not.
pub struct Folder(PathBuf);

impl Folder {
    pub fn of(pid: u32) -> PathBuf {
        method::tmpfs().join(format!("kakashi-compare-{pid}"))
    }

    /// # Errors
    /// When tmpfs is not there or full.
    pub fn make() -> Result<Self, String> {
        let path = Self::of(std::process::id());
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn setup(&self, cores: Cores, discard: bool) -> Setup {
        Setup { dir: self.0.clone(), core: cores.writer, discard }
    }

    /// The files in it. Links, which some loggers make to their newest file, are none.
    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.path())
            .collect()
    }

    pub fn lines(&self) -> Result<u64, String> {
        self.files().iter().map(|file| method::count_lines(file).map_err(|error| error.to_string())).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files().iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }

    /// A line with two ints and a double.
    pub fn sample(&self) -> String {
        let texts = self.files().into_iter().filter_map(|file| std::fs::read(file).ok());
        texts
            .filter_map(|bytes| {
                let text = String::from_utf8_lossy(&bytes);
                text.lines().find(|line| line.contains(" @ ")).map(str::to_owned)
            })
            .next()
            .unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is the driver's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn contender(name: &str) -> Result<Contender, String> {
    loggers::all().into_iter().find(|one| one.name == name).ok_or_else(|| format!("no contender {name}"))
}
