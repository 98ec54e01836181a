//! Threads on every policy and encoding at once, with a sink that stalls and fails, flushes, readers of the
//! statistics, and threads that come and go: nothing is torn, doubled, out of order, or lost without being
//! counted and told.
//!
//! `KAKASHI_STRESS=20` makes it twenty times as long. `scripts/sanitize.sh` runs it under the sanitizers.
#![cfg(not(any(feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn")))]

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Preformatted, Sink, info};

/// Producers of each channel at a time: one more than there are lanes, so that one shares.
const PRODUCERS: u64 = 4;
/// Each producer is a thread that ends and is followed by another.
const GENERATIONS: u64 = 6;
/// Records of a thread.
const RECORDS: u64 = 300;
const PATIENCE: Duration = Duration::from_secs(300);

kakashi::channel!(static BLOCK_P: Channel<64, 64, 3, Block, Preformatted>);
kakashi::channel!(static BLOCK_D: Channel<128, 16, 3, Block, Deferred>);
kakashi::channel!(static WAIT_P: Channel<128, 16, 3, BlockFor<2_000>, Preformatted>);
kakashi::channel!(static WAIT_D: Channel<64, 32, 3, BlockFor<2_000>, Deferred>);
kakashi::channel!(static NEWEST_P: Channel<64, 32, 3, DropNewest, Preformatted>);
kakashi::channel!(static NEWEST_D: Channel<64, 32, 3, DropNewest, Deferred>);
kakashi::channel!(static OLDEST_P: Channel<64, 32, 3, DropOldest, Preformatted>);
kakashi::channel!(static OLDEST_D: Channel<128, 16, 3, DropOldest, Deferred>);

const CHANNELS: u64 = 8;
const BLOCKING: u64 = 2;
/// Lanes that overwrite, the shared ones included.
const OVERWRITING: u64 = 8;
/// The sender of the flusher's records.
const FLUSHER: u64 = 1000;

/// Random enough.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A text that only this record has, of 0 to 119 bytes: up to several slots.
fn text(channel: u64, sender: u64, number: u64) -> String {
    let mut random = Random((channel << 48) ^ (sender << 32) ^ number);
    let len = if number.is_multiple_of(3) { random.below(120) } else { random.below(24) };
    (0..len).map(|_| (b'a' + random.below(26) as u8) as char).collect()
}

/// Goes through `core::fmt` into the lane's scratch memory.
struct Shown(u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.0)?;
        f.write_str(">")
    }
}

fn send(channel: u64, sender: u64, number: u64) {
    let text = text(channel, sender, number);
    let text = text.as_str();
    macro_rules! to {
        ($channel:ident) => {
            if number.is_multiple_of(5) {
                info!(
                    $channel,
                    "r {} {} {} {} {} [{}]",
                    channel,
                    sender,
                    number,
                    number as f64 / 4.0,
                    Shown(number),
                    text
                )
            } else {
                info!(
                    $channel,
                    "r {} {} {} {} <{}> [{}]",
                    channel,
                    sender,
                    number,
                    number as f64 / 4.0,
                    number,
                    text
                )
            }
        };
    }
    match channel {
        0 => to!(BLOCK_P),
        1 => to!(BLOCK_D),
        2 => to!(WAIT_P),
        3 => to!(WAIT_D),
        4 => to!(NEWEST_P),
        5 => to!(NEWEST_D),
        6 => to!(OLDEST_P),
        _ => to!(OLDEST_D),
    }
}

/// Keeps the lines; now and then it is slow, takes a part only, is interrupted, or is full for a moment.
struct Moody {
    random: Random,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Moody {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.random.below(12) {
            0 => return Err(io::ErrorKind::Interrupted.into()),
            1 => return Err(io::ErrorKind::StorageFull.into()),
            2 => {
                thread::sleep(Duration::from_micros(self.random.below(3_000)));
                bytes.len()
            }
            3..5 => 1 + self.random.below(bytes.len() as u64) as usize,
            _ => bytes.len(),
        };
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

/// `r channel sender number number/4 <number> [text]`, checked as a whole.
fn parse(message: &str) -> (u64, u64, u64) {
    let mut words = message.splitn(7, ' ').skip(1);
    let mut number =
        || words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("torn: {message}"));
    let (channel, sender, number) = (number(), number(), number());
    let whole = format!(
        "r {channel} {sender} {number} {} <{number}> [{}]",
        number as f64 / 4.0,
        text(channel, sender, number)
    );
    assert_eq!(message, whole, "torn");
    (channel, sender, number)
}

/// The number behind `dropped ` in a line of the logger's own.
fn told(message: &str) -> u64 {
    let count = message.strip_prefix("dropped ").and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("an unknown notice: {message}"))
}

#[test]
fn nothing_is_torn_doubled_disordered_or_lost_uncounted() {
    let times: u64 = std::env::var("KAKASHI_STRESS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let records = RECORDS * times;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Moody { random: Random(1), lines: Arc::clone(&lines) };
    let guard = kakashi::builder().sink(sink).start().expect("the backend starts");

    // Calls that have begun, and those that have returned.
    let (begun, returned) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    let call = |channel, sender, number| {
        begun.fetch_add(1, Ordering::SeqCst);
        send(channel, sender, number);
        returned.fetch_add(1, Ordering::SeqCst);
    };
    let call = &call;

    thread::scope(|scope| {
        let producers: Vec<_> = (0..CHANNELS * PRODUCERS)
            .map(|at| {
                let channel = at % CHANNELS;
                scope.spawn(move || {
                    for generation in 0..GENERATIONS {
                        let sender = at / CHANNELS * GENERATIONS + generation;
                        let life = move || {
                            let mut random = Random(at << 32 | generation);
                            for number in 0..records {
                                call(channel, sender, number);
                                // The policies that drop would drop nearly all without a pause.
                                if random.below(if channel < BLOCKING { 200 } else { 8 }) == 0 {
                                    thread::yield_now();
                                }
                            }
                        };
                        thread::scope(|scope| scope.spawn(life).join()).expect("the thread lives");
                    }
                })
            })
            .collect();
        let flusher = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                call(0, FLUSHER, number);
                kakashi::flush(PATIENCE).expect("it is flushed in time");
                // What was logged before is there when the flush is Ok.
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                let needle = format!(" r 0 {FLUSHER} {number} ");
                let tail = String::from_utf8_lossy(&lines);
                assert!(tail.contains(&needle), "a flush that returned did not flush record {number}");
                drop(lines);
                number += 1;
                thread::sleep(Duration::from_millis(20));
            }
            number
        });
        for _ in 0..2 {
            scope.spawn(|| {
                let mut written = 0;
                let mut dropped = 0;
                while !done.load(Ordering::Relaxed) {
                    let over = returned.load(Ordering::SeqCst);
                    let stats = kakashi::get_async_stats();
                    let under_way = begun.load(Ordering::SeqCst);
                    let accounted = stats.messages_written + stats.messages_dropped;
                    // A call that is under way may be accounted for before it is counted as a call.
                    let slack = CHANNELS * PRODUCERS + 1;
                    assert!(stats.calls + slack >= accounted, "{stats}");
                    assert!(accounted <= under_way, "more than were called, {under_way}: {stats}");
                    assert!(stats.calls >= over, "calls that returned are not counted, {over}: {stats}");
                    assert!(stats.calls <= under_way, "more calls than were made, {under_way}: {stats}");
                    assert!(stats.messages_written >= written, "written was {written}: {stats}");
                    // Of each lane that overwrites, a record that the writer has at hand may be evicted behind
                    // its back; it counts as dropped until it is written.
                    assert!(
                        stats.messages_dropped + OVERWRITING >= dropped,
                        "dropped was {dropped}: {stats}"
                    );
                    assert!((0.0..=1.0).contains(&stats.fullest), "{stats}");
                    (written, dropped) = (stats.messages_written, stats.messages_dropped);
                    thread::sleep(Duration::from_micros(300));
                }
            });
        }
        for producer in producers {
            producer.join().expect("the producer lives");
        }
        done.store(true, Ordering::Relaxed);
        flusher.join().expect("the flusher lives");
    });
    kakashi::flush(PATIENCE).expect("it is flushed in time");

    let calls = begun.load(Ordering::SeqCst);
    let stats = kakashi::get_async_stats();
    assert_eq!((stats.calls, stats.queue_size), (calls, 0), "{stats}");
    assert_eq!(stats.calls, stats.messages_written + stats.messages_dropped, "{stats}");
    let blocking = BLOCK_P.stats().snapshot().messages_dropped + BLOCK_D.stats().snapshot().messages_dropped;
    assert_eq!(blocking, 0, "a policy that waits has dropped");
    guard.shutdown(PATIENCE).expect("it is shut down in time");

    let text = String::from_utf8(std::mem::take(&mut *lines.lock().expect("no panic"))).expect("UTF-8");
    assert!(text.ends_with('\n'));
    let mut next: HashMap<(u64, u64), u64> = HashMap::new();
    let (mut written, mut announced, mut in_blocking) = (0, 0, 0);
    for line in text.lines() {
        let (head, message) = line.split_once("] ").unwrap_or_else(|| panic!("torn: {line}"));
        if head.contains(" kakashi - [kakashi-writer") {
            announced += told(message);
            continue;
        }
        let (channel, sender, number) = parse(message);
        let next = next.entry((channel, sender)).or_default();
        assert!(number >= *next, "record {number} of {channel}/{sender} is doubled or late");
        assert!(channel >= BLOCKING || number == *next, "record {next} of {channel}/{sender} is lost");
        *next = number + 1;
        written += 1;
        in_blocking += u64::from(channel < BLOCKING && sender != FLUSHER);
    }
    let stats = kakashi::get_async_stats();
    assert_eq!(written, stats.messages_written, "{stats}");
    assert_eq!(in_blocking, BLOCKING * PRODUCERS * GENERATIONS * records);
    assert_eq!(announced, stats.messages_dropped, "drops that the log does not tell of: {stats}");
    println!("{stats}");
}
