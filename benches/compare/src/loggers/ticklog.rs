//! ticklog: a ring for each thread, formatted by its drain thread.

#![forbid(unsafe_code)]

use std::hint::black_box;

use ticklog::{FileSink, info};

use super::{Case, Contender, Role, Running, Setup};
use crate::message::Message;
use crate::method::values::{TEXT, double, price};

pub const CONTENDER: Contender = Contender {
    name: "ticklog",
    crates: &["ticklog"],
    setting: "Backpressure::Block, pinned drain, warm_up",
    role: Role::Deferring,
    lossless: Ok(()),
    start,
};

// What `configure!` puts into the crate's root for the log statements there; the statements of a module do not
// find it. These say the same as the call below.
macro_rules! __ticklog_max_level {
    () => {
        ticklog::Level::Info
    };
}
macro_rules! __ticklog_backpressure {
    () => {
        ticklog::Backpressure::Block
    };
}

fn start(setup: &Setup) -> Result<Running, String> {
    let guard = ticklog::configure! {
        sink: FileSink::truncate(setup.file()).map_err(|error| error.to_string())?,
        max_level: ticklog::Level::Info,
        backpressure: ticklog::Backpressure::Block,
        drain_affinity: Some(vec![setup.core.id]),
    }
    .map_err(|error| error.to_string())?;
    Ok(Running {
        cases: vec![
            case!(StaticText, |_| info!("static text")),
            case!(OneInt, |i| info!("order {}", i)),
            case!(IntsDouble, |i| info!("order {} filled {} @ {}", i, i * 7919, double(i))),
            case!(IntsPrice, |i| info!("order {} filled {} @ {}", i, i * 7919, price(i))),
            case!(IntsStr, |i| info!("order {} filled {} {}", i, i * 7919, black_box(TEXT))),
            // It has no fields: the values stand in the message.
            case!(Fields, |i| info!("filled a={} b={} c={} d={}", i, i * 7919, true, black_box("buy"))),
            case!(Aligned, |i| info!("at {:>10.3}", double(i))),
            Case::no(Message::Debug, "takes numbers, bool and text only"),
            Case::no(Message::LevelOff, "levels are chosen at compile time only"),
        ],
        fill: |from, to| {
            for i in from..to {
                info!("order {} filled {} @ {}", i, i * 7919, double(i));
            }
        },
        prepare: || ticklog::warm_up().expect("configured"),
        finish: Box::new(move || {
            drop(guard);
            Ok(())
        }),
    })
}
