//! The journal: what the writer notes so that a batch is neither lost nor doubled when the process dies in the middle.
//!
//! A record is in its ring until it stands in a *sealed* batch, and is the batch's from then on. A round of the writer's:
//!
//! ```text
//! 1  render records into the sinks' staging                          the rings have them
//! 2  per sink: batch = b, staged = bytes, taken = 0                  "
//! 3  per lane: batch = b, batch_read = the read position behind      "
//! 4  sealed = b                                                      the batch has them
//! 5  the rings' read positions move on                               "
//! 6  per write: the place (device, inode, offset) and from = taken; write(2); taken += what was taken
//! ```
//!
//! *Who reads this afterwards* finds some prefix of these stores: on x86_64 stores become visible in program order, and
//! each of these is a Release store, which keeps them in order elsewhere. So:
//!
//! Loom checks steps 2 to 5 (`models/journal.rs`).
//!
//! * What a lane has not written yet begins at `batch_read` if the lane's `batch` is the sealed one (step 5 may not
//!   have happened), and at the ring's read position otherwise (the batch noted there is not sealed, or was long ago and
//!   step 5 with it). The number is stored before the position, so that no position is believed with an older number.
//! * What stands in a sink's staging counts if its `batch` is not above the sealed one. Staging is rendered into only
//!   when it is empty (`taken == staged`), so that the number, stored first, takes an empty entry out of the count, and
//!   `sealed` puts the new one in.
//! * How much of it a file has got is what the file has grown by since the place was noted: a write that is killed may
//!   have gone half way. A place is stored whole into the one of two that does not count, and then made to count.
//!   A sink that has no place has got at least `taken` bytes.
//!
//! All of it costs the writer some stores a batch, in memory of its own; with the black box off nobody reads it, and
//! only the places are left out, which cost a system call.
#![forbid(unsafe_code)]
#![cfg_attr(kakashi_loom, allow(dead_code))] // its models use a part

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The most sinks that a backend can have.
pub(crate) const MAX_SINKS: usize = if cfg!(kakashi_loom) { 1 } else { 8 };
/// Bytes of a path or a name; a longer one is not noted.
pub(crate) const NAME_BYTES: usize = if cfg!(kakashi_loom) { 8 } else { 1024 };

/// Changes of a zone's clock.
pub(crate) const ZONE_CHANGES: usize = if cfg!(kakashi_loom) { 1 } else { 64 };

/// The bytes go where nobody can look afterwards.
pub(crate) const NOWHERE: u64 = 3;

/// All zero is an empty journal.
#[repr(C, align(128))]
#[cfg_attr(kakashi_loom, derive(Default))]
pub(crate) struct Journal {
    /// The number of the last batch whose records are staging's. The first one is 1.
    pub(crate) sealed: AtomicU64,
    pub(crate) sinks: [SinkEntry; MAX_SINKS],
}

/// One sink.
#[repr(C, align(128))]
#[cfg_attr(kakashi_loom, derive(Default))]
pub(crate) struct SinkEntry {
    /// 1 when there is such a sink.
    pub(crate) used: AtomicU32,
    /// The records that it gets: a `LevelFilter` as a number.
    pub(crate) level: AtomicU32,
    /// The number of the batch in its staging.
    pub(crate) batch: AtomicU64,
    /// Bytes and records of that batch, and bytes that the sink has taken.
    pub(crate) staged: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) taken: AtomicU64,
    /// Records that it has missed while it was suspended.
    pub(crate) missed: AtomicU64,
    /// Which place counts: 1 or 2; 0 when nothing of the batch was given to the sink yet, `NOWHERE` when it was given
    /// where nobody can look afterwards.
    pub(crate) place: AtomicU64,
    pub(crate) places: [PlaceEntry; 2],
    /// The sink's name.
    pub(crate) name: Text,
    /// How its lines look: 0 text, 1 JSON, 2 the same with OpenTelemetry's names, 3 with those of the Elastic Common
    /// Schema, 4 logfmt, 5 the console's, 6 by the pattern.
    pub(crate) format: AtomicU64,
    pub(crate) pattern: Text,
    /// The zone of their times.
    pub(crate) zone: ZoneEntry,
    /// The sink's filter; empty for none.
    pub(crate) filter: Text,
}

/// A zone's table (`zone/`), so that who renders afterwards needs no other. Without a change, it is UTC.
#[repr(C)]
#[cfg_attr(kakashi_loom, derive(Default))]
pub(crate) struct ZoneEntry {
    pub(crate) len: AtomicU64,
    /// Each: seconds since 1970 times 2^16, and the minutes of the offset from then on, 16 bits.
    pub(crate) changes: [AtomicU64; ZONE_CHANGES],
}

/// How a sink's lines look: as the entry has it, the zone by its changes.
#[derive(Clone, Copy)]
pub(crate) struct LookNote<'a> {
    pub(crate) format: u32,
    pub(crate) pattern: &'a [u8],
    pub(crate) zone: &'a [u64],
}

/// Where the bytes from `from` on go.
#[repr(C)]
#[cfg_attr(kakashi_loom, derive(Default))]
pub(crate) struct PlaceEntry {
    pub(crate) device: AtomicU64,
    pub(crate) inode: AtomicU64,
    pub(crate) offset: AtomicU64,
    pub(crate) from: AtomicU64,
    /// The file's absolute path.
    pub(crate) path: Text,
}

/// Bytes that are stored seldom.
#[repr(C)]
#[cfg_attr(kakashi_loom, derive(Default))]
pub(crate) struct Text {
    pub(crate) len: AtomicU64,
    pub(crate) words: [AtomicU64; NAME_BYTES / 8],
}

impl Text {
    fn put(&self, bytes: &[u8]) {
        self.len.store(0, Ordering::Release);
        if bytes.len() > NAME_BYTES {
            return;
        }
        for (to, part) in self.words.iter().zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            to.store(u64::from_le_bytes(word), Ordering::Release);
        }
        self.len.store(bytes.len() as u64, Ordering::Release);
    }

    fn is(&self, bytes: &[u8]) -> bool {
        self.len.load(Ordering::Relaxed) == bytes.len() as u64
            && self
                .words
                .iter()
                .zip(bytes.chunks(8))
                .all(|(word, part)| word.load(Ordering::Relaxed).to_le_bytes().starts_with(part))
    }
}

impl ZoneEntry {
    /// As many of the changes as there is room for.
    fn put(&self, changes: &[u64]) {
        self.len.store(0, Ordering::Release);
        for (to, &change) in self.changes.iter().zip(changes) {
            to.store(change, Ordering::Release);
        }
        self.len.store(changes.len().min(ZONE_CHANGES) as u64, Ordering::Release);
    }

    fn is(&self, changes: &[u64]) -> bool {
        self.len.load(Ordering::Relaxed) == changes.len() as u64
            && self.changes.iter().zip(changes).all(|(word, &change)| word.load(Ordering::Relaxed) == change)
    }
}

impl Journal {
    /// The number of the batch that is being made.
    pub(crate) fn next(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed) + 1
    }

    /// Step 4: the records noted with `batch` are the batch's.
    pub(crate) fn seal(&self, batch: u64) {
        self.sealed.store(batch, Ordering::Release);
    }

    /// New sinks: nothing is staged.
    pub(crate) fn clear(&self) {
        for sink in &self.sinks {
            sink.used.store(0, Ordering::Release);
            sink.taken.store(0, Ordering::Release);
            sink.staged.store(0, Ordering::Release);
            sink.place.store(0, Ordering::Release);
            sink.missed.store(0, Ordering::Release);
        }
    }
}

impl SinkEntry {
    /// There is such a sink.
    pub(crate) fn open(&self, level: u32, name: &[u8]) {
        self.level.store(level, Ordering::Release);
        self.name.put(name);
        self.used.store(1, Ordering::Release);
    }

    /// How the sink's lines look, before it is opened. Text while that changes.
    pub(crate) fn note_look(&self, look: LookNote<'_>) {
        let LookNote { format, pattern, zone } = look;
        let format = u64::from(format);
        let is_it = self.format.load(Ordering::Relaxed) == format && self.pattern.is(pattern);
        if !(is_it && self.zone.is(zone)) {
            self.format.store(0, Ordering::Release);
            self.pattern.put(pattern);
            self.zone.put(zone);
            self.format.store(format, Ordering::Release);
        }
    }

    /// The sink's filter, before it is opened. While it changes, there is none: rather a record too many than one too few.
    pub(crate) fn note_filter(&self, filter: &[u8]) {
        if !self.filter.is(filter) {
            self.filter.put(filter);
        }
    }

    /// A sink of a recovery instead of the one before, or none: nothing is staged, out of the count first. One that stays
    /// keeps the places noted last, so that the log can be found at any moment of a recovery.
    pub(crate) fn succeed(&self, sink: Option<(u32, &[u8], LookNote<'_>, &[u8])>) {
        self.stage(u64::MAX, 0, 0);
        self.missed.store(0, Ordering::Release);
        match sink {
            Some((level, filter, look, name)) => {
                self.note_look(look);
                self.note_filter(filter);
                self.open(level, name);
            }
            None => self.used.store(0, Ordering::Release),
        }
    }

    /// Step 2.
    pub(crate) fn stage(&self, batch: u64, bytes: usize, records: u64) {
        self.batch.store(batch, Ordering::Release);
        self.taken.store(0, Ordering::Release);
        self.place.store(0, Ordering::Release);
        self.records.store(records, Ordering::Release);
        self.staged.store(bytes as u64, Ordering::Release);
    }

    /// Whether that much is staged, as far as the journal says.
    pub(crate) fn is_staged(&self, bytes: usize) -> bool {
        self.staged.load(Ordering::Relaxed) == bytes as u64
    }

    /// A line of the logger's own, which is no batch's: it counts at once.
    pub(crate) fn stage_line(&self, sealed: u64, bytes: usize) {
        // Out of the count until all of it is there.
        self.stage(u64::MAX, bytes, 0);
        self.batch.store(sealed, Ordering::Release);
    }

    /// Before a write of the bytes from `from` on.
    pub(crate) fn note_place(&self, from: usize, device: u64, inode: u64, offset: u64, path: &[u8]) {
        let other = if self.place.load(Ordering::Relaxed) == 1 { 2 } else { 1 };
        let place = &self.places[other - 1];
        let same = |word: &AtomicU64, value| word.load(Ordering::Relaxed) == value;
        if !(same(&place.device, device)
            && same(&place.inode, inode)
            && same(&place.path.len, path.len() as u64))
        {
            place.path.put(path);
            place.device.store(device, Ordering::Release);
            place.inode.store(inode, Ordering::Release);
        }
        place.offset.store(offset, Ordering::Release);
        place.from.store(from as u64, Ordering::Release);
        self.place.store(other as u64, Ordering::Release);
    }

    /// The next bytes go to nowhere that is known.
    pub(crate) fn note_no_place(&self) {
        self.place.store(NOWHERE, Ordering::Release);
    }

    /// The sink has taken that much of the batch.
    pub(crate) fn note_taken(&self, taken: usize) {
        self.taken.store(taken as u64, Ordering::Release);
    }

    /// What is left is given up: the sink is not used any more.
    pub(crate) fn give_up(&self) {
        self.taken.store(self.staged.load(Ordering::Relaxed), Ordering::Release);
    }
}
