//! Records that follow each other in a lane, rendered in one go.
//!
//! What is the same for all of them is looked at once, and what changes from one to the next (the place in the ring, the
//! output, the time, the counts) stays in registers. At the first record about which anything is out of the ordinary
//! (a filler, a younger or a late one, a statement without a plan, too little room) it ends: the writer has another way
//! for that one, and then comes back.

use super::LineCache;
use super::out::Out;
use super::plan::{Plan, Plans};
use super::timestamp::TIMESTAMP_BYTES;
use crate::clock::Shown;
use crate::level::LevelFilter;
use crate::record::word;
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
        let Some(plans) = self.all() else { return Gone::default() };
        let mut pen = out.here();
        // What is left of the output when it is full.
        let least = out.remaining().saturating_sub(row.full.saturating_sub(out.len()));
        let mut rest = row.frames;
        let mut records = 0;
        while rest.len() >= Plan::LEAST {
            let (frame, tick) = (Frame(word(rest, 0)), word(rest, 8));
            let tick = if tick == 0 { row.untimed } else { tick };
            let len = (frame.slots() * row.slot_bytes).min(rest.len());
            let plan = &mut plans[Plan::place(frame.user())];
            // SAFETY: the pen is the one that the output gave.
            let room = unsafe { out.remaining_from(pen) };
            if frame.is_filler()
                || plan.key != frame.user()
                || tick > row.limit
                || room <= least
                || room <= Plan::most(len)
                || !plan.takes(rest, len)
            {
                break;
            }
            let Some(ns) = shown.ns(tick) else { break };
            prefetch(rest, row.slot_bytes, plan.wide);
            let (record, behind) = rest.split_at(len);
            if row.wanted.allows(plan.level) {
                // SAFETY: there is room for a line, and the plan takes the record.
                unsafe {
                    let (second, [millis, micros, nanos]) = cache.time.parts(ns);
                    pen.put(0, *second);
                    pen.put(20, millis);
                    pen.put(23, micros);
                    pen.put(26, nanos);
                    pen = plan.line(out, pen.moved(TIMESTAMP_BYTES), record);
                }
            }
            records += 1;
            rest = behind;
        }
        // SAFETY: the pen is the one that the output gave.
        unsafe { out.put_down(pen) };
        let bytes = row.frames.len() - rest.len();
        Gone { bytes, slots: bytes.div_ceil(row.slot_bytes), records }
    }
}

#[inline(always)]
fn prefetch(rest: &[u8], slot_bytes: usize, wide: bool) {
    let ahead = AHEAD * slot_bytes;
    if ahead < rest.len() {
        let line = rest.as_ptr().wrapping_add(ahead);
        prefetch_read(line);
        if wide {
            prefetch_read(line.wrapping_add(64));
        }
    }
}
