//! The writer: the one thread that reads all lanes, merges by time, renders and feeds the sinks.
//!
//! One round: read the tick, poll every lane (in this order: a call that returned before the tick was
//! read is seen by the poll), merge what is not newer than the tick, render it into each sink's
//! staging, give the slots back, and only then write. What a sink has not taken stays in staging, and
//! no further round takes records meanwhile.
//!
//! Decision: callers that wait for room are woken whenever slots are given back, not only when half of the ring is
//! free: that saved four wakes of five and no time (4.0 to 5.6 million lines a second either way). Batches of 256 KiB
//! instead of 128 gained 2 %, and hold a caller up for twice as long.
//!
//! *Order.* Within a lane it is the ring's. Across lanes it is by tick, and what is newer than the tick of
//! the round is left for the next: so a record cannot be written before one whose call had returned
//! when its own began. A record whose thread lost the processor between tick and publication for longer
//! than [`WINDOW_US`] may come after younger ones were written; it is written at once and counted as
//! `late`.

mod deliver;
mod lanes;
mod notice;
mod outlet;
mod request;
mod rescue;
pub(crate) mod tenure;

use core::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use deliver::{Config, OnError, Outlets};
pub(crate) use outlet::Outlet;
pub(crate) use request::{CrashCause, ask, forget as forget_requests};
pub(crate) use rescue::{prepare as prepare_rescue, rescue};

use crate::callsite::Callsite;
use crate::clock::{self, Anchor, Reading};
use crate::format::{self, LineHead};
use crate::futex::{self, Held, Lock};
use crate::gate;
use crate::level::Level;
use crate::logger;
use crate::record::Record;
use crate::region;
use crate::{thread, tickets};
use lanes::Lanes;

/// How long a record may be under way between its tick and its publication and still be put in order.
const WINDOW_US: u64 = 10;
/// How often a lane's drops are told at most; a flush and a stop tell them at once.
const NOTICE_EVERY_US: u64 = 10_000;
/// A round renders until a sink's staging holds this much: `write(2)` is at its best from there on.
const BATCH_BYTES: usize = 128 * 1024;

/// Behind a full batch there is room for the longest line: a record whose every byte is escaped, a
/// template of 16 KiB likewise, floats written out, and 64 KiB for names, which come from the program. Formats that write
/// a value in the message and once more see to it themselves that a line fits (`format/keys.rs`).
const _: () = assert!(
    region::STAGING_BYTES - BATCH_BYTES
        >= (crate::channel::MAX_RECORD_BYTES + (16 << 10)) * format::JSON_EXPANSION + (32 * 400) + (64 << 10)
);

/// How the writer passes the time when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Idle {
    /// It looks about every microsecond and never sleeps: for a core of its own.
    Spin,
    /// It sleeps: for at most 400 µs at a time while records came within the last 100 ms, then for longer
    /// and longer, up to 10 ms, so that it needs less than 1 % of a core.
    #[default]
    Backoff,
}

/// What the backend wants of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    No = 0,
    /// Write what is there and leave; the sinks are closed.
    Close = 1,
    /// Write what is there and leave the lanes to another writer.
    HandOver = 2,
    /// The writer's answer to a hand-over: it is leaving.
    HandedOver = 3,
}

static STOP: AtomicU32 = AtomicU32::new(Stop::No as u32);

pub(crate) fn ask_to_stop(stop: Stop) {
    STOP.store(stop as u32, Ordering::Release);
    gate::ring_bell();
}

/// Takes a hand-over back. False when it is too late: the writer is leaving.
pub(crate) fn take_back() -> bool {
    answer(Stop::HandOver, Stop::No)
}

fn answer(from: Stop, to: Stop) -> bool {
    STOP.compare_exchange(from as u32, to as u32, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// The same without a bell: where there is no writer.
pub(crate) fn reset_stop(stop: Stop) {
    STOP.store(stop as u32, Ordering::Release);
}

/// The sinks. The writer holds the lock during a round and lets go between rounds and while it waits for
/// a failing sink, so that a `fork` finds them whole.
pub(crate) static SINKS: Lock<Outlets> = Lock::new(Outlets::new());

/// How many threads are about to fork, and want the sinks whole.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Takes the sinks for a fork, within `patience`. The writer stands back meanwhile: with records to write
/// all the time, it would take them again before a sleeping thread wakes.
pub(crate) fn sinks_for_fork(patience: Duration) -> Option<Held<'static, Outlets>> {
    FORKS.fetch_add(1, Ordering::AcqRel);
    let held = SINKS.lock_until(futex::deadline(patience));
    FORKS.fetch_sub(1, Ordering::AcqRel);
    futex::wake_all(&FORKS);
    held
}

/// Forgets the parent's forks, in a child.
pub(crate) fn forget_forks() {
    FORKS.store(0, Ordering::Relaxed);
}

/// The writer's part of it: for as long as a fork may take, and not for ever.
fn let_forks_in() {
    let mut forks = FORKS.load(Ordering::Acquire);
    let mut naps = 0;
    while forks != 0 && naps < 100 {
        futex::wait(&FORKS, forks, Some(Duration::from_millis(10)));
        forks = FORKS.load(Ordering::Acquire);
        naps += 1;
    }
}

/// The writer's own state. It is made before its thread is.
pub(crate) struct Writer {
    lanes: Lanes,
    anchor: Anchor,
    idle: Idle,
    /// The highest tick that was written.
    newest: u64,
    /// When a round last found a record.
    last_record: Instant,
    nap: Duration,
    /// A crash handler's request under way.
    crash: request::Seen,
}

const FIRST_NAP: Duration = Duration::from_micros(50);
const BUSY_NAP: Duration = Duration::from_micros(400);
const LONGEST_NAP: Duration = Duration::from_millis(10);
const BUSY_TIME: Duration = Duration::from_millis(100);

impl Writer {
    /// What it knows of the time.
    pub(crate) fn clock(&self) -> Reading {
        self.anchor.reading()
    }

    /// A writer for the lanes there are. With `discard`, what stands in them is skipped: it was
    /// published after a shutdown had closed the rings, and is counted as such.
    pub(crate) fn new(idle: Idle, discard: bool) -> Self {
        let mut lanes = Lanes::new();
        lanes.discover();
        if discard {
            lanes.discard();
        }
        Writer {
            lanes,
            anchor: Anchor::new(),
            idle,
            newest: 0,
            last_record: Instant::now(),
            nap: FIRST_NAP,
            crash: request::Seen::default(),
        }
    }

    /// Runs until it is asked to stop and has written what was there.
    pub(crate) fn run(mut self) {
        thread::become_writer();
        region::set_end(region::OPEN);
        region::show_clock(self.anchor.reading());
        tenure::runs_on(thread::current().tid);
        set_timer_slack();
        tickets::open();
        let totals = region::totals();
        totals.workers.fetch_add(1, Ordering::Relaxed);
        totals.active_workers.fetch_add(1, Ordering::Relaxed);
        let mut stopping = None;
        loop {
            let heard = gate::bell();
            let mut sinks = SINKS.lock();
            let found = self.round(&mut sinks, &mut stopping);
            let drained = stopping.is_some() && self.lanes.targets_reached() && sinks.all_taken();
            // A hand-over may be taken back until here.
            if drained && (stopping != Some(Stop::HandOver) || answer(Stop::HandOver, Stop::HandedOver)) {
                self.crash.accept();
                self.answer(&mut sinks);
                tenure::end();
                let failure = sinks.failure();
                if stopping == Some(Stop::Close) {
                    if failure.is_none() {
                        region::set_end(region::CLEAN);
                    }
                    tickets::complete_all(|| sinks.sync(), failure);
                    sinks.close();
                } else {
                    // Flushes that came later are the next writer's.
                    tickets::complete(|| sinks.sync(), failure);
                }
                break;
            }
            let wait_until = sinks.next_try();
            drop(sinks);
            let_forks_in();
            self.rest(found, heard, wait_until);
        }
        totals.active_workers.fetch_sub(1, Ordering::Relaxed);
        totals.workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// One round; says whether there was anything to do.
    fn round(&mut self, sinks: &mut Outlets, stopping: &mut Option<Stop>) -> bool {
        // Also while a sink fails and no records are taken.
        clock::advance(clock::now());
        let asked = match STOP.load(Ordering::Acquire) {
            1 => Some(Stop::Close),
            2 => Some(Stop::HandOver),
            _ => None,
        };
        if asked.is_some() && stopping.is_none() {
            tickets::accept(tickets::drawn());
            self.lanes.discover();
            self.lanes.set_targets();
        }
        // A hand-over that took too long is taken back.
        *stopping = asked;
        let ticket = tickets::pending();
        let crash = request::pending();
        if (ticket.is_some() || crash.is_some()) && stopping.is_none() && !self.lanes.has_targets() {
            self.crash.accept();
            self.lanes.discover();
            self.lanes.set_targets();
            if let Some(ticket) = ticket {
                tickets::accept(ticket);
            }
        }
        let mut found = false;
        if sinks.deliver() {
            let now = clock::now();
            self.lanes.discover();
            let urgent = stopping.is_some() || ticket.is_some() || crash.is_some();
            let quiet = if urgent { 0 } else { NOTICE_EVERY_US * self.anchor.ticks_per_us() };
            let cutoff = now.saturating_sub(WINDOW_US * self.anchor.ticks_per_us());
            self.lanes.poll(now, cutoff, now.saturating_sub(quiet));
            if self.anchor.follow(now, urgent || self.lanes.hold_younger() || self.lanes.have_drops()) {
                region::show_clock(self.anchor.reading());
            }
            found = self.take(sinks, cutoff, stopping.is_some());
            found |= self.tell_totals(sinks);
            self.seal(sinks);
            sinks.seal();
            tenure::moving();
            self.lanes.release();
            tenure::moved();
            sinks.deliver();
            found |= self.lanes.hold_younger();
        }
        if stopping.is_none()
            && self.lanes.has_targets()
            && self.lanes.targets_reached()
            && sinks.all_taken()
            // Before the tickets, whose lock the crashed thread may hold.
            && self.answer(sinks)
        {
            self.lanes.clear_targets();
            if ticket.is_some() {
                let failure = sinks.failure();
                tickets::complete(|| sinks.sync(), failure);
            }
            found = true;
        }
        found
    }

    /// From here on, what was rendered is the batch's and no more the rings'.
    fn seal(&mut self, sinks: &mut Outlets) {
        if let Some(journal) = region::journal() {
            let batch = journal.next();
            if sinks.stage(batch) | self.lanes.note_batch(batch) {
                journal.seal(batch);
            }
        }
    }

    /// Merges and renders records up to `cutoff`, until staging is full.
    fn take(&mut self, sinks: &mut Outlets, cutoff: u64, leaving: bool) -> bool {
        let mut found = false;
        while sinks.staged_bytes() < BATCH_BYTES {
            let Some((lane, limit)) = self.lanes.oldest(cutoff) else {
                break;
            };
            // This lane's records up to the next lane's first one.
            found = true;
            while let Some(tick) = self.lanes.cursor(lane).tick_up_to(limit) {
                self.tell_lane(sinks, lane, Some(tick));
                self.write_records(sinks, lane, limit);
                if sinks.staged_bytes() >= BATCH_BYTES {
                    break;
                }
            }
        }
        for lane in 0..self.lanes.len() {
            if leaving || self.lanes.cursor(lane).tick_up_to(u64::MAX).is_none() {
                found |= self.tell_lane(sinks, lane, None);
            }
        }
        found
    }

    /// Writes the lane's current record, which is not younger than `limit`, and those after it up to there, until
    /// there are drops to be told of or staging is full.
    #[inline]
    fn write_records(&mut self, sinks: &mut Outlets, lane: usize, limit: u64) {
        let told_before = self.lanes.told_before();
        let cursor = self.lanes.cursor(lane);
        let (mut newest, mut late, mut damaged) = (self.newest, 0, false);
        let rows = sinks.rows();
        while let Some(tick) = cursor.tick_up_to(limit) {
            if cursor.is_plain(told_before)
                && tick >= newest
                && let Some(rows) = rows
                && let Some((options, line, mut out)) = sinks.room(rows)
                && let Some(mut shown) = self.anchor.row(tick)
            {
                let (row, plans) = cursor.row(limit, BATCH_BYTES, options, rows.shared);
                let gone = plans.row(line, &mut out, row, &mut shown);
                let staged = out.len();
                if gone.records != 0 {
                    newest = newest.max(shown.last_tick());
                    self.anchor.end_row(&shown);
                    cursor.pass_row(gone, shown.last_tick());
                    sinks.rendered(rows, gone.records, staged);
                    if cursor.has_drops(told_before) || staged >= BATCH_BYTES {
                        break;
                    }
                    continue;
                }
            }
            late += u64::from(tick < newest);
            newest = newest.max(tick);
            let (bytes, plans, shared, channel, thread) = cursor.current();
            let record = Record::new(bytes);
            if let Some(callsite) = Callsite::from_id(record.callsite) {
                let (ns, level) = (self.anchor.shown_ns(tick), callsite.level());
                let target = || logger::name(record.logger).or(channel).unwrap_or(callsite.module_path());
                let head = || LineHead {
                    ns,
                    level,
                    target: target(),
                    location: Some((callsite.file(), callsite.line())),
                    thread: if shared { record.thread() } else { *thread },
                };
                sinks.render(level, target, |cache, format, out| {
                    if shared {
                        format::record(cache, out, format, &head(), callsite.statement(), &record, true);
                    } else {
                        plans.record(cache, out, format, ns, callsite, &record, head);
                    }
                });
            } else {
                // Cannot come from this program; said rather than left out.
                damaged = true;
            }
            sinks.count_record();
            cursor.step();
            if damaged || cursor.has_drops(told_before) || sinks.staged_bytes() >= BATCH_BYTES {
                break;
            }
        }
        self.newest = newest;
        if late != 0 {
            crate::sync::add_owned(&region::totals().late, late);
        }
        if damaged {
            self.tell_damaged(sinks, lane);
        }
    }

    /// Waits for what comes next.
    fn rest(&mut self, found: bool, heard: u32, wait_until: Option<Instant>) {
        if found && wait_until.is_none() {
            self.last_record = Instant::now();
            self.nap = FIRST_NAP;
            return;
        }
        if self.idle == Idle::Spin && wait_until.is_none() {
            let until = clock::now() + self.anchor.ticks_per_us();
            while clock::now() < until {
                core::hint::spin_loop();
            }
            return;
        }
        let longest = if self.last_record.elapsed() < BUSY_TIME { BUSY_NAP } else { LONGEST_NAP };
        let mut nap = self.nap.min(longest);
        self.nap = (self.nap * 2).min(longest);
        if let Some(at) = wait_until {
            nap = nap.min(at.saturating_duration_since(Instant::now())).max(FIRST_NAP);
        }
        let totals = region::totals();
        totals.active_workers.fetch_sub(1, Ordering::Relaxed);
        gate::sleep_until_bell(heard, nap);
        totals.active_workers.fetch_add(1, Ordering::Relaxed);
    }

    fn notice_head(&self, level: Level) -> LineHead<'static> {
        let ns = self.anchor.last_shown_ns();
        LineHead { ns, level, target: "kakashi", location: None, thread: format::writer_thread() }
    }
}

/// Lets short sleeps be short: the kernel's default adds up to 50 µs.
fn set_timer_slack() {
    // SAFETY: PR_SET_TIMERSLACK takes a number and concerns this thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_u64) };
}
