//! The writer's view of the lanes: where it stands in each, and which holds the oldest record.

use crate::channel::{AnyChannel, channels, lane_indices};
use crate::clock;
use crate::format::{Gone, Plans, Row};
use crate::lane::{CAUSES, Cause, LaneRef, RELEASED, ThreadId};
use crate::level::LevelFilter;
use crate::ring::{Consumer, Frame, Run};
use crate::sink::SinkOptions;
use crate::sync::Ordering;

/// One lane, and where the writer stands in it.
pub(super) struct Cursor {
    lane: LaneRef,
    channel: &'static dyn AnyChannel,
    /// The channel's name; `None` for the default one.
    name: Option<&'static str>,
    consumer: Box<dyn Consumer>,
    /// The frames at hand, and the current one's place among them.
    run: Run,
    at: usize,
    /// Slots and frames passed that the consumer was not told yet.
    slots: usize,
    frames: u64,
    /// The current record's tick; `None` when nothing is at hand.
    tick: Option<u64>,
    /// Records evicted before the current one, still to be told.
    evicted: u64,
    /// The tick of the last record, or 0 before there was one.
    last_tick: u64,
    thread: ThreadId,
    /// What is the same in all lines of that thread's statements.
    plans: Plans,
    /// Up to where the records are in a batch that was noted.
    released_to: u64,
    /// The owner had left when the lane was last polled.
    released: bool,
    /// What was published at the last poll.
    snapshot: u64,
    /// A flush or a stop waits until the writer stands here.
    target: Option<u64>,
    /// Drops were counted since they were last told, the first one at this tick.
    dropped_at: Option<u64>,
    /// When drops were last told.
    told_at: u64,
    /// The tick of records without one: as late as this round may take.
    untimed: u64,
}

// SAFETY: `run` points into the region or into the consumer's own memory, both of which go where the
// cursor goes.
unsafe impl Send for Cursor {}

impl Cursor {
    fn new(lane: LaneRef, channel: &'static dyn AnyChannel) -> Self {
        let consumer = lane.ring.consumer();
        let snapshot = consumer.position();
        Cursor {
            lane,
            channel,
            name: (!crate::channel::is_default(channel)).then(|| channel.channel_name()),
            consumer,
            run: Run { start: core::ptr::null(), len: 0, slot_bytes: 64, evicted: 0 },
            at: 0,
            slots: 0,
            frames: 0,
            tick: None,
            evicted: 0,
            last_tick: 0,
            thread: ThreadId::default(),
            plans: Plans::new(),
            released_to: snapshot,
            released: false,
            snapshot,
            target: None,
            dropped_at: None,
            told_at: 0,
            untimed: clock::now(),
        }
    }

    fn poll(&mut self) {
        // The owner first: when it is seen to have left, all it published is seen below.
        self.released = self.lane.head.owner() == RELEASED;
        let before = self.snapshot;
        self.snapshot = self.consumer.poll();
        if self.snapshot != before {
            let thread = self.lane.head.thread();
            if thread != self.thread {
                self.thread = thread;
                self.plans.clear();
            }
            self.lane.head.note_fill(self.lane.ring.counts().occupied);
        }
        if self.dropped_at.is_none() && self.lane.head.has_untold() {
            self.dropped_at = Some(self.lane.head.producer.first_drop.load(Ordering::Relaxed));
        }
        if self.tick.is_none() {
            self.load();
        }
    }

    /// Goes to the next record, past fillers.
    #[inline]
    fn load(&mut self) {
        loop {
            if self.at >= self.run.len {
                self.tell_consumer();
                self.run = self.consumer.run();
                self.at = 0;
                self.evicted += self.run.evicted;
                if self.run.len == 0 {
                    self.tick = None;
                    return;
                }
            }
            let frame = self.frame();
            if !frame.is_filler() {
                // The tick is the record's second word.
                let tick = self.word(8);
                self.tick = Some(if tick == 0 { self.untimed } else { tick });
                return;
            }
            self.pass(frame, 0);
        }
    }

    /// Of the records evicted, those right before the run of which the current record is the first.
    fn evicted_at_hand(&self) -> u64 {
        if self.tick.is_some() && self.at == 0 { self.run.evicted.min(self.evicted) } else { 0 }
    }

    /// Whether there are drops to be told of.
    #[inline]
    pub(super) fn has_drops(&self, told_before: u64) -> bool {
        (self.evicted != 0 || self.dropped_at.is_some()) && (self.released || self.told_at <= told_before)
    }

    /// The current record's tick, if it is not younger than `limit`.
    #[inline]
    pub(super) fn tick_up_to(&self, limit: u64) -> Option<u64> {
        self.tick.filter(|&tick| tick <= limit)
    }

    /// The current record, and the rest of what its line says: the plans, whether the lane is a shared one, the
    /// channel's name (but for the default one), the thread.
    #[inline]
    pub(super) fn current(&mut self) -> (&[u8], &mut Plans, bool, Option<&'static str>, &ThreadId) {
        let len = self.frame_bytes(self.frame());
        debug_assert!(self.at + len <= self.run.len);
        // SAFETY: the frame lies within the run, which stays as it is until `release`.
        let bytes = unsafe { core::slice::from_raw_parts(self.run.start.add(self.at), len) };
        (bytes, &mut self.plans, self.lane.shared, self.name, &self.thread)
    }

    /// Whether its records can be rendered in rows: each line's head is told by the statement alone, and no line about
    /// drops belongs between them.
    #[inline]
    pub(super) fn is_plain(&self, told_before: u64) -> bool {
        !self.lane.shared && !self.has_drops(told_before)
    }

    /// The records at hand from the current one on, up to `limit`, and the plans of their lines.
    #[inline]
    pub(super) fn row(
        &mut self,
        limit: u64,
        full: usize,
        options: &SinkOptions,
        shared: LevelFilter,
    ) -> (Row<'_>, &mut Plans) {
        // SAFETY: the rest of the run, which stays as it is until `release`.
        let frames =
            unsafe { core::slice::from_raw_parts(self.run.start.add(self.at), self.run.len - self.at) };
        let (slot_bytes, untimed) = (self.run.slot_bytes, self.untimed);
        let (wanted, format) = (options.level, options.format);
        (Row { frames, slot_bytes, untimed, limit, full, wanted, shared, format }, &mut self.plans)
    }

    /// Goes on behind the records of a row, of which the last had the tick `last`.
    #[inline]
    pub(super) fn pass_row(&mut self, gone: Gone, last: u64) {
        self.at += gone.bytes;
        self.slots += gone.slots;
        self.frames += gone.records;
        self.last_tick = last;
        self.load();
    }

    /// Goes on to the next record of the lane.
    #[inline]
    pub(super) fn step(&mut self) {
        if let Some(tick) = self.tick {
            self.last_tick = tick;
        }
        self.pass(self.frame(), 1);
        self.load();
    }

    #[inline]
    fn word(&self, offset: usize) -> u64 {
        debug_assert!(self.at + offset + 8 <= self.run.len);
        // SAFETY: a run is whole frames of at least 56 bytes, and `at` is the start of one.
        unsafe { self.run.start.add(self.at + offset).cast::<u64>().read() }
    }

    #[inline]
    fn frame(&self) -> Frame {
        Frame(self.word(0))
    }

    /// Bytes of the current frame.
    #[inline]
    fn frame_bytes(&self, frame: Frame) -> usize {
        (frame.slots().max(1) * self.run.slot_bytes).min(self.run.len - self.at)
    }

    #[inline]
    fn pass(&mut self, frame: Frame, frames: u64) {
        self.at += self.frame_bytes(frame);
        self.slots += frame.slots().max(1);
        self.frames += frames;
    }

    fn tell_consumer(&mut self) {
        if self.slots != 0 {
            self.consumer.advance(self.slots, self.frames);
            self.slots = 0;
            self.frames = 0;
        }
    }

    fn release(&mut self) {
        self.tell_consumer();
        let moved = self.consumer.release();
        if moved {
            self.lane.head.wake_waiting();
        }
        if self.released && self.tick.is_none() && self.consumer.position() >= self.snapshot {
            self.released = false;
            self.lane.head.set_free();
            self.channel.note_freed();
        }
    }

    fn target_reached(&self) -> bool {
        self.target.is_none_or(|target| {
            let position = self.consumer.position() + self.slots as u64;
            position >= target
        })
    }
}

/// All lanes that were ever claimed, and the shared ones.
pub(super) struct Lanes {
    cursors: Vec<Cursor>,
    /// How many lanes of each channel have a cursor.
    known: Vec<usize>,
    targets: bool,
    /// Drops of a lane that were told after this tick are not told yet again: a lane that drops all the
    /// time would fill the log with notices.
    told_before: u64,
    now: u64,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Lanes {
            cursors: Vec::new(),
            known: channels().map(|_| 0).collect(),
            targets: false,
            told_before: 0,
            now: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cursors.len()
    }

    /// Takes in the lanes that were claimed for the first time.
    pub(super) fn discover(&mut self) {
        for (entry, known) in channels().zip(&mut self.known) {
            let channel = entry.channel;
            if *known == channel.claimed() + 1 {
                continue;
            }
            let first = *known == 0;
            for at in lane_indices(channel) {
                let shared = at == channel.threads();
                // Known so far: the shared lane and the first `known - 1` others.
                let is_new = if shared { first } else { first || at + 1 >= *known };
                if is_new && let Some(lane) = channel.lane(at) {
                    self.cursors.push(Cursor::new(lane, channel));
                    *known += 1;
                }
            }
        }
    }

    /// Skips what stands in the lanes.
    pub(super) fn discard(&mut self) {
        for cursor in &mut self.cursors {
            cursor.poll();
            let mut skipped = 0;
            while cursor.tick.is_some() {
                // The time at which evictions before the next one are said to have been.
                cursor.last_tick = cursor.tick.unwrap_or(cursor.last_tick);
                let frame = cursor.frame();
                cursor.pass(frame, 1);
                skipped += 1;
                cursor.load();
            }
            // Not given back to others before its drops are told, which name its thread: the first round does both.
            cursor.released = false;
            cursor.release();
            cursor.released_to = cursor.consumer.position();
            // `evicted` stays, to be told: what a busy thread overwrote before the stop, the last writer may not have seen.
            cursor.lane.head.add_leftover(skipped);
        }
    }

    /// Polls all lanes. Records without a tick get `cutoff` for one; drops are told again in lanes where they were
    /// told before `told_before`.
    pub(super) fn poll(&mut self, now: u64, cutoff: u64, told_before: u64) {
        self.now = now;
        self.told_before = told_before;
        for cursor in &mut self.cursors {
            cursor.untimed = cutoff;
            cursor.poll();
        }
    }

    /// Notes how far the records in the batch `batch` go. False when there are none.
    pub(super) fn note_batch(&mut self, batch: u64) -> bool {
        let mut any = false;
        for cursor in &mut self.cursors {
            cursor.tell_consumer();
            let read = cursor.consumer.position();
            if read != cursor.released_to {
                cursor.released_to = read;
                cursor.lane.head.note_batch(batch, read, cursor.last_tick);
                any = true;
            }
        }
        any
    }

    pub(super) fn release(&mut self) {
        for cursor in &mut self.cursors {
            cursor.release();
        }
    }

    /// The lane with the oldest record not newer than `cutoff`, and the tick up to which its records come
    /// before any other lane's.
    pub(super) fn oldest(&self, cutoff: u64) -> Option<(usize, u64)> {
        let mut best: Option<(usize, u64)> = None;
        let mut limit = cutoff;
        for (at, cursor) in self.cursors.iter().enumerate() {
            let Some(tick) = cursor.tick.filter(|&tick| tick <= cutoff) else { continue };
            match best {
                Some((_, oldest)) if tick >= oldest => limit = limit.min(tick),
                Some((_, oldest)) => {
                    limit = limit.min(oldest);
                    best = Some((at, tick));
                }
                None => best = Some((at, tick)),
            }
        }
        best.map(|(at, _)| (at, limit))
    }

    #[inline]
    pub(super) fn cursor(&mut self, lane: usize) -> &mut Cursor {
        &mut self.cursors[lane]
    }

    #[inline]
    pub(super) fn thread(&self, lane: usize) -> ThreadId {
        self.cursors[lane].thread
    }

    /// Whether records are at hand that were too young for the round.
    pub(super) fn hold_younger(&self) -> bool {
        self.cursors.iter().any(|cursor| cursor.tick.is_some())
    }

    /// From now on, a flush or a stop waits for what is published at this moment.
    pub(super) fn set_targets(&mut self) {
        for cursor in &mut self.cursors {
            cursor.poll();
            cursor.target = Some(cursor.snapshot);
        }
        self.targets = true;
    }

    /// Whether there are drops to be told of in any lane.
    pub(super) fn have_drops(&self) -> bool {
        self.cursors.iter().any(|cursor| cursor.has_drops(self.told_before))
    }

    /// Drops are told again in lanes where they were told before this tick.
    pub(super) fn told_before(&self) -> u64 {
        self.told_before
    }

    pub(super) fn has_targets(&self) -> bool {
        self.targets
    }

    pub(super) fn clear_targets(&mut self) {
        self.targets = false;
    }

    pub(super) fn targets_reached(&self) -> bool {
        self.cursors.iter().all(Cursor::target_reached)
    }

    /// What is still to be told of drops before the lane's current record, or, without `before`, before what is at hand:
    /// evicted records first. (If the writer leaves, what is at hand is the next one's, with what was evicted before it.)
    pub(super) fn take_drops(&mut self, lane: usize, before: Option<u64>) -> Option<Dropped> {
        let cursor = &mut self.cursors[lane];
        if !cursor.has_drops(self.told_before) {
            return None;
        }
        let mut dropped = Dropped {
            thread: cursor.thread,
            channel: cursor.channel.channel_name(),
            shared: cursor.lane.shared,
            causes: [0; CAUSES],
            from: u64::MAX,
            to: 0,
        };
        let kept = if before.is_none() { cursor.evicted_at_hand() } else { 0 };
        if cursor.evicted > kept {
            dropped.causes[Cause::Oldest as usize] = cursor.evicted - kept;
            cursor.evicted = kept;
            dropped.to = cursor.tick.unwrap_or(cursor.last_tick);
            dropped.from = if cursor.last_tick == 0 { dropped.to } else { cursor.last_tick };
        }
        if let Some(first) = cursor.dropped_at.filter(|&first| before.is_none_or(|tick| first < tick)) {
            cursor.dropped_at = None;
            let (counters, told) = (&cursor.lane.head.producer, &cursor.lane.head.writer.told);
            for cause in Cause::ALL {
                let new = counters.drops.get(cause) - told.get(cause);
                told.add(cause, new);
                dropped.causes[cause as usize] += new;
            }
            dropped.thread = cursor.lane.head.thread();
            dropped.from = dropped.from.min(first);
            dropped.to = dropped.to.max(counters.last_drop.load(Ordering::Relaxed)).max(dropped.from);
        }
        if dropped.count() == 0 {
            return None;
        }
        cursor.told_at = self.now;
        Some(dropped)
    }
}

/// Records that were dropped, to be told.
pub(super) struct Dropped {
    pub(super) thread: ThreadId,
    pub(super) channel: &'static str,
    pub(super) shared: bool,
    pub(super) causes: [u64; CAUSES],
    /// Ticks.
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Dropped {
    pub(super) fn count(&self) -> u64 {
        self.causes.iter().sum()
    }
}
