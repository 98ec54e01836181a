//! A child's turn in a round of throughput: records back to back, until the last one is in the file.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use kakashi::{MemorySink, info};

use crate::data::{Place, Throughput};
use crate::loggers::{Role, Running};
use crate::method::{self, CoreId, Cores};
use crate::task::{Folder, contender};
use crate::threads;

/// Records before the clock runs: threads are started and files open then.
const WARM_UP: u64 = 1000;

/// Pieces in which `write(2)` alone is fed.
const PIECE: usize = 256 << 10;

/// `threads` producers share all cores but the backend's. From the first call of any until the logger says
/// that all is written.
pub fn measure(name: &str, threads: u64, records: u64, discard: bool) -> Result<Throughput, String> {
    let contender = contender(name)?;
    let cores = Cores::take()?;
    let folder = Folder::make()?;
    let before = method::one_way(cores.writer);
    let Running { fill, finish, prepare, .. } = (contender.start)(&folder.setup(cores, discard))?;
    prepare();
    fill(0, WARM_UP);
    if contender.role != Role::Kakashi {
        threads::pin_others(cores.writer);
    }
    method::pause(Duration::from_millis(20));

    let producers = producer_cores(cores);
    let start = Barrier::new(threads as usize);
    let share = records / threads;
    let first_calls: Vec<Instant> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (start, core) = (&start, producers[thread as usize % producers.len()]);
                scope.spawn(move || {
                    core_affinity::set_for_current(core);
                    prepare();
                    start.wait();
                    let began = Instant::now();
                    fill(thread * share, (thread + 1) * share);
                    began
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    finish()?;
    let ended = Instant::now();
    let began = first_calls.into_iter().min().ok_or("a producer panicked")?;
    let records = share * threads;
    let (lines, bytes) = if discard {
        // kakashi's `finish` has vouched for them.
        (records, 0)
    } else {
        let (lines, bytes) = (folder.lines()?, folder.bytes());
        // The share of what was logged before the clock ran.
        (lines.saturating_sub(WARM_UP), bytes - bytes * WARM_UP / (records + WARM_UP))
    };
    let place = Place { before, after: method::one_way(cores.writer) };
    Ok(Throughput { place, records, lines, bytes, seconds: (ended - began).as_secs_f64() })
}

fn producer_cores(cores: Cores) -> Vec<CoreId> {
    core_affinity::get_core_ids()
        .filter(|all| all.len() > 1)
        .map(|all| all.into_iter().filter(|core| core.id != cores.writer.id).collect())
        .unwrap_or_else(|| vec![cores.producer])
}

/// The floor: `bytes` of kakashi's lines, by nothing but `write(2)`, from the backend's core.
pub fn write_alone(bytes: u64) -> Result<Throughput, String> {
    let cores = Cores::take()?;
    let folder = Folder::make()?;
    let before = method::one_way(cores.writer);
    let lines = kakashi_lines()?;
    let per_line = lines.len() as f64 / lines.iter().filter(|&&byte| byte == b'\n').count() as f64;
    let buffer: Vec<u8> = lines.iter().copied().cycle().take(PIECE).collect();
    let path = folder.path().join("log");
    core_affinity::set_for_current(cores.writer);
    let began = Instant::now();
    let mut file = File::create(&path).map_err(|error| error.to_string())?;
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(PIECE as u64);
        file.write_all(&buffer[..piece as usize]).map_err(|error| error.to_string())?;
        left -= piece;
    }
    let seconds = began.elapsed().as_secs_f64();
    core_affinity::set_for_current(cores.producer);
    let place = Place { before, after: method::one_way(cores.writer) };
    let records = (bytes as f64 / per_line).round() as u64;
    Ok(Throughput { place, records, lines: records, bytes, seconds })
}

/// Real lines of the message, of numbers of every length.
fn kakashi_lines() -> Result<Vec<u8>, String> {
    let sink = MemorySink::new();
    let guard = kakashi::builder().sink(sink.clone()).start().map_err(|error| error.to_string())?;
    for i in (0..1_000_000_u64).step_by(500) {
        info!("order {} filled {} @ {}", i, i * 7919, method::values::double(i));
    }
    guard.shutdown(Duration::from_secs(10)).map_err(|error| error.to_string())?;
    Ok(sink.text().into_bytes())
}
