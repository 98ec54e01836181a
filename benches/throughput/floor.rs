//! The limit: what `write(2)` does with the same bytes, when they are ready.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::method::CoreId;

/// Bytes of a write, of which `write(2)` is at its best.
const PIECE: usize = 256 << 10;

/// The time in which `bytes` bytes, the beginning of `from` again and again, are written to `to`: from an empty file to
/// the last byte, on the writer's core.
pub fn write_alone(from: &Path, to: &Path, bytes: u64, core: CoreId) -> Duration {
    let mut piece = Vec::with_capacity(PIECE);
    File::open(from)
        .and_then(|file| file.take(PIECE as u64).read_to_end(&mut piece))
        .expect("the log can be read");
    assert!(!piece.is_empty(), "there is a log");
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| {
            core_affinity::set_for_current(core);
            let _ = std::fs::metadata(to).map(|known| known.is_file().then(|| std::fs::remove_file(to)));
            let mut file = OpenOptions::new().append(true).create(true).open(to).expect("it can be written");
            let began = Instant::now();
            let mut left = bytes;
            while left > 0 {
                let len = left.min(piece.len() as u64);
                file.write_all(&piece[..len as usize]).expect("it can be written");
                left -= len;
            }
            began.elapsed()
        });
        alone.join().expect("it writes")
    })
}
