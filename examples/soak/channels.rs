//! The channels: every policy with both encodings, rings that are soon full, fewer lanes than threads.
#![forbid(unsafe_code)]

use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, LaneStats, Preformatted, Stats};

kakashi::channel!(pub static BLOCK_P: Channel<64, 256, 4, Block, Preformatted>);
kakashi::channel!(pub static BLOCK_D: Channel<128, 64, 3, Block, Deferred>);
kakashi::channel!(pub static WAIT_P: Channel<128, 64, 3, BlockFor<20_000>, Preformatted>);
kakashi::channel!(pub static WAIT_D: Channel<64, 128, 4, BlockFor<1_000>, Deferred>);
kakashi::channel!(pub static NEWEST_P: Channel<256, 32, 4, DropNewest, Preformatted>);
kakashi::channel!(pub static NEWEST_D: Channel<64, 64, 2, DropNewest, Deferred>);
kakashi::channel!(pub static OLDEST_P: Channel<64, 128, 3, DropOldest, Preformatted>);
kakashi::channel!(pub static OLDEST_D: Channel<128, 64, 4, DropOldest, Deferred>);

pub const CHANNELS: usize = 8;

pub const NAMES: [&str; CHANNELS] =
    ["BLOCK_P", "BLOCK_D", "WAIT_P", "WAIT_D", "NEWEST_P", "NEWEST_D", "OLDEST_P", "OLDEST_D"];

/// Calls `$body` with the channel of that number as `$channel`.
macro_rules! on_channel {
    ($at:expr, |$channel:ident| $body:expr) => {
        on_channel!(@ $at, $channel, $body,
            0 BLOCK_P, 1 BLOCK_D, 2 WAIT_P, 3 WAIT_D, 4 NEWEST_P, 5 NEWEST_D, 6 OLDEST_P, 7 OLDEST_D)
    };
    (@ $at:expr, $channel:ident, $body:expr, $($number:literal $name:ident),+) => {
        match $at {
            $($number => {
                let $channel = &$crate::channels::$name;
                $body
            })+
            at => unreachable!("there is no channel {at}"),
        }
    };
}
pub(crate) use on_channel;

/// The causes by which records are dropped, as the logger names them.
pub const CAUSES: [&str; 9] = [
    "newest",
    "oldest",
    "wait_expired",
    "format_panicked",
    "reentrant",
    "no_lane",
    "after_shutdown",
    "exit_timeout",
    "sink",
];

/// Drops by cause.
pub type Causes = [u64; CAUSES.len()];

pub fn causes(dropped: &kakashi::DropCauses) -> Causes {
    let d = dropped;
    [
        d.newest,
        d.oldest,
        d.wait_expired,
        d.format_panicked,
        d.reentrant,
        d.no_lane,
        d.after_shutdown,
        d.exit_timeout,
        d.sink,
    ]
}

/// Causes as `newest=3 sink=1`; those without drops are left out.
pub fn show(causes: &Causes) -> String {
    let some = CAUSES.iter().zip(causes).filter(|&(_, &count)| count != 0);
    some.map(|(cause, count)| format!("{cause}={count}")).collect::<Vec<_>>().join(" ")
}

/// Whether a channel's own lanes may drop by that cause.
pub fn may_drop(channel: usize, cause: &str) -> bool {
    let by_policy = match channel {
        0 | 1 => false,
        2 | 3 => matches!(cause, "wait_expired" | "no_lane"),
        4 | 5 => matches!(cause, "newest" | "no_lane"),
        _ => matches!(cause, "oldest" | "no_lane"),
    };
    by_policy || matches!(cause, "format_panicked" | "reentrant" | "after_shutdown")
}

/// Whether its policy waits for as long as it takes.
pub fn is_lossless(channel: usize) -> bool {
    channel < 2
}

pub fn stats(channel: usize) -> Stats {
    on_channel!(channel, |to| to.stats())
}

pub fn lanes(channel: usize) -> Vec<LaneStats> {
    on_channel!(channel, |to| to.lanes().collect())
}
