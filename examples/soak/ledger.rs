//! The books: calls, records that came, and drops, which must add up to the last one whenever nothing is under way.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::backend::reference;
use crate::channels::{self, CAUSES, CHANNELS, Causes, NAMES, causes, is_lossless, may_drop};
use crate::load::{self, BEGUN, PANICKED, RETURNED, Sender};
use crate::stream::Sums;
use crate::{PATIENCE, report};

/// Drops by channel; the last row is of those that no lane counted.
type Drops = [Causes; CHANNELS + 1];

const EXIT_TIMEOUT: usize = 7;
const SINK: usize = 8;

fn counted() -> Drops {
    let mut drops = Drops::default();
    let mut rest = causes(&kakashi::get_async_stats().dropped);
    for (at, row) in drops.iter_mut().take(CHANNELS).enumerate() {
        *row = causes(&channels::stats(at).snapshot().dropped);
        for (rest, counted) in rest.iter_mut().zip(row) {
            // Nothing is under way, or the difference is used as a bound only.
            *rest = rest.saturating_sub(*counted);
        }
    }
    drops[CHANNELS] = rest;
    drops
}

/// What the log need not tell of: drops while no backend ran, or no sink was alive.
#[derive(Default)]
pub struct Ledger {
    untold: Drops,
    since: Option<Drops>,
    /// What the sampler has seen last.
    written: u64,
    /// How often the books were closed.
    pub checks: u64,
}

impl Ledger {
    /// From here on, drops need not be told of.
    pub fn begin_silence(&mut self) {
        self.since.get_or_insert_with(counted);
    }

    /// From here on, they must.
    pub fn end_silence(&mut self) {
        self.untold = self.need_not(&counted());
        self.since = None;
    }

    /// The drops, of all those until now, of which the log need not tell.
    fn need_not(&self, now: &Drops) -> Drops {
        let mut untold = self.untold;
        if let Some(since) = &self.since {
            for row in 0..=CHANNELS {
                for cause in 0..CAUSES.len() {
                    untold[row][cause] += now[row][cause].saturating_sub(since[row][cause]);
                }
            }
        }
        untold
    }

    /// While threads log: what can be said within the calls under way.
    pub fn sample(&mut self, threads: u64) {
        let over = RETURNED.load(Ordering::SeqCst);
        let stats = kakashi::get_async_stats();
        let begun = load::calls();
        let accounted = stats.messages_written + stats.messages_dropped;
        let wrong = if stats.calls < over {
            "calls that have returned are not counted"
        } else if stats.calls > begun {
            "more calls are counted than were made"
        } else if accounted > begun {
            "more records are accounted for than were logged"
        } else if stats.messages_written < self.written {
            "records that were written are so no more"
        } else if stats.calls + 4 * threads + 1 < accounted {
            "more records are accounted for than are counted as called"
        } else if !(0.0..=1.0).contains(&stats.fullest) {
            "a ring is fuller than full"
        } else {
            self.written = stats.messages_written;
            return;
        };
        report::violation(format!("{wrong}: {over} returned, {begun} begun, {stats}"));
    }

    /// Closes the books: nothing is under way, and all that can be written is. `senders` are the threads of this phase.
    pub fn check(&mut self, senders: &[Arc<Sender>]) {
        self.checks += 1;
        let (stats, came) = (kakashi::get_async_stats(), reference().sums());
        let begun: Vec<u64> = BEGUN.iter().map(|calls| calls.load(Ordering::SeqCst)).collect();
        let mut wrong = String::new();
        let mut equal = |what: &str, is: u64, should: u64| {
            if is != should {
                let _ = write!(wrong, "\n{what}: {is}, and should be {should}");
            }
        };
        equal("calls counted", stats.calls, begun.iter().sum());
        equal("calls that returned", RETURNED.load(Ordering::SeqCst), begun.iter().sum());
        equal("records queued", stats.queue_size, 0);
        equal(
            "written, queued and dropped",
            stats.messages_written + stats.queue_size + stats.messages_dropped,
            stats.calls,
        );
        equal("records in the log", came.records(), stats.messages_written);
        equal("drops by cause", stats.dropped.total(), stats.messages_dropped);
        equal("values that panicked", stats.dropped.format_panicked, PANICKED.load(Ordering::Relaxed));
        equal("records cut", stats.truncated, 0);
        equal("lines that the reference missed", came.missed, 0);
        let drops = counted();
        let untold = self.need_not(&drops);
        for (at, row) in drops.iter().enumerate() {
            let dropped: u64 = row.iter().sum();
            let name = if at < CHANNELS { NAMES[at] } else { "no lane" };
            if at < CHANNELS {
                let missing = begun[at].wrapping_sub(came.by_channel[at]);
                if (missing as i64) < dropped as i64 {
                    let _ = write!(
                        wrong,
                        "\n{name}: {missing} records are missing, and {dropped} are counted as dropped"
                    );
                }
            }
            for (cause, &count) in row.iter().enumerate() {
                let told = came.told[at][cause];
                if at < CHANNELS && count != 0 && !may_drop(at, CAUSES[cause]) {
                    let _ = write!(wrong, "\n{name}: {count} records dropped as {}", CAUSES[cause]);
                }
                // Without a sink there is no place to tell of it.
                let must = if matches!(cause, SINK | EXIT_TIMEOUT) { 0 } else { count };
                if told > count || told + untold[at][cause] < must {
                    let _ = write!(
                        wrong,
                        "\n{name}: {count} records dropped as {}, and the log tells of {told} (need not of {})",
                        CAUSES[cause], untold[at][cause]
                    );
                }
            }
        }
        self.check_senders(senders, &drops, &mut wrong);
        if !wrong.is_empty() {
            report::violation_with(
                format!("the books do not balance:{wrong}\n{stats}{}", table(&begun, &came, &drops)),
                || vec![("reference.tail".to_owned(), reference().evidence())],
            );
        }
    }

    /// Each thread for itself.
    fn check_senders(&self, senders: &[Arc<Sender>], drops: &Drops, wrong: &mut String) {
        let mut lost = Vec::new();
        for sender in senders {
            let (logged, came) = (sender.logged.load(Ordering::Relaxed), reference().sender(sender.id));
            if came.seen > logged || came.told > logged - came.seen {
                let _ = write!(
                    wrong,
                    "\nw{}: {logged} records logged, {} came, and the log tells of {} drops",
                    sender.id, came.seen, came.told
                );
            }
            let (first, second) = ((sender.id >> 5 & 7) as usize, (sender.id >> 2 & 7) as usize);
            if came.seen + came.told < logged && is_lossless(first) && is_lossless(second) {
                lost.push(format!("w{} {} of {logged}", sender.id, logged - came.seen));
            }
        }
        // Told of when the sums are wrong only: a drop without a lane is nobody's.
        let dropped: u64 = drops.iter().flatten().sum();
        if !wrong.is_empty() && !lost.is_empty() {
            lost.truncate(10);
            let _ =
                write!(wrong, "\nmissing of threads that wait ({dropped} drops in all): {}", lost.join(", "));
        }
    }

    /// Lanes belong to threads that live, each to one; those of threads that have ended come free.
    pub fn check_lanes(&self, senders: &[Arc<Sender>]) {
        let live: HashSet<u32> = senders.iter().map(|sender| sender.tid.load(Ordering::Acquire)).collect();
        let end = Instant::now() + PATIENCE;
        loop {
            // Gives the writer a round.
            let flushed = kakashi::flush(PATIENCE);
            let Some(wrong) = wrong_lane(&live) else { return };
            if Instant::now() > end || report::failed() {
                return report::violation(format!(
                    "{wrong}; flush: {flushed:?}; threads that live: {live:?}"
                ));
            }
            std::thread::yield_now();
        }
    }
}

/// What became of each channel's records.
fn table(begun: &[u64], came: &Sums, drops: &Drops) -> String {
    let mut table = String::new();
    for (at, (drops, told)) in drops.iter().zip(&came.told).enumerate() {
        let (drops, told) = (channels::show(drops), channels::show(told));
        let _ = match NAMES.get(at) {
            Some(name) => {
                let missing = begun[at].wrapping_sub(came.by_channel[at]);
                write!(
                    table,
                    "\n{name}: {} calls, {missing} not in the log; dropped {drops}; told {told}",
                    begun[at]
                )
            }
            None => write!(table, "\nwithout a lane: dropped {drops}; told {told}"),
        };
    }
    table
}

fn wrong_lane(live: &HashSet<u32>) -> Option<String> {
    for (at, name) in NAMES.iter().enumerate() {
        let mut owners = HashSet::new();
        for lane in channels::lanes(at).iter().filter(|lane| lane.in_use && !lane.shared) {
            let owner = lane.thread_id;
            if owner == 0 || !live.contains(&owner) {
                return Some(format!(
                    "a lane of {name} is in use by thread {owner}, which has ended: {lane:?}"
                ));
            }
            if !owners.insert(owner) {
                return Some(format!("thread {owner} has two lanes of {name}"));
            }
        }
    }
    None
}
