//! The lanes of a box as they were read: heads, positions of the rings, and of what threads hold back.
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;

use super::plain;
use super::tables::ChannelTable;
use super::view::{View, word};
use crate::gate::State;
use crate::held;
use crate::lane::{FREE, LaneHead};
use crate::ring::RingCounts;
use crate::ring::overwrite::taken_and_read;
use crate::stats::LaneStats;

/// A lane's head, and the figures of its ring, as they were read.
pub(super) struct LaneView {
    pub(super) channel: usize,
    pub(super) shared: bool,
    /// Where it lies in the region.
    pub(super) start: u64,
    pub(super) head: Box<LaneHead>,
    pub(super) counts: RingCounts,
    /// The ring's positions.
    pub(super) write: u64,
    pub(super) read: u64,
    /// Of a ring that evicts: frames below are gone, and the number of the frame expected next.
    pub(super) floor: u64,
    pub(super) sequence: u64,
}

impl LaneView {
    pub(super) fn read(view: &View, table: &ChannelTable<'_>, channel: usize, at: usize, start: u64) -> Self {
        let shape = &table.shape;
        let mut bytes = vec![0; size_of::<LaneHead>().max(shape.ring + shape.layout.slots)];
        view.read(start, &mut bytes);
        let ring = bytes.get(shape.ring..).unwrap_or_default();
        let layout = &shape.layout;
        let [write, read] = [layout.write, layout.read].map(|at| word(ring, at));
        let [published, mut consumed] = [layout.published, layout.consumed].map(|at| word(ring, at));
        let (mut floor, mut evicted, mut sequence) = (0, 0, 0);
        if let Some(more) = &layout.overwrite {
            floor = word(ring, more.floor);
            sequence = word(ring, more.sequence);
            let taken;
            (taken, consumed) = taken_and_read(consumed);
            evicted = word(ring, more.floor_sequence).max(sequence).saturating_sub(taken);
            // What was at hand was not read.
            sequence = sequence.saturating_sub(taken - consumed);
        }
        let slots = shape.slots as u64;
        let occupied = write.saturating_sub(read.max(floor)).min(slots);
        LaneView {
            channel,
            shared: at == shape.threads,
            start,
            // As many bytes as it has.
            head: plain::read(&bytes).unwrap_or_else(|| unreachable!()),
            counts: RingCounts { published, consumed, evicted, occupied, capacity: slots },
            write,
            read,
            floor,
            sequence,
        }
    }

    /// The same lane, as it is now.
    pub(super) fn again(&self, view: &View, table: &ChannelTable<'_>) -> Self {
        LaneView { shared: self.shared, ..LaneView::read(view, table, self.channel, 0, self.start) }
    }

    pub(super) fn stats(&self, state: State) -> LaneStats {
        LaneStats::of(&self.head, self.counts, self.shared, state == State::Stopped)
    }

    /// The position up to which its records are written or in a sealed batch.
    pub(super) fn done(&self, sealed: u64) -> u64 {
        let writer = &self.head.writer;
        let noted = writer.batch.load(Ordering::Relaxed) == sealed && sealed != 0;
        let read = if noted { self.read.max(writer.batch_read.load(Ordering::Relaxed)) } else { self.read };
        read.max(self.floor)
    }

    /// What its thread holds back; `None` when it has none, or is over.
    pub(super) fn held(&self, view: &View, table: &ChannelTable<'_>) -> Option<HeldView> {
        if self.shared || self.head.owner() == FREE {
            return None;
        }
        let start = self.start + table.shape.held as u64;
        let mut bytes = [0; held::FRAMES_AT];
        view.read(start, &mut bytes);
        let [oldest, end] = [held::OLDEST, held::END].map(|at| word(&bytes, at));
        let [batch, batch_oldest] = [held::BATCH, held::BATCH_OLDEST].map(|at| word(&bytes, at));
        (oldest != end).then_some(HeldView { start, oldest, end, batch, batch_oldest })
    }
}

/// Where a lane's thread holds records back, as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldView {
    /// Where that lies in the region.
    pub(super) start: u64,
    /// The positions of the oldest one, and behind the last one.
    pub(super) oldest: u64,
    pub(super) end: u64,
    batch: u64,
    batch_oldest: u64,
}

impl HeldView {
    /// The position up to which they are in a sealed batch of a recovery.
    pub(super) fn done(&self, sealed: u64) -> u64 {
        let noted = self.batch == sealed && sealed != 0;
        if noted { self.oldest.max(self.batch_oldest) } else { self.oldest }
    }
}
