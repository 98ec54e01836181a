//! What a logger's threads cost while nobody logs.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use crate::loggers::Running;
use crate::method::Cores;
use crate::task::{Folder, contender};
use crate::threads;

/// Share of a core that all threads but the caller's use, over `time`, after some records and a rest.
pub fn measure(name: &str, time: Duration) -> Result<f64, String> {
    let contender = contender(name)?;
    let cores = Cores::take()?;
    let folder = Folder::make()?;
    let Running { fill, finish, prepare, .. } = (contender.start)(&folder.setup(cores, false))?;
    prepare();
    fill(0, 100);
    std::thread::sleep(Duration::from_millis(200));
    let (began, before) = (Instant::now(), threads::cpu_ns_of_others()?);
    std::thread::sleep(time);
    let used = threads::cpu_ns_of_others()?.saturating_sub(before);
    let share = used as f64 / began.elapsed().as_nanos() as f64;
    finish()?;
    Ok(share)
}
