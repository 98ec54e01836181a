//! The cases: every message through a channel of each policy and encoding.

use kakashi::{Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Preformatted};

use crate::messages::messages;
use crate::method::{burst, single};

/// A message and the channel it goes through. The functions hold the log statement itself: what is called by
/// pointer is the burst, not the statement.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Ticks of a burst, given the number of its first call.
    pub burst: fn(u64) -> u64,
    /// Ticks of one call, given its number.
    pub single: fn(u64) -> u64,
    /// Whether a call makes a record.
    pub logs: bool,
}

macro_rules! case {
    ($channel:ident, $label:tt; $message:literal, $i:ident, $($statement:tt)+) => {
        Case {
            name: concat!($label, ", ", $message),
            burst: |base| burst(base, |$i| $($statement)+),
            single: |$i| single(|| $($statement)+),
            logs: true,
        }
    };
}

macro_rules! channels {
    ($($name:ident: $policy:ty, $encoding:ty, $label:literal;)*) => {
        // A lane for the thread that bursts alone, and one for each of the workers.
        $(kakashi::channel!(pub static $name: Channel<128, 8192, 5, $policy, $encoding>);)*

        /// Claims a lane of every channel.
        pub fn prepare_thread() {
            $($name.prepare_thread().expect("a lane is free");)*
        }

        /// All cases.
        pub fn all() -> Vec<Case> {
            let mut all = Vec::new();
            $(all.extend(messages!(case, $name, $label));)*
            all.push(Case {
                name: "level off",
                burst: |base| burst(base, |i| kakashi::debug!("order {}", i)),
                single: |i| single(|| kakashi::debug!("order {}", i)),
                logs: false,
            });
            all
        }
    };
}

channels! {
    PREFORMATTED: Block, Preformatted, "preformatted, Block";
    PREFORMATTED_BOUNDED: BlockFor<1_000_000>, Preformatted, "preformatted, BlockFor";
    PREFORMATTED_NEWEST: DropNewest, Preformatted, "preformatted, DropNewest";
    PREFORMATTED_OLDEST: DropOldest, Preformatted, "preformatted, DropOldest";
    DEFERRED: Block, Deferred, "deferred, Block";
    DEFERRED_BOUNDED: BlockFor<1_000_000>, Deferred, "deferred, BlockFor";
    DEFERRED_NEWEST: DropNewest, Deferred, "deferred, DropNewest";
    DEFERRED_OLDEST: DropOldest, Deferred, "deferred, DropOldest";
}
