//! The black box: the region as a file, which outlives the process.
//!
//! `Builder::black_box(path)` puts the region (`region.rs`) into a file on tmpfs and maps it. Log calls and writer do to it
//! what they do to anonymous memory, by the same code; the kernel keeps the pages when the process is gone, however it
//! went. A record is *committed* when its call has returned: it was published by then, in memory that is the file's.
//!
//! The file, all numbers little-endian, all parts at multiples of 4096 bytes:
//!
//! ```text
//! 0        magic "KAKASHI\0" (8), stored last; layout (4); bytes of the header (4); bytes of the region (8)
//! 24       process (4), 0 (4), its start (8), boot id (32), build (32), program (16): whose it is
//! 120      where tables are (8), how long (8), their FNV-1a (8); where names, staging, lanes are (8 each)
//! 168      1 at work or dead, 2 ended and all written (4); the backend's state (4)
//! 176      the clock: which reading counts (8), two of: tick (8), ns since 1970 (8), ns per tick times 2^32 (8)
//! 256      journal: number of the sealed batch (8); from 384 on eight sinks, 5888 bytes each: what is staged, where
//!          it goes, level, name, format, zone and filter (`journal.rs`)
//! 47488    totals (`stats.rs`): 9 counters of drops, 9 of drops told, written, staged, notices, late, bytes, errors,
//!          writers, writers at work (8 each)
//! tables   channels and log statements (`tables.rs`)
//! names    1024 loggers: length (8), text (120)
//! staging  eight times 1 MiB: lines on their way into a sink
//! lanes    channel by channel: lanes (`lane.rs`, `ring/`, `held.rs`), the shared one last, then the scratch pool
//! ```
//!
//! | module | |
//! |---|---|
//! | `file` | opening, locking, reserving and mapping the file; what becomes of it in a fork and at the end |
//! | `tables` | what the indices in records stand for |
//! | `view`, `lanes`, `records`, `follow` | reading a box from outside: statistics, records in order, records as they come |
//! | `backtrace` | what threads hold back until their next error |
//! | `recover`, `grown`, `report` | bringing into the log what a dead process has left |
//!
//! Decision: lanes and staging are not copied out of the dead box into the new one, and the log's own file is not parsed to
//! find what is missing: the box alone says what was written, by positions and places, so that a log of any size and
//! format can be completed.
//!
//! Decision: the box is reused in place rather than replaced by a new file under the same name: there would be two of them
//! in memory for a moment, and a second name to clean up after a crash in between. What is in it is written by then.

mod backtrace;
mod file;
mod find;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod grown;
mod lanes;
mod plain;
mod records;
mod recover;
mod report;
mod settle;
mod tables;
mod view;

pub use backtrace::{HeldBack, print_held};
pub(crate) use file::{Content, FileSizeLimit, claim, leave_in_child, own_path, remove_if_clean};
pub use find::find;
pub use follow::{Event, Follow};
pub use recover::{complete, complete_in_part, print, print_as};
pub use report::Report;
pub use view::{LaneInfo, Life, View};

use crate::region::{ClockPlate, RegionHeader};

// The layout above.
const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(RegionHeader, origin) == 24);
    assert!(offset_of!(RegionHeader, tables) == 120);
    assert!(offset_of!(RegionHeader, end) == 168);
    assert!(offset_of!(RegionHeader, clock) == 176 && size_of::<ClockPlate>() == 56);
    assert!(offset_of!(RegionHeader, journal) == 256);
    assert!(size_of::<crate::journal::SinkEntry>() == 5888);
    assert!(offset_of!(RegionHeader, totals) == 47488);
    assert!(crate::journal::ZONE_CHANGES == crate::zone::CHANGES);
};
