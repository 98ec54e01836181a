//! The records that stand in the lanes of a box, in the order of time.
#![forbid(unsafe_code)]

use core::mem::offset_of;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use super::lanes::{HeldView, LaneView};
use super::tables::{ChannelTable, Tables};
use super::view::{View, word};
use crate::clock::{self, Reading};
use crate::format::{self, Format, LineCache, LineHead, Look, Out};
use crate::held;
use crate::lane::{LaneHead, ThreadId, WriterCounters};
use crate::level::Level;
use crate::record::Record;
use crate::region::STAGING_BYTES;
use crate::ring::{Frame, MAX_FRAME_SLOTS};
use crate::zone::Zone;

/// Bytes from which on a batch is full: as the writer's.
pub(super) const BATCH_BYTES: usize = 128 * 1024;

/// Bytes that are read of a ring at a time.
const CHUNK: usize = 64 * 1024;

/// Frames of one ring, or of what a thread holds back, from a position to another.
#[derive(Debug)]
pub(super) struct Frames {
    /// Where the ring's slots lie in the region.
    slots_at: u64,
    slots: u64,
    slot_bytes: usize,
    /// Bytes before the frame word, the sequence number.
    prefix: usize,
    longest: usize,
    pub(super) position: u64,
    pub(super) end: u64,
    /// The slots from `buffered` on, as they were read.
    buffer: Vec<u8>,
    buffered: u64,
    /// The number that the next frame should have; of a ring that evicts.
    pub(super) sequence: u64,
    /// Frames that were evicted in between.
    pub(super) evicted: u64,
    /// Slots given up since they hold no frame.
    pub(super) damaged: u64,
    pub(super) last_tick: u64,
}

/// A record: its tick, and its bytes from the frame word on.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) tick: u64,
    pub(super) bytes: Vec<u8>,
    /// The position behind it.
    pub(super) end: u64,
    /// Of a ring that evicts: the number of the frame behind it, and how many were evicted up to here.
    counted: (u64, u64),
}

impl Frames {
    pub(super) fn new(table: &ChannelTable<'_>, lane: &LaneView, from: u64, end: u64) -> Self {
        let shape = &table.shape;
        let slots = shape.slots as u64;
        let end = end.max(from);
        Frames {
            slots_at: lane.start + (shape.ring + shape.layout.slots) as u64,
            slots,
            slot_bytes: shape.slot_bytes,
            prefix: if shape.layout.overwrite.is_some() { 8 } else { 0 },
            longest: (shape.slots / 2).clamp(1, MAX_FRAME_SLOTS),
            // Positions of a damaged lane may say anything: a ring holds no more than its slots.
            position: from.max(end.saturating_sub(slots)),
            end,
            buffer: Vec::new(),
            buffered: 0,
            sequence: lane.sequence,
            evicted: 0,
            damaged: 0,
            last_tick: 0,
        }
    }

    /// What the lane's thread holds back: like a ring whose slots are words.
    pub(super) fn held(held: &HeldView, from: u64) -> Self {
        Frames {
            slots_at: held.start + held::FRAMES_AT as u64,
            slots: held::WORDS as u64,
            slot_bytes: 8,
            prefix: 0,
            longest: held::MOST_WORDS,
            position: from.max(held.end.saturating_sub(held::WORDS as u64)),
            end: held.end.max(from),
            buffer: Vec::new(),
            buffered: 0,
            sequence: 0,
            evicted: 0,
            damaged: 0,
            last_tick: 0,
        }
    }

    /// The bytes of `slots` slots from `position` on, which do not cross the ring's end.
    fn bytes(&mut self, view: &View, slots: u64) -> &[u8] {
        let size = self.slot_bytes as u64;
        let have = self.buffered + self.buffer.len() as u64 / size;
        if self.position < self.buffered || self.position + slots > have {
            let at = self.position % self.slots;
            let most = (self.slots - at).min(self.end - self.position);
            let wanted = slots.max(CHUNK as u64 / size).min(most.max(slots));
            self.buffer.resize((wanted * size) as usize, 0);
            let from = self.slots_at.saturating_add(at * size);
            view.read(from, &mut self.buffer);
            self.buffered = self.position;
        }
        let at = ((self.position - self.buffered) * size) as usize;
        self.buffer.get(at..at + (slots * size) as usize).unwrap_or_default()
    }

    /// Reads all that there is ahead.
    pub(super) fn read_ahead(&mut self, view: &View) {
        let size = self.slot_bytes as u64;
        self.buffered = self.position;
        self.buffer.clear();
        let mut at = self.position;
        while at < self.end {
            let slots = (self.slots - at % self.slots).min(self.end - at);
            let had = self.buffer.len();
            self.buffer.resize(had + (slots * size) as usize, 0);
            view.read(self.slots_at.saturating_add(at % self.slots * size), &mut self.buffer[had..]);
            at += slots;
        }
    }

    /// Leaves out what is before a position, at which a frame begins.
    pub(super) fn skip_to(&mut self, position: u64) {
        self.position = self.position.max(position).min(self.end);
    }

    /// Forgets what was read ahead.
    pub(super) fn refresh(&mut self, end: u64) {
        self.buffer.clear();
        self.end = end;
    }

    pub(super) fn next(&mut self, view: &View) -> Option<Found> {
        while self.position < self.end {
            let prefix = self.prefix;
            let first = self.bytes(view, 1);
            let (sequence, frame) = (word(first, 0), Frame(word(first, prefix)));
            let slots = frame.slots();
            let to_ring_end = (self.slots - self.position % self.slots) as usize;
            let most = to_ring_end.min((self.end - self.position) as usize);
            let fits = slots >= 1 && slots <= most && (frame.is_filler() || slots <= self.longest);
            if !fits {
                // Where the next frame begins cannot be known.
                self.damaged = self.damaged.saturating_add(self.end - self.position);
                self.position = self.end;
                return None;
            }
            if frame.is_filler() {
                self.position += slots as u64;
                continue;
            }
            let bytes = self.bytes(view, slots as u64).get(prefix..).unwrap_or_default().to_vec();
            if prefix != 0 {
                // An older number is of a frame that was read, and not yet written.
                self.evicted = self.evicted.saturating_add(sequence.saturating_sub(self.sequence));
                self.sequence = sequence.wrapping_add(1);
            }
            self.position += slots as u64;
            let tick = word(&bytes, 8);
            self.last_tick = self.last_tick.max(tick);
            let counted = (self.sequence, self.evicted);
            return Some(Found { tick, bytes, end: self.position, counted });
        }
        None
    }

    /// Whether a call was under way when the process died: it has begun to fill the slot behind the last frame. `since`
    /// is a tick which no older record can have that is not in the ring any more. (What stands there may be the middle of
    /// an older record, too: text as a tick lies in the far future.)
    pub(super) fn is_torn(&self, view: &View, published: u64, since: u64) -> bool {
        let mut slot = [0; 24];
        view.read(self.slots_at.saturating_add(self.end % self.slots * self.slot_bytes as u64), &mut slot);
        let tick = word(&slot, self.prefix + 8);
        if self.prefix != 0 {
            return word(&slot, 0) == published && tick != 0 && tick > self.last_tick;
        }
        tick > if self.last_tick != 0 { self.last_tick } else { since } && tick <= clock::now()
    }
}

/// Where in a box a recovery notes how far it has come with some frames.
#[derive(Clone, Copy)]
pub(super) struct Notes {
    /// The number of a batch, and the position behind the last frame in it.
    pub(super) batch: u64,
    pub(super) batch_read: u64,
    /// The position up to which frames are given back.
    pub(super) read: u64,
}

impl Notes {
    pub(super) fn of_ring(lane: &LaneView, table: &ChannelTable<'_>) -> Notes {
        let writer = lane.start + offset_of!(LaneHead, writer) as u64;
        Notes {
            batch: writer + offset_of!(WriterCounters, batch) as u64,
            batch_read: writer + offset_of!(WriterCounters, batch_read) as u64,
            read: lane.start + (table.shape.ring + table.shape.layout.read) as u64,
        }
    }

    pub(super) fn of_held(held: &HeldView) -> Notes {
        let at = |place: usize| held.start + place as u64;
        Notes { batch: at(held::BATCH), batch_read: at(held::BATCH_OLDEST), read: at(held::OLDEST) }
    }
}

/// The frames of a lane's ring, or those that its thread holds back, and the record at hand.
pub(super) struct Lane {
    pub(super) view: Rc<LaneView>,
    pub(super) frames: Frames,
    pub(super) notes: Notes,
    /// They were held back.
    pub(super) held: bool,
    /// The position up to which its records were passed on.
    pub(super) done: u64,
    /// There, the number of the next frame, and how many were evicted.
    pub(super) counted: (u64, u64),
    next: Option<Found>,
}

impl Lane {
    pub(super) fn new(view: Rc<LaneView>, frames: Frames, notes: Notes, held: bool) -> Self {
        let (done, counted) = (frames.position, (frames.sequence, frames.evicted));
        Lane { view, frames, notes, held, done, counted, next: None }
    }

    /// A record was passed on.
    pub(super) fn passed(&mut self, found: &Found) {
        (self.done, self.counted) = (found.end, found.counted);
    }

    /// Where its ring lies in the region.
    pub(super) fn ring(&self, table: &ChannelTable<'_>) -> u64 {
        self.view.start + table.shape.ring as u64
    }
}

/// The records of all lanes, the oldest first; those of a lane in their order.
pub(super) struct Merged<'v> {
    pub(super) view: &'v View,
    pub(super) lanes: Vec<Lane>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
}

impl<'v> Merged<'v> {
    pub(super) fn new(view: &'v View, lanes: Vec<Lane>) -> Self {
        let mut merged = Merged { view, lanes, heap: BinaryHeap::new() };
        (0..merged.lanes.len()).for_each(|lane| merged.load(lane));
        merged
    }

    pub(super) fn load(&mut self, lane: usize) {
        let at = &mut self.lanes[lane];
        if at.next.is_none() {
            at.next = at.frames.next(self.view);
            if let Some(found) = &at.next {
                self.heap.push(Reverse((found.tick, lane)));
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<(usize, Found)> {
        let Reverse((_, lane)) = self.heap.pop()?;
        let found = self.lanes[lane].next.take()?;
        self.load(lane);
        Some((lane, found))
    }
}

/// Renders records of a box as lines of its log.
pub(super) struct Renderer<'v> {
    tables: &'v Tables<'v>,
    loggers: Vec<String>,
    pub(super) clock: Reading,
    cache: LineCache,
    room: Vec<u8>,
}

/// A line, and what it was made of.
pub(super) struct Line<'a> {
    pub(super) level: Level,
    pub(super) ns: i64,
    pub(super) logger: &'a str,
    pub(super) thread: ThreadId,
    pub(super) text: &'a [u8],
}

impl<'v> Renderer<'v> {
    pub(super) fn new(view: &View, tables: &'v Tables<'v>) -> Self {
        Renderer {
            tables,
            loggers: view.loggers(),
            clock: view.clock(),
            cache: LineCache::new(Zone::UTC),
            // As much as the writer has for the longest line: behind a batch that is not full there is room for it.
            room: vec![0; STAGING_BYTES - BATCH_BYTES],
        }
    }

    /// Reads the loggers' names and the clock again.
    pub(super) fn refresh(&mut self, view: &View) {
        self.loggers = view.loggers();
        self.clock = view.clock();
    }

    pub(super) fn knows_logger(&self, found: &Found) -> bool {
        let logger = Record::new(&found.bytes).logger;
        logger == 0 || self.loggers.get(usize::from(logger)).is_none_or(|name| !name.is_empty())
    }

    /// The line of a record; `None` when it names no statement.
    pub(super) fn line<'l>(&'l mut self, lane: &LaneView, found: &'l Found, look: Look) -> Option<Line<'l>> {
        let record = Record::new(&found.bytes);
        let statement = self.tables.statements.get(&record.callsite)?;
        let channel = self.tables.channels.get(lane.channel).map_or("", |channel| channel.name);
        let logger = match record.logger {
            0 => None,
            index => self.loggers.get(usize::from(index)).map(String::as_str).filter(|name| !name.is_empty()),
        };
        let channel = (channel != crate::channel::DEFAULT.name()).then_some(channel);
        // A record without time is as old as the writer's last look at the clock.
        let ns = if found.tick == 0 { self.clock.unix_ns } else { self.clock.unix_ns(found.tick) };
        let thread = if lane.shared { record.thread() } else { lane.head.thread() };
        let target = logger.or(channel).unwrap_or(statement.module);
        let location = Some((statement.file, statement.line));
        let head = LineHead { ns, level: statement.level, target, location, thread };
        let logger = format::head_of(statement.statement(), &head, &record, lane.shared).target;
        let mut out = Out::new(&mut self.room);
        let cache = self.cache.in_zone(look.zone);
        format::record(cache, &mut out, look.format, &head, statement.statement(), &record, lane.shared);
        let len = out.len();
        Some(Line { level: statement.level, ns, logger, thread, text: &self.room[..len] })
    }

    /// A line of the logger's own.
    pub(super) fn notice(&mut self, look: Look, level: Level, ns: i64, message: &str) -> &[u8] {
        let head = LineHead { ns, level, target: "kakashi", location: None, thread: format::writer_thread() };
        let mut out = Out::new(&mut self.room);
        let cache = self.cache.in_zone(look.zone);
        format::notice(cache, &mut out, look.format, &head, &|words| words.push_str(message));
        let len = out.len();
        &self.room[..len]
    }
}

/// Lines of another format, each as the message of a line of the logger's own.
pub(super) fn as_messages(from: Format, to: Look, lines: &[u8]) -> Vec<u8> {
    if from == to.format {
        return lines.to_vec();
    }
    let mut cache = LineCache::new(to.zone);
    let (mut room, mut all) = (vec![0; STAGING_BYTES - BATCH_BYTES], Vec::new());
    for line in String::from_utf8_lossy(lines).lines() {
        let ns = format::glance(from, line).ns.unwrap_or_else(clock::wall_ns);
        let head = LineHead {
            ns,
            level: Level::Info,
            target: "kakashi",
            location: None,
            thread: format::writer_thread(),
        };
        let mut out = Out::new(&mut room);
        format::notice(&mut cache, &mut out, to.format, &head, &|words| words.push_str(line));
        let len = out.len();
        all.extend(&room[..len]);
    }
    all
}
