//! The statistics: one block of atomics per lane and one for all, read without a lock.
#![forbid(unsafe_code)]

use core::fmt;

use crate::channel::{AnyChannel, channels, lane_indices};
use crate::gate::{self, State};
use crate::lane::{Cause, Drops, FREE, LaneHead, LaneRef};
use crate::region;
use crate::ring::RingCounts;
use core::sync::atomic::{AtomicU64, Ordering};

/// What is counted for the backend as a whole.
#[repr(C, align(128))]
pub(crate) struct Totals {
    /// Drops that belong to no lane.
    pub(crate) drops: Drops,
    /// Those of them that were told in the log.
    pub(crate) told: Drops,
    /// The writer's.
    pub(crate) written: AtomicU64,
    /// Records rendered into staging that the sinks have not taken yet.
    pub(crate) staged: AtomicU64,
    pub(crate) notices: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) sink_errors: AtomicU64,
    pub(crate) workers: AtomicU64,
    pub(crate) active_workers: AtomicU64,
}

impl Totals {
    pub(crate) const fn new() -> Self {
        Totals {
            drops: Drops::new(),
            told: Drops::new(),
            written: AtomicU64::new(0),
            staged: AtomicU64::new(0),
            notices: AtomicU64::new(0),
            late: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            sink_errors: AtomicU64::new(0),
            workers: AtomicU64::new(0),
            active_workers: AtomicU64::new(0),
        }
    }

    /// Back to zero, in a forked child.
    pub(crate) fn clear(&self) {
        for drops in [&self.drops, &self.told] {
            for cause in Cause::ALL {
                drops.add(cause, drops.get(cause).wrapping_neg());
            }
        }
    }
}

/// Adds to a sum. Figures out of a damaged black box may be of any size.
fn raise(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

/// Dropped records by cause. A record is dropped once, by one cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropCauses {
    /// The ring was full under `DropNewest`, or under any refusing policy on the writer's own thread.
    pub newest: u64,
    /// Evicted by a newer record under `DropOldest`.
    pub oldest: u64,
    /// The ring was still full when a `BlockFor` wait ended, or right after one.
    pub wait_expired: u64,
    /// The `Display` or `Debug` of a value panicked.
    pub format_panicked: u64,
    /// A signal handler interrupted a call, and the shared lane was taken.
    pub reentrant: u64,
    /// No lane could take it: the thread could have neither one of its own nor the shared one in time, no
    /// backend could be started, or the record is larger than half a ring even without its texts.
    pub no_lane: u64,
    /// The call came after the rings were closed.
    pub after_shutdown: u64,
    /// Still unwritten when the time for draining at exit was over.
    pub exit_timeout: u64,
    /// No sink was alive to take it.
    pub sink: u64,
}

impl DropCauses {
    /// All causes together.
    pub fn total(&self) -> u64 {
        Cause::ALL.iter().fold(0, |total, &cause| total.saturating_add(self.get(cause)))
    }

    fn add(&mut self, cause: Cause, by: u64) {
        let counter = match cause {
            Cause::Newest => &mut self.newest,
            Cause::Oldest => &mut self.oldest,
            Cause::WaitExpired => &mut self.wait_expired,
            Cause::FormatPanicked => &mut self.format_panicked,
            Cause::Reentrant => &mut self.reentrant,
            Cause::NoLane => &mut self.no_lane,
            Cause::AfterShutdown => &mut self.after_shutdown,
            Cause::ExitTimeout => &mut self.exit_timeout,
            Cause::Sink => &mut self.sink,
        };
        raise(counter, by);
    }

    fn add_all(&mut self, drops: &Drops) {
        for cause in Cause::ALL {
            self.add(cause, drops.get(cause));
        }
    }

    pub(crate) fn get(&self, cause: Cause) -> u64 {
        match cause {
            Cause::Newest => self.newest,
            Cause::Oldest => self.oldest,
            Cause::WaitExpired => self.wait_expired,
            Cause::FormatPanicked => self.format_panicked,
            Cause::Reentrant => self.reentrant,
            Cause::NoLane => self.no_lane,
            Cause::AfterShutdown => self.after_shutdown,
            Cause::ExitTimeout => self.exit_timeout,
            Cause::Sink => self.sink,
        }
    }
}

impl fmt::Display for DropCauses {
    /// The causes that are not zero, as `newest=3 sink=1`; nothing when all are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for cause in Cause::ALL {
            let count = self.get(cause);
            if count != 0 {
                write!(f, "{}{}={count}", if first { "" } else { " " }, cause.as_str())?;
                first = false;
            }
        }
        Ok(())
    }
}

/// What the backend has done so far, and how full it is.
///
/// `calls = messages_written + queue_size + messages_dropped`, exactly when no call is under way and
/// the writer rests; otherwise within the records in flight. Counters never go back to zero, but in a
/// forked child.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AsyncStats {
    /// What the backend is doing.
    pub state: State,
    /// Records on their way: in the rings and in staging.
    pub queue_size: u64,
    /// Slots of the lanes in use (the shared lanes among them): what `queue_size` can come up to when
    /// each record takes one slot.
    pub max_queue_size: u64,
    /// How full the fullest ring is now, 0 to 1.
    pub fullest: f64,
    /// How full any ring has ever been, 0 to 1, as far as the writer and refused calls saw.
    pub high_water: f64,
    /// Writer threads: 0 or 1.
    pub worker_count: u64,
    /// Writer threads that are at work and not asleep.
    pub active_workers: u64,
    /// Log calls whose level was on.
    pub calls: u64,
    /// Calls whose record went into a ring.
    pub messages_enqueued: u64,
    /// Records that every live sink that wants them has taken.
    pub messages_written: u64,
    /// Records dropped: the sum of `dropped`.
    pub messages_dropped: u64,
    /// Records dropped, by cause.
    pub dropped: DropCauses,
    /// Records of which a value was cut.
    pub truncated: u64,
    /// Records written behind one that was younger (see "Order" in the crate's documentation).
    pub late: u64,
    /// Calls that had to wait for room.
    pub blocked: u64,
    /// How long they waited, in nanoseconds, all together.
    pub blocked_ns: u64,
    /// Lines of the logger's own, such as the one that tells of drops. They are in no other count.
    pub notices: u64,
    /// Bytes that sinks have taken, summed over the sinks.
    pub bytes_written: u64,
    /// Errors that sinks returned, retried ones included, and panics.
    pub sink_errors: u64,
    /// Lanes that threads can have, without the shared ones.
    pub lanes: u64,
    /// Lanes that a thread has, or whose records of a thread that has ended are not yet drained.
    pub lanes_in_use: u64,
}

impl fmt::Display for AsyncStats {
    /// One line of `name=value` pairs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "state={:?} calls={} enqueued={} written={} queued={}/{} dropped={}",
            self.state,
            self.calls,
            self.messages_enqueued,
            self.messages_written,
            self.queue_size,
            self.max_queue_size,
            self.messages_dropped
        )?;
        if self.messages_dropped != 0 {
            write!(f, " ({})", self.dropped)?;
        }
        write!(
            f,
            " fullest={:.3} high_water={:.3} truncated={} late={} blocked={} blocked_ns={} notices={} \
             bytes_written={} sink_errors={} lanes={}/{} workers={}/{}",
            self.fullest,
            self.high_water,
            self.truncated,
            self.late,
            self.blocked,
            self.blocked_ns,
            self.notices,
            self.bytes_written,
            self.sink_errors,
            self.lanes_in_use,
            self.lanes,
            self.active_workers,
            self.worker_count
        )
    }
}

/// What one lane has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LaneStats {
    /// Whether a thread has it, or its records are not yet drained.
    pub in_use: bool,
    /// Whether it is the lane that threads without one share.
    pub shared: bool,
    /// The kernel's id of the thread that has it, or had it last.
    pub thread_id: u32,
    /// Records that went into its ring.
    pub messages_enqueued: u64,
    /// Records in its ring.
    pub queue_size: u64,
    /// Records dropped, by cause.
    pub dropped: DropCauses,
    /// Slots occupied.
    pub occupied: u64,
    /// Slots in all.
    pub slots: u64,
    /// The most slots ever occupied, as far as the writer and refused calls saw.
    pub high_water: u64,
    /// Records of which a value was cut.
    pub truncated: u64,
    /// Calls that had to wait for room.
    pub blocked: u64,
    /// How long they waited, in nanoseconds.
    pub blocked_ns: u64,
    /// Calls whose record went into no ring.
    refused: u64,
}

impl LaneStats {
    pub(crate) fn of(head: &LaneHead, counts: RingCounts, shared: bool, stopped: bool) -> Self {
        let counters = &head.producer;
        let mut dropped = DropCauses::default();
        dropped.add_all(&counters.drops);
        dropped.add(Cause::Oldest, counts.evicted);
        dropped.add(Cause::AfterShutdown, head.writer.late_leftover.load(Ordering::Relaxed));
        let mut queue_size = counts.queued();
        if stopped {
            // No writer will take them: what was published after the rings were closed.
            dropped.add(Cause::AfterShutdown, queue_size);
            queue_size = 0;
        }
        LaneStats {
            in_use: head.owner() != FREE,
            shared,
            thread_id: head.thread().tid,
            messages_enqueued: counts.published,
            queue_size,
            dropped,
            occupied: counts.occupied,
            slots: counts.capacity,
            high_water: head.writer.high_water.load(Ordering::Relaxed).max(counts.occupied),
            truncated: counters.truncated.load(Ordering::Relaxed),
            blocked: counters.blocked.load(Ordering::Relaxed),
            blocked_ns: counters.blocked_ns.load(Ordering::Relaxed),
            refused: head.drops_in_all(),
        }
    }
}

fn lane_stats(lane: LaneRef, stopped: bool) -> LaneStats {
    LaneStats::of(lane.head, lane.ring.counts(), lane.shared, stopped)
}

/// Which lanes a [`Stats`] speaks of.
#[derive(Clone, Copy)]
enum Scope {
    All,
    Channel(&'static dyn AnyChannel),
}

/// A handle onto the statistics of the whole backend or of one channel. `Copy`; reading
/// takes no lock, allocates nothing and makes no system call, so that a hot path can ask.
///
/// ```
/// let stats = kakashi::stats();
/// if stats.fullest() > 0.9 { /* say less */ }
/// assert_eq!(stats.snapshot().calls, stats.calls());
/// ```
#[derive(Clone, Copy)]
pub struct Stats {
    scope: Scope,
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.snapshot(), f)
    }
}

/// A handle onto the statistics of the whole backend.
pub fn stats() -> Stats {
    Stats { scope: Scope::All }
}

/// Everything that is counted, at this moment. Takes no lock.
///
/// ```
/// println!("{}", kakashi::get_async_stats());
/// ```
pub fn get_async_stats() -> AsyncStats {
    stats().snapshot()
}

impl Stats {
    pub(crate) fn of(channel: &'static dyn AnyChannel) -> Self {
        Stats { scope: Scope::Channel(channel) }
    }

    fn each_lane(self, mut f: impl FnMut(&LaneStats)) {
        let stopped = matches!(gate::state(), State::Stopped);
        let mut each = |channel: &'static dyn AnyChannel| {
            for at in lane_indices(channel) {
                if let Some(lane) = channel.lane(at) {
                    f(&lane_stats(lane, stopped));
                }
            }
        };
        match self.scope {
            Scope::All => channels().for_each(|entry| each(entry.channel)),
            Scope::Channel(channel) => each(channel),
        }
    }

    /// Everything that is counted, at this moment. For a channel, what is counted for the backend as
    /// a whole (`messages_written`, staging, `late`, `notices`, bytes and sink errors) is left at 0, and
    /// drops without a lane are not among its drops.
    pub fn snapshot(self) -> AsyncStats {
        let state = gate::state();
        let each = |f: &mut dyn FnMut(&LaneStats)| self.each_lane(f);
        match self.scope {
            Scope::All => {
                let lanes = channels().map(|channel| channel.threads() as u64).sum();
                AsyncStats::gather(state, region::all_totals(), lanes, gate::is_abandoned(), each)
            }
            Scope::Channel(channel) => {
                let lanes = channel.threads() as u64;
                AsyncStats::gather(state, core::iter::empty(), lanes, gate::is_abandoned(), each)
            }
        }
    }

    /// Records on their way: in the rings and in staging.
    pub fn queue_size(self) -> u64 {
        self.snapshot().queue_size
    }

    /// How full the fullest ring is now, 0 to 1.
    pub fn fullest(self) -> f64 {
        let mut fullest = 0.0_f64;
        self.each_lane(|lane| fullest = fullest.max(lane.occupied as f64 / lane.slots as f64));
        fullest
    }

    /// Log calls whose level was on.
    pub fn calls(self) -> u64 {
        self.snapshot().calls
    }

    /// Records that every live sink that wants them has taken.
    pub fn messages_written(self) -> u64 {
        self.snapshot().messages_written
    }

    /// Records dropped, whatever the cause.
    pub fn messages_dropped(self) -> u64 {
        self.snapshot().messages_dropped
    }

    /// Records dropped, by cause.
    pub fn dropped(self) -> DropCauses {
        self.snapshot().dropped
    }
}

impl AsyncStats {
    /// Adds up what is counted for the backend as a whole and in each lane.
    pub(crate) fn gather<'t>(
        state: State,
        totals: impl Iterator<Item = &'t Totals>,
        lanes: u64,
        abandoned: bool,
        each_lane: impl FnOnce(&mut dyn FnMut(&LaneStats)),
    ) -> AsyncStats {
        let mut stats = AsyncStats {
            state,
            queue_size: 0,
            max_queue_size: 0,
            fullest: 0.0,
            high_water: 0.0,
            worker_count: 0,
            active_workers: 0,
            calls: 0,
            messages_enqueued: 0,
            messages_written: 0,
            messages_dropped: 0,
            dropped: DropCauses::default(),
            truncated: 0,
            late: 0,
            blocked: 0,
            blocked_ns: 0,
            notices: 0,
            bytes_written: 0,
            sink_errors: 0,
            lanes,
            lanes_in_use: 0,
        };
        totals.for_each(|totals| stats.add_totals(totals));
        // Drops without a lane were calls, too; those at exit and for want of a sink had been enqueued.
        let mut refused = 0;
        for cause in [Cause::NoLane, Cause::AfterShutdown, Cause::Reentrant, Cause::FormatPanicked] {
            raise(&mut refused, stats.dropped.get(cause));
        }
        each_lane(&mut |lane| {
            raise(&mut stats.messages_enqueued, lane.messages_enqueued);
            raise(&mut stats.queue_size, lane.queue_size);
            if lane.in_use || (lane.shared && lane.messages_enqueued != 0) {
                raise(&mut stats.max_queue_size, lane.slots);
            }
            if lane.in_use && !lane.shared {
                raise(&mut stats.lanes_in_use, 1);
            }
            stats.fullest = stats.fullest.max(lane.occupied as f64 / lane.slots as f64);
            stats.high_water = stats.high_water.max(lane.high_water as f64 / lane.slots as f64);
            for cause in Cause::ALL {
                stats.dropped.add(cause, lane.dropped.get(cause));
            }
            raise(&mut refused, lane.refused);
            raise(&mut stats.truncated, lane.truncated);
            raise(&mut stats.blocked, lane.blocked);
            raise(&mut stats.blocked_ns, lane.blocked_ns);
        });
        if abandoned {
            stats.dropped.add(Cause::ExitTimeout, core::mem::take(&mut stats.queue_size));
        }
        stats.calls = stats.messages_enqueued.saturating_add(refused);
        stats.messages_dropped = stats.dropped.total();
        stats
    }

    fn add_totals(&mut self, totals: &Totals) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Staged before written: a record moves from the one to the other.
        raise(&mut self.queue_size, get(&totals.staged));
        raise(&mut self.messages_written, get(&totals.written));
        raise(&mut self.notices, get(&totals.notices));
        raise(&mut self.late, get(&totals.late));
        raise(&mut self.bytes_written, get(&totals.bytes_written));
        raise(&mut self.sink_errors, get(&totals.sink_errors));
        raise(&mut self.worker_count, get(&totals.workers));
        raise(&mut self.active_workers, get(&totals.active_workers));
        self.dropped.add_all(&totals.drops);
    }
}

/// The statistics of a channel's lanes, one by one.
pub(crate) fn lanes_of(channel: &'static dyn AnyChannel) -> impl Iterator<Item = LaneStats> {
    let stopped = matches!(gate::state(), State::Stopped);
    lane_indices(channel).filter_map(move |at| channel.lane(at).map(|lane| lane_stats(lane, stopped)))
}
