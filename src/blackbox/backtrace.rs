//! What the threads of a process hold back until their next error (`Builder::backtrace`), as it is now.
//!
//! The process may run, and its threads know nothing of it: all that a thread holds is copied, and of the copy that counts which
//! the thread had not given up by a look afterwards (`held.rs`). It begins with a frame, and all of it was whole at the look
//! before; in front of it anything may stand, and where a frame ends there is not known. One that overtakes the reader
//! again and again is shown with what was whole at the last try.
#![forbid(unsafe_code)]

use std::io::{self, Write};

use super::lanes::LaneView;
use super::records::{Found, Frames, Renderer};
use super::tables::ChannelTable;
use super::view::View;
use crate::format::{Format, Look};
use crate::zone::Zone;

/// How often a thread is looked at again that gives up what is being read.
const TRIES: usize = 8;

/// What was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// Records.
    pub records: u64,
    /// Threads that hold any.
    pub threads: u64,
    /// Records that name no log statement, and words that hold no record.
    pub unreadable: u64,
}

/// Writes what the threads hold back to `out`, in the order of time, in UTC. Changes nothing, whether the process lives or not.
pub fn print_held(view: &View, format: Format, out: &mut dyn Write) -> io::Result<HeldBack> {
    let tables = view.tables();
    let (mut shown, mut lanes, mut records) = (HeldBack::default(), Vec::new(), Vec::new());
    for lane in view.lanes(&tables) {
        let Some(table) = tables.channels.get(lane.channel) else { continue };
        let (found, damaged) = held_by(view, table, &lane);
        shown.unreadable = shown.unreadable.saturating_add(damaged);
        if !found.is_empty() {
            records.extend(found.into_iter().map(|found| (found.tick, lanes.len(), found)));
            lanes.push(lane);
        }
    }
    // Stable: those of a lane stay in their order.
    records.sort_by_key(|&(tick, ..)| tick);
    shown.threads = lanes.len() as u64;
    // The loggers' names as they are now: a record may name one that is new.
    let mut renderer = Renderer::new(view, &tables);
    for (_, lane, found) in &records {
        match renderer.line(&lanes[*lane], found, Look { format, zone: Zone::UTC }) {
            Some(line) => {
                shown.records += 1;
                out.write_all(line.text)?;
            }
            None => shown.unreadable += 1,
        }
    }
    out.flush()?;
    Ok(shown)
}

/// The frames that a lane's thread holds back, the oldest first, and words that hold none.
fn held_by(view: &View, table: &ChannelTable<'_>, lane: &LaneView) -> (Vec<Found>, u64) {
    let (mut whole, mut damaged) = (Vec::new(), 0);
    for _ in 0..TRIES {
        // The head again: another thread may have the lane by now.
        let lane = lane.again(view, table);
        let Some(before) = lane.held(view, table) else { return (Vec::new(), 0) };
        let mut frames = Frames::held(&before, before.oldest);
        frames.read_ahead(view);
        let oldest = lane.held(view, table).map_or(u64::MAX, |after| after.oldest);
        frames.skip_to(oldest);
        whole.clear();
        while let Some(found) = frames.next(view) {
            whole.push(found);
        }
        damaged = frames.damaged;
        if oldest == before.oldest {
            break;
        }
    }
    (whole, damaged)
}
