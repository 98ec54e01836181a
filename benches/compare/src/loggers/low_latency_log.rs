//! low_latency_log: a boxed closure for each record, through a channel.

#![forbid(unsafe_code)]

use std::hint::black_box;

use low_latency_log::{Logger, RollingCondition, info};

use super::{Case, Contender, QUEUE, Role, Running, Setup};
use crate::message::Message;
use crate::method::values::{Fill, TEXT, double, price};

pub const CONTENDER: Contender = Contender {
    name: "low_latency_log",
    crates: &["low_latency_log"],
    setting: "a channel of 100,000, blocking, pinned backend",
    role: Role::Deferring,
    lossless: Ok(()),
    start,
};

// Its closures evaluate their arguments in the backend: they are made before, so that every logger's caller
// computes the same.
fn start(setup: &Setup) -> Result<Running, String> {
    let dir = setup.dir.to_str().ok_or("a folder with a strange name")?.to_owned();
    let guard = Logger::new(RollingCondition::new().daily(), dir, "log".to_owned())
        .cpu(setup.core.id)
        .queue_size(QUEUE)
        .init()
        .map_err(|error| error.to_string())?;
    Ok(Running {
        cases: vec![
            case!(StaticText, |_| info!("static text")),
            case!(OneInt, |i| info!("order {}", i)),
            case!(IntsDouble, |i| {
                let (filled, at) = (i * 7919, double(i));
                info!("order {} filled {} @ {}", i, filled, at)
            }),
            case!(IntsPrice, |i| {
                let (filled, at) = (i * 7919, price(i));
                info!("order {} filled {} @ {}", i, filled, at)
            }),
            case!(IntsStr, |i| {
                let (filled, text) = (i * 7919, black_box(TEXT));
                info!("order {} filled {} {}", i, filled, text)
            }),
            // It has no fields: the values stand in the message.
            case!(Fields, |i| {
                let (b, d) = (i * 7919, black_box("buy"));
                info!("filled a={} b={} c={} d={}", i, b, true, d)
            }),
            case!(Aligned, |i| {
                let at = double(i);
                info!("at {:>10.3}", at)
            }),
            case!(Debug, |i| {
                let fill = Fill { qty: i, side: "buy" };
                info!("fill {:?}", fill)
            }),
            Case::no(Message::LevelOff, "levels are chosen at compile time only"),
        ],
        fill: |from, to| {
            for i in from..to {
                let (filled, at) = (i * 7919, double(i));
                info!("order {} filled {} @ {}", i, filled, at);
            }
        },
        prepare: || {},
        finish: Box::new(move || {
            drop(guard);
            Ok(())
        }),
    })
}
