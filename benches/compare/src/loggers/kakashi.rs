//! kakashi: both encodings, all policies, all clocks.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use kakashi::{
    Block, BlockFor, Channel, Clock, Deferred, DropNewest, DropOldest, FileSink, Preformatted, debug, info,
};

use super::{Contender, Role, Running, Setup};
use crate::method::values::{Fill, TEXT, double, price};

/// What the contenders of the default clock are called.
pub const PREFORMATTED: &str = "kakashi preformatted";
pub const DEFERRED: &str = "kakashi deferred";

/// The message that is measured under every policy.
macro_rules! filled {
    ($channel:ident) => {
        case!(IntsDouble, |i| info!($channel, "order {} filled {} @ {}", i, i * 7919, double(i)))
    };
}

/// The channels of one encoding, one for each policy, and its calls.
macro_rules! encoding {
    ($module:ident, $encoding:ty) => {
        mod $module {
            use super::*;

            kakashi::channel!(static BLOCK: Channel<128, 8192, 8, Block, $encoding>);
            kakashi::channel!(static BLOCK_FOR: Channel<128, 8192, 8, BlockFor<1_000_000>, $encoding>);
            kakashi::channel!(static NEWEST: Channel<128, 8192, 8, DropNewest, $encoding>);
            kakashi::channel!(static OLDEST: Channel<128, 8192, 8, DropOldest, $encoding>);

            pub fn start(setup: &Setup, clock: Clock) -> Result<Running, String> {
                let guard = kakashi::builder()
                    .sink(FileSink::create(setup.file()))
                    .writer_core(Some(setup.core.id))
                    .clock(clock)
                    .start()
                    .map_err(|error| error.to_string())?;
                for prepared in [
                    BLOCK.prepare_thread(),
                    BLOCK_FOR.prepare_thread(),
                    NEWEST.prepare_thread(),
                    OLDEST.prepare_thread(),
                ] {
                    prepared.map_err(|error| error.to_string())?;
                }
                Ok(Running {
                    cases: vec![
                        case!(StaticText, |_| info!(BLOCK, "static text")),
                        case!(OneInt, |i| info!(BLOCK, "order {}", i)),
                        filled!(BLOCK),
                        filled!(BLOCK_FOR).variant("BlockFor"),
                        filled!(NEWEST).variant("DropNewest"),
                        filled!(OLDEST).variant("DropOldest"),
                        case!(IntsPrice, |i| info!(
                            BLOCK,
                            "order {} filled {} @ {}",
                            i,
                            i * 7919,
                            price(i)
                        )),
                        case!(IntsStr, |i| info!(
                            BLOCK,
                            "order {} filled {} {}",
                            i,
                            i * 7919,
                            black_box(TEXT)
                        )),
                        case!(Fields, |i| info!(
                            BLOCK,
                            "filled",
                            a = i,
                            b = i * 7919,
                            c = true,
                            d = black_box("buy")
                        )),
                        case!(Aligned, |i| info!(BLOCK, "at {:>10.3}", double(i))),
                        case!(Debug, |i| info!(BLOCK, "fill", fill = ?Fill { qty: i, side: "buy" })),
                        off!(|i| debug!("order {}", i)),
                    ],
                    fill: |from, to| {
                        for i in from..to {
                            info!(BLOCK, "order {} filled {} @ {}", i, i * 7919, double(i));
                        }
                    },
                    prepare: || BLOCK.prepare_thread().expect("a lane is free"),
                    finish: Box::new(move || {
                        let report =
                            guard.shutdown(Duration::from_secs(60)).map_err(|error| error.to_string())?;
                        match report.messages_dropped {
                            0 => Ok(()),
                            dropped => Err(format!("kakashi dropped {dropped} records")),
                        }
                    }),
                })
            }
        }
    };
}

encoding!(preformatted, Preformatted);
encoding!(deferred, Deferred);

/// Every clock with both encodings. The default one comes first and bears no suffix.
macro_rules! clocks {
    ($($clock:ident $suffix:literal),+) => {
        /// What a contender's name says of its clock.
        pub const CLOCKS: &[&str] = &[$($suffix),+];

        pub fn contenders() -> Vec<Contender> {
            vec![$(
                Contender {
                    name: concat!("kakashi preformatted", $suffix),
                    setting: concat!("Block, 8192 slots of 128 bytes, Clock::", stringify!($clock)),
                    start: |setup| preformatted::start(setup, Clock::$clock),
                    ..COMMON
                },
                Contender {
                    name: concat!("kakashi deferred", $suffix),
                    setting: concat!("Block, 8192 slots of 128 bytes, Clock::", stringify!($clock)),
                    start: |setup| deferred::start(setup, Clock::$clock),
                    ..COMMON
                },
            )+]
        }
    };
}

clocks!(Counter "", Ordered " Ordered");

const COMMON: Contender = Contender {
    name: "",
    crates: &["kakashi-log"],
    setting: "",
    role: Role::Kakashi,
    lossless: Ok(()),
    start: |_| Err("which clock?".to_owned()),
};
