//! What a log must hold after a fault, checked in one place.
//!
//! The records of a fault test say who made them, which of that one's they are, and carry a text that only this
//! record has ([`record!`]). Of a log, a [`Ledger`] asserts that each line is whole and ours, that each record stands
//! in it once and in its maker's order, and counts the rest: what was made and is missing must have been counted as
//! dropped, and told.

use std::collections::BTreeMap;

use kakashi::AsyncStats;

use super::{conserved, is_notice, message, number};

/// The record `n` of `from`, to a channel or logger.
macro_rules! record {
    ($target:expr, $from:expr, $n:expr) => {{
        let (from, n): (u64, u64) = ($from, $n);
        kakashi::info!($target, "from={} n={} {}", from, n, $crate::common::ledger::text(from, n))
    }};
}
pub(crate) use record;

const LETTERS: &str = "thequickbrownfoxjumpsoverthelazydogTHEQUICKBROWNFOXJUMPSOVERTHELAZYDOG0123456789\
                       packmyboxwithfivedozenliquorjugsPACKMYBOXWITHFIVEDOZENLIQUORJUGS9876543210";

/// The text of a record: of no letter up to more than a slot has.
pub fn text(from: u64, n: u64) -> &'static str {
    let mixed = (from << 40 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let len = mixed as usize % if n.is_multiple_of(4) { LETTERS.len() } else { 24 };
    let start = (mixed >> 12) as usize % (LETTERS.len() - len);
    &LETTERS[start..start + len]
}

/// What stands in a log.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By maker: how many, and the number behind the last one.
    makers: BTreeMap<u64, (u64, u64)>,
    /// Records.
    pub records: u64,
    /// The logger's own lines.
    pub notices: u64,
    /// Drops that these tell of.
    pub told: u64,
}

impl Ledger {
    /// Reads a log from its beginning. Panics at a line that is torn, doubled, out of order, or nobody's.
    #[track_caller]
    pub fn of<L: AsRef<str>>(lines: &[L]) -> Self {
        let mut ledger = Ledger::default();
        lines.iter().for_each(|line| ledger.add(line.as_ref()));
        ledger
    }

    /// Reads one line more.
    #[track_caller]
    pub fn add(&mut self, line: &str) {
        let message = message(line);
        if is_notice(line) {
            self.notices += 1;
            if message.starts_with("dropped ") {
                self.told += number(message, "dropped ");
            }
            return;
        }
        let (from, n) = (number(message, "from="), number(message, " n="));
        assert_eq!(message, format!("from={from} n={n} {}", text(from, n)), "torn");
        let (count, next) = self.makers.entry(from).or_default();
        assert!(n >= *next, "doubled, or out of order: {line:?} stands behind n={}", *next - 1);
        (*count, *next) = (*count + 1, n + 1);
        self.records += 1;
    }

    /// How many of a maker's there are, and the number of its last one plus one.
    pub fn from(&self, maker: u64) -> (u64, u64) {
        self.makers.get(&maker).copied().unwrap_or_default()
    }

    /// Asserts that all `made` records of `maker` are there.
    #[track_caller]
    pub fn has_all(&self, maker: u64, made: u64) {
        assert_eq!(
            self.from(maker),
            (made, made),
            "of {maker}: how many, and the last one's number plus one"
        );
    }

    /// Holds the log against the statistics: of `made` calls, which are all that this process has made, each is in the
    /// log or counted as dropped, and the log tells how many these are. Nothing may be under way.
    #[track_caller]
    pub fn settle(&self, made: u64) -> AsyncStats {
        let stats = conserved();
        assert_eq!((stats.calls, stats.queue_size), (made, 0), "{stats}");
        assert_eq!(
            stats.messages_written, self.records,
            "what is counted as written stands in the log: {stats}"
        );
        // Without a live sink, and when nobody writes any more, there is no log to tell it in.
        let dropped = stats.dropped;
        let untold = dropped.sink + dropped.exit_timeout + dropped.after_shutdown;
        assert!(
            self.told <= stats.messages_dropped && self.told + untold >= stats.messages_dropped,
            "the log tells of {} drops: {stats}",
            self.told
        );
        stats
    }
}
