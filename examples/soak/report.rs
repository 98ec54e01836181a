//! Violations, and what is kept of them.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is wrong, and files that show it.
pub struct Violation {
    pub what: String,
    pub files: Vec<(String, Vec<u8>)>,
}

/// What follows from the first violation is of little interest.
const MOST: usize = 5;

static FAILED: AtomicBool = AtomicBool::new(false);
static VIOLATIONS: Mutex<Vec<Violation>> = Mutex::new(Vec::new());

/// Whether there was a violation.
pub fn failed() -> bool {
    FAILED.load(Ordering::Acquire)
}

pub fn violation(what: String) {
    violation_with(what, Vec::new);
}

pub fn violation_with(what: String, files: impl FnOnce() -> Vec<(String, Vec<u8>)>) {
    let mut all = VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() < MOST {
        let files = files();
        all.push(Violation { what, files });
    }
    FAILED.store(true, Ordering::Release);
}

/// All violations.
pub fn take() -> Vec<Violation> {
    std::mem::take(&mut VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Puts the files of a violation where they can be read.
pub fn keep(folder: &PathBuf, violation: &Violation) {
    let _ = std::fs::create_dir_all(folder);
    for (name, bytes) in &violation.files {
        if let Err(error) = std::fs::write(folder.join(name), bytes) {
            eprintln!("{name}: {error}");
        }
    }
}
