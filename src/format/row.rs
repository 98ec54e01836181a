//! Records that follow each other in a lane, rendered in one go.
//!
//! What is the same for all of them is looked at once, and what changes from one to the next (the place in the ring, the
//! output, the time, the counts) stays in registers. At the first record about which anything is out of the ordinary
//! (a filler, a younger or a late one, a statement without a plan, too little room) it ends: the writer has another way
//! for that one, and then comes back.

use super::LineCache;
use super::out::Out;
use super::plan::Plans;
use super::timestamp::TIMESTAMP_BYTES;
use crate::clock::Shown;
use crate::level::LevelFilter;
use crate::record::Record;
use crate::ring::{Frame, prefetch_read};

/// Frames next to each other, from a record on.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) frames: &'a [u8],
    /// Bytes from one frame to the next, per slot.
    pub(crate) slot_bytes: usize,
    /// The tick of records without one.
    pub(crate) untimed: u64,
    /// The tick up to which records are taken.
    pub(crate) limit: u64,
    /// No line is begun when there are that many bytes in the output.
    pub(crate) full: usize,
    /// The lines that are wanted.
    pub(crate) wanted: LevelFilter,
}

/// What was gone over.
#[derive(Clone, Copy, Default)]
pub(crate) struct Gone {
    pub(crate) bytes: usize,
    pub(crate) slots: usize,
    pub(crate) records: u64,
}

/// How many slots ahead a record's lines are asked for: its thread has written them, so that they lie in another core's
/// cache, and a line that is waited for costs more than the rest of the rendering.
const AHEAD: usize = 8;

impl Plans {
    /// Renders the row's records until something is out of the ordinary. The first one is not younger than the row's
    /// limit, and `shown` begins with it.
    pub(crate) fn row(
        &mut self,
        cache: &mut LineCache,
        out: &mut Out<'_>,
        row: Row<'_>,
        shown: &mut Shown,
    ) -> Gone {
        let mut gone = Gone::default();
        let mut pen = out.here();
        let empty = out.remaining();
        // What is left of the output when it is full.
        let least = empty.saturating_sub(row.full.saturating_sub(out.len()));
        let mut rest = row.frames;
        while let Some(&[first, tick]) = rest.as_chunks::<8>().0.first_chunk() {
            let (frame, tick) = (Frame(u64::from_le_bytes(first)), u64::from_le_bytes(tick));
            let tick = if tick == 0 { row.untimed } else { tick };
            let len = (frame.slots() * row.slot_bytes).min(rest.len());
            let (bytes, behind) = rest.split_at(len);
            // SAFETY: the pen is the one that the output gave.
            let room = unsafe { out.remaining_from(pen) };
            let Some(plan) = self.at(frame.user()) else { break };
            if frame.is_filler()
                || plan.key != frame.user()
                || tick > row.limit
                || room <= least
                || room <= plan.most(len)
                || !plan.takes(bytes)
            {
                break;
            }
            let Some(ns) = shown.ns(tick) else { break };
            prefetch(rest, row.slot_bytes);
            if row.wanted.allows(plan.level) {
                // SAFETY: there is room for a line.
                unsafe {
                    pen.put(0, cache.time.text(ns));
                    pen = plan.line(out, pen.moved(TIMESTAMP_BYTES), &Record::new(bytes));
                }
            }
            gone.slots += frame.slots();
            gone.records += 1;
            rest = behind;
        }
        // SAFETY: the pen is the one that the output gave.
        unsafe { out.put_down(pen) };
        gone.bytes = row.frames.len() - rest.len();
        gone
    }
}

#[inline(always)]
fn prefetch(rest: &[u8], slot_bytes: usize) {
    let ahead = AHEAD * slot_bytes;
    if ahead < rest.len() {
        let line = rest.as_ptr().wrapping_add(ahead);
        prefetch_read(line);
        if slot_bytes > 64 {
            prefetch_read(line.wrapping_add(64));
        }
    }
}
