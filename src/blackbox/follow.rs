//! The records of a running process, as they come.
//!
//! The rings are read over the writer's shoulder: what it has written already stands there until its slots are used
//! again, so that a look every millisecond misses nothing at some millions of records a second. What was overtaken is
//! counted, and said. Nothing is stored anywhere: the watched process cannot know that it is watched, and pays for the
//! cache lines that are looked at.
//!
//! A frame that was read is whole if its slots cannot have been used again meanwhile: in a ring that refuses, while the
//! write position has come no further than a ring's length, less the longest frame, beyond it; in one that evicts, while
//! it is not below the floor.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::records::{Found, Frames, Renderer};
use super::tables::Tables;
use super::view::{LaneView, Life, View};
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
    /// There is nothing new.
    Quiet(Life),
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
/// How often lanes are looked for, loggers' names and the clock read.
const LOOK_AROUND: Duration = Duration::from_millis(100);

struct Known {
    start: u64,
    frames: Frames,
    /// Frames seen or missed.
    seen: u64,
}

impl View {
    /// Calls `each` with the records of the process, in the order of time as far as they come together, until it says
    /// no more, or until the process has ended and all was told.
    pub fn follow(&self, from: Follow, each: &mut dyn FnMut(Event<'_>) -> bool) {
        let tables = self.tables();
        let mut renderer = Renderer::new(self, &tables);
        let mut known: Vec<Known> = Vec::new();
        let mut lanes = self.lanes(&tables);
        for lane in &lanes {
            known.extend(begin(&tables, lane, from));
        }
        let mut looked = Instant::now();
        loop {
            // Before the look: what a process that has ended since has left is still to be told.
            let life = self.life();
            if looked.elapsed() >= LOOK_AROUND {
                looked = Instant::now();
                renderer.refresh(self);
                lanes = self.lanes(&tables);
                for lane in &lanes {
                    if !known.iter().any(|known| known.start == lane.start) {
                        // It was claimed since: all of it is new.
                        known.extend(begin(&tables, lane, Follow::Held));
                    }
                }
            } else {
                let again =
                    |lane: &LaneView| tables.channels.get(lane.channel).map(|table| lane.again(self, table));
                lanes = lanes.iter().filter_map(again).collect();
            }
            let mut heads = Vec::new();
            let (mut records, mut missed) = (Vec::new(), 0);
            for lane in std::mem::take(&mut lanes) {
                if let Some(known) = known.iter_mut().find(|known| known.start == lane.start) {
                    missed += self
                        .take(&tables, known, &lane, |found| records.push((found.tick, heads.len(), found)));
                }
                heads.push(lane);
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
                if let Some(line) = renderer.line(&heads[*lane], found)
                    && !each(Event::Line { level: line.level, logger: line.logger, text: line.text })
                {
                    return;
                }
            }
            lanes = heads;
            if records.is_empty() {
                if !each(Event::Quiet(life)) || life != Life::Alive {
                    return;
                }
                std::thread::sleep(IDLE);
            } else {
                std::thread::sleep(BUSY);
            }
        }
    }

    /// The records of a lane since the last look; returns how many were missed.
    fn take(
        &self,
        tables: &Tables<'_>,
        known: &mut Known,
        lane: &LaneView,
        mut each: impl FnMut(Found),
    ) -> u64 {
        let Some(table) = tables.channels.get(lane.channel) else { return 0 };
        let slots = table.shape.slots as u64;
        let start = known.frames.position;
        known.frames.refresh(lane.write);
        let mut found = Vec::new();
        while let Some(frame) = known.frames.next(self) {
            found.push(frame);
        }
        let after = lane.again(self, table);
        let whole_from = match table.shape.layout.overwrite {
            Some(_) => after.floor,
            None => (after.write + known.frames.longest()).saturating_sub(slots),
        };
        let lapped = start < whole_from || known.frames.damaged != 0;
        known.frames.damaged = 0;
        let mut at = start;
        for frame in found {
            // A frame begins where the one before ends, or behind a filler: further on.
            let begins = at;
            at = frame.end;
            if !lapped || begins >= whole_from {
                known.seen += 1;
                each(frame);
            }
        }
        if lapped {
            // Where frames begin among those left is known at the write position alone.
            let missed = lane.counts.published.saturating_sub(known.seen);
            known.seen = lane.counts.published;
            known.frames.position = lane.write;
            return missed;
        }
        0
    }
}

fn begin(tables: &Tables<'_>, lane: &LaneView, from: Follow) -> Option<Known> {
    let table = tables.channels.get(lane.channel)?;
    let at = match from {
        Follow::New => lane.write,
        Follow::Held => lane.read.max(lane.floor),
    };
    let seen =
        lane.counts.published - lane.counts.queued().min(lane.counts.published) * u64::from(at != lane.write);
    Some(Known { start: lane.start, frames: Frames::new(table, lane, at, lane.write), seen })
}
