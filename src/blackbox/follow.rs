//! The records of a running process, as they come.
//!
//! The rings are read over the writer's shoulder: what it has written already stands there until its slots are used
//! again, so that a look every millisecond misses nothing at some millions of records a second. What was overtaken is
//! counted, and said. Nothing is stored anywhere: the watched process cannot know that it is watched, and pays for the
//! cache lines that are looked at.
//!
//! *Whole.* What was read at a position is a record if its slots were not used again until after that. They were not if a
//! look at the ring's ends afterwards finds the position still unread (in a ring that refuses) or above the floor (in one
//! that evicts); nor if the write position has come no further than a ring's length beyond it, less two longest frames:
//! the one being filled, and the filler that it may need before it.
//!
//! *Where frames begin* is known from the one before alone, so that a chain of frames counts as far as its first was
//! whole. When that was overtaken, one goes on at the oldest frame that the ring itself still keeps.
//!
//! *Counted.* In a ring that evicts, frames have numbers. In one that refuses, what is missed is what was published less
//! what was seen; but the count of publications and the position that it belongs to cannot be read at one time. So it is
//! taken from the look before, less one that may be between the two: too low at first, made good at the next look, and
//! exact when the ring rests.
//!
//! A lane that goes to another thread between two looks shows what was logged in that time under the new name.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::lanes::LaneView;
use super::records::{Found, Frames, Renderer};
use super::tables::{ChannelTable, Tables};
use super::view::{Life, View};
use crate::channel::MAX_RECORD_BYTES;
use crate::format::Look;
use crate::level::Level;

/// What one who follows is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A record.
    Line {
        /// Its level.
        level: Level,
        /// Its logger, channel or module: as it stands in the line.
        logger: &'a str,
        /// The line, its end included.
        text: &'a [u8],
    },
    /// Records were overtaken before they could be read.
    Missed(u64),
    /// All that stood there was told; the process was this before.
    Rest(Life),
}

/// From where on one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// What is logged from now on.
    New,
    /// What stands in the rings, first.
    Held,
}

const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(20);
/// How often loggers' names and the clock are read, and lanes looked for anywhere.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// Bytes of slots that are read before a look whether they were whole.
const BATCH_BYTES: u64 = 64 * 1024;
/// How often in a look one goes on behind what was overtaken: the other lanes want to be looked at, too.
const RESUMES: u32 = 4;
/// Bytes that may stand before a record in its first slot.
const WORD: usize = 8;

/// A lane that is followed.
struct Known {
    /// Its last look.
    lane: LaneView,
    frames: Frames,
    /// Frames seen or missed.
    seen: u64,
    /// Some were overtaken, and it may be that not all of them are in `seen`.
    inexact: bool,
}

/// The lanes that are followed, and which of each channel they are.
struct Lanes {
    known: Vec<Known>,
    /// By channel; the shared one last.
    is_known: Vec<Vec<bool>>,
}

impl View {
    /// Calls `each` with the records of the process, in the order of time as far as they come together, until it says
    /// no more, or until the process is gone and all was told.
    pub fn follow(&self, from: Follow, each: &mut dyn FnMut(Event<'_>) -> bool) {
        let tables = self.tables();
        let mut renderer = Renderer::new(self, &tables);
        let mut lanes = Lanes::new(&tables);
        lanes.discover(self, &tables, Some(from), true);
        let mut looked = Instant::now();
        loop {
            // Before the look: what a process that has ended since has left is still to be told.
            let life = self.life();
            if life == Life::Replaced {
                // What stands there is another program's.
                each(Event::Rest(life));
                return;
            }
            let around = looked.elapsed() >= LOOK_AROUND || life != Life::Alive;
            if around {
                looked = Instant::now();
                renderer.refresh(self);
            }
            lanes.discover(self, &tables, None, around);
            let (mut records, mut missed) = (Vec::new(), 0);
            for (at, known) in lanes.known.iter_mut().enumerate() {
                if let Some(table) = tables.channels.get(known.lane.channel) {
                    let rests = life != Life::Alive;
                    let overtaken =
                        known.take(self, table, rests, &mut |found| records.push((found.tick, at, found)));
                    missed = u64::saturating_add(missed, overtaken);
                }
            }
            // Stable: the records of a lane stay in their order.
            records.sort_by_key(|&(tick, ..)| tick);
            if missed != 0 && !each(Event::Missed(missed)) {
                return;
            }
            for (_, lane, found) in &records {
                if !renderer.knows_logger(found) {
                    renderer.refresh(self);
                }
                if let Some(line) = renderer.line(&lanes.known[*lane].lane, found, Look::default())
                    && !each(Event::Line { level: line.level, logger: line.logger, text: line.text })
                {
                    return;
                }
            }
            if !each(Event::Rest(life)) || life != Life::Alive {
                return;
            }
            std::thread::sleep(if records.is_empty() { IDLE } else { BUSY });
        }
    }
}

impl Lanes {
    fn new(tables: &Tables<'_>) -> Lanes {
        let is_known = tables.channels.iter().map(|table| vec![false; table.shape.threads + 1]).collect();
        Lanes { known: Vec::new(), is_known }
    }

    /// Takes in the lanes that were claimed since the last time, all of what is in them being new. They are claimed one
    /// after the other as a rule, so that a look at the next one of each channel, and the shared one, finds most.
    fn discover(&mut self, view: &View, tables: &Tables<'_>, from: Option<Follow>, everywhere: bool) {
        for (channel, (table, is_known)) in tables.channels.iter().zip(&mut self.is_known).enumerate() {
            let shared = table.shape.threads;
            let mut go_on = true;
            for at in (0..shared).chain([shared]) {
                if is_known[at] || !(go_on || everywhere || at == shared) {
                    continue;
                }
                match view.lane(table, channel, at) {
                    Some(lane) => {
                        is_known[at] = true;
                        self.known.push(Known::begin(view, table, lane, from));
                    }
                    None => go_on = false,
                }
            }
        }
    }
}

impl Known {
    fn begin(view: &View, table: &ChannelTable<'_>, mut lane: LaneView, from: Option<Follow>) -> Known {
        // A moment at which nothing is published: the count belongs to the position.
        for _ in 0..100 {
            let again = lane.again(view, table);
            let still = (again.write, again.counts.published) == (lane.write, lane.counts.published);
            lane = again;
            if still {
                break;
            }
        }
        let published = lane.counts.published;
        let (at, seen) = match from {
            Some(Follow::New) => (lane.write, published),
            Some(Follow::Held) => {
                (lane.read.max(lane.floor), published - lane.counts.queued().min(published))
            }
            None => (0, 0),
        };
        let mut frames = Frames::new(table, &lane, at, lane.write);
        // Also where the ring does not hold it any more: what is missed is counted.
        frames.position = at;
        Known { lane, frames, seen, inexact: false }
    }

    /// The records since the last look; returns how many were missed. When the process `is_over`, nothing changes
    /// any more.
    fn take(
        &mut self,
        view: &View,
        table: &ChannelTable<'_>,
        is_over: bool,
        each: &mut dyn FnMut(Found),
    ) -> u64 {
        let evicts = table.shape.layout.overwrite.is_some();
        let before = self.look(view, table);
        let mut rests = is_over
            || (before.write, before.counts.published) == (self.lane.write, self.lane.counts.published);
        let mut published_before = before.counts.published;
        let (mut missed, mut resumes) = (0_u64, 0);
        let mut batch = Vec::new();
        loop {
            let start = self.frames.position;
            let enough = start.saturating_add(BATCH_BYTES / table.shape.slot_bytes as u64);
            // More than a ring holds need not be read to know.
            let may_be_whole = self.frames.end.saturating_sub(start) <= table.shape.slots as u64;
            batch.clear();
            while may_be_whole
                && self.frames.position < enough
                && let Some(found) = self.frames.next(view)
            {
                batch.push(found);
            }
            if may_be_whole && self.frames.position == start {
                break;
            }
            let after = self.lane.again(view, table);
            let is_whole = may_be_whole && start >= whole_from(table, &after);
            let is_damaged = std::mem::take(&mut self.frames.damaged) != 0;
            if is_whole {
                let count = batch.len() as u64;
                let up_to =
                    if evicts && count != 0 { self.frames.sequence } else { self.seen.saturating_add(count) };
                if self.inexact {
                    missed = missed.saturating_add(up_to.saturating_sub(self.seen.saturating_add(count)));
                }
                self.seen = up_to;
                batch.drain(..).for_each(&mut *each);
            }
            if is_whole && !is_damaged {
                continue;
            }
            self.inexact = true;
            if resumes == RESUMES {
                self.frames.position = after.write;
                break;
            }
            // At the oldest that the ring keeps; when that is overtaken as well, at what comes now.
            let first = resumes == 0 && !is_damaged;
            self.frames.position = if first { after.read.max(after.floor) } else { after.write };
            resumes += 1;
            rests = is_over;
            published_before = self.look(view, table).counts.published;
        }
        if self.inexact {
            let published =
                if rests { self.lane.counts.published } else { published_before.saturating_sub(1) };
            if self.frames.position == self.lane.write && (rests || !evicts) {
                missed = missed.saturating_add(published.saturating_sub(self.seen));
                self.seen = self.seen.max(published);
                self.inexact = !rests;
            }
        }
        missed
    }

    /// Looks again; returns the look before.
    fn look(&mut self, view: &View, table: &ChannelTable<'_>) -> LaneView {
        let now = self.lane.again(view, table);
        self.frames.refresh(now.write);
        std::mem::replace(&mut self.lane, now)
    }
}

/// What was read from this position on before that look is whole.
fn whole_from(table: &ChannelTable<'_>, after: &LaneView) -> u64 {
    let shape = &table.shape;
    let slots = shape.slots as u64;
    let longest =
        ((MAX_RECORD_BYTES + WORD) as u64).div_ceil(shape.slot_bytes.max(1) as u64).min(slots / 2).max(1);
    let kept = if shape.layout.overwrite.is_some() { after.floor } else { after.read };
    kept.min(after.write.saturating_add(2 * longest).saturating_sub(slots))
}
