//! tracing, written by tracing-appender's thread: the caller formats the whole line.

#![forbid(unsafe_code)]

use std::hint::black_box;

use tracing::{debug, info};
use tracing_appender::non_blocking::NonBlockingBuilder;

use super::{Contender, Role, Running, Setup, buffered_file};
use crate::method::values::{Fill, TEXT, double, price};
use crate::threads;

pub const BLOCKING: Contender = Contender {
    name: "tracing blocking",
    crates: &["tracing", "tracing-subscriber", "tracing-appender"],
    setting: "fmt to non_blocking, lossy(false), 128,000 lines",
    role: Role::Formatting,
    lossless: Ok(()),
    start: |setup| start(setup, false),
};

pub const LOSSY: Contender = Contender {
    name: "tracing lossy",
    setting: "fmt to non_blocking, as it comes: 128,000 lines, then it drops",
    lossless: Err("drops when its queue is full"),
    start: |setup| start(setup, true),
    ..BLOCKING
};

fn start(setup: &Setup, lossy: bool) -> Result<Running, String> {
    let (writer, guard) = NonBlockingBuilder::default().lossy(lossy).finish(buffered_file(setup)?);
    tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(false)
        .try_init()
        .map_err(|error| error.to_string())?;
    threads::pin_others(setup.core);
    Ok(Running {
        cases: vec![
            case!(StaticText, |_| info!("static text")),
            case!(OneInt, |i| info!("order {}", i)),
            case!(IntsDouble, |i| info!("order {} filled {} @ {}", i, i * 7919, double(i))),
            case!(IntsPrice, |i| info!("order {} filled {} @ {}", i, i * 7919, price(i))),
            case!(IntsStr, |i| info!("order {} filled {} {}", i, i * 7919, black_box(TEXT))),
            case!(Fields, |i| info!(a = i, b = i * 7919, c = true, d = black_box("buy"), "filled")),
            case!(Aligned, |i| info!("at {:>10.3}", double(i))),
            case!(Debug, |i| info!(fill = ?Fill { qty: i, side: "buy" }, "fill")),
            off!(|i| debug!("order {}", i)),
        ],
        fill: |from, to| {
            for i in from..to {
                info!("order {} filled {} @ {}", i, i * 7919, double(i));
            }
        },
        prepare: || {},
        finish: Box::new(move || {
            drop(guard);
            Ok(())
        }),
    })
}
