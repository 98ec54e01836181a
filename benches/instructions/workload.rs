//! The program that runs under valgrind: every message, cut into parts by a marker at which callgrind writes
//! what the thread that called it has done since the last one.
//!
//! ```text
//! calling thread:  warm-up | CALLS calls | 2 CALLS calls |            for each message
//! writer's thread: .. | RECORDS records, and a sync | ..              for each of RENDERED, REPEATS times
//! ```

use std::hint::black_box;
use std::io;
use std::time::Duration;

use kakashi::{Format, Guard, LevelFilter, SinkOptions};

use crate::messages::{self, MESSAGES, Message, Values};

/// Calls before anything is counted: the first one asks the ring for its free slots.
const WARM_UP: u64 = 10;
/// Calls of the first counted part; the second has twice as many.
pub const CALLS: u64 = 50;
/// Records of each part that counts the writer.
pub const RECORDS: u64 = 2000;
/// Such parts for each message: the least counts, since the writer also looks in vain at times.
pub const REPEATS: usize = 4;
/// The messages whose records the writer's work is counted with, and their lines' formats.
const RENDERED: [(&str, Format); 9] = [
    ("count_pre_double", Format::Text),
    ("count_pre_text", Format::Text),
    ("count_pre_fields", Format::Text),
    ("count_pre_debug", Format::Text),
    ("count_def_double", Format::Text),
    ("count_pre_double", Format::Json),
    ("count_pre_double", Format::JsonOtel),
    ("count_pre_double", Format::JsonEcs),
    ("count_pre_double", Format::Logfmt),
];

/// Two slots each at most, and no ring has come to its end when the counting of calls ends.
const _: () = assert!(MESSAGES.len() as u64 * (WARM_UP + 3 * CALLS) * 2 <= messages::SLOTS as u64);

/// Its call makes callgrind write what was counted since the last one.
pub const MARKER: &str = "count_mark";

// SAFETY: no other symbol of this program has this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn count_mark() {
    black_box(());
}

/// The numbers of a message's parts on thread 1, the calling one.
pub fn parts_of_calls(message: usize) -> [usize; 2] {
    [3 * message + 2, 3 * message + 3]
}

/// The numbers of the parts of the `rendered`-th message on thread 2, the writer.
pub fn parts_of_rendering(rendered: usize) -> impl Iterator<Item = usize> {
    (0..REPEATS).map(move |repeat| 3 * MESSAGES.len() + 2 * (rendered * REPEATS + repeat) + 2)
}

/// [`RENDERED`], by messages.
pub fn rendered() -> impl Iterator<Item = (&'static Message, Format)> {
    RENDERED.into_iter().filter_map(|(symbol, format)| {
        Some((MESSAGES.iter().find(|message| message.symbol == symbol)?, format))
    })
}

const PATIENCE: Duration = Duration::from_secs(60);

/// As it stands behind a message's name.
pub fn name_of(format: Format) -> String {
    if format == Format::Text { String::new() } else { format!(", {format:?}") }
}

/// Keeps nothing, and marks a sync on the writer's thread.
struct MarkingSink;

impl kakashi::Sink for MarkingSink {
    fn write_batch(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        count_mark();
        Ok(())
    }
}

#[inline(never)]
fn repeat(message: &Message, values: &Values, times: u64) {
    for _ in 0..times {
        (message.call)(black_box(values));
    }
}

pub fn run() {
    let mut guard = start(Format::Text);
    messages::prepare().expect("a lane of each channel is free");
    let values = Values::new();
    for message in MESSAGES {
        kakashi::set_backtrace(if message.watched { LevelFilter::Debug } else { LevelFilter::Off }, 100);
        repeat(message, &values, WARM_UP);
        count_mark();
        repeat(message, &values, CALLS);
        count_mark();
        repeat(message, &values, 2 * CALLS);
        count_mark();
    }
    kakashi::set_backtrace(LevelFilter::Off, 0);
    let mut current = Format::Text;
    for (message, format) in rendered() {
        if format != current {
            stop(guard);
            (guard, current) = (start(format), format);
        }
        for _ in 0..REPEATS {
            kakashi::sync(PATIENCE).expect("the writer catches up");
            repeat(message, &values, RECORDS);
            kakashi::sync(PATIENCE).expect("the writer catches up");
        }
    }
    stop(guard);
}

fn start(format: Format) -> Guard {
    let options = SinkOptions::default().format(format);
    kakashi::builder().sink_with(MarkingSink, options).start().expect("the backend starts")
}

fn stop(guard: Guard) {
    let report = guard.shutdown(PATIENCE).expect("everything is written");
    assert_eq!(report.messages_dropped, 0, "a run that drops counts something else");
}
