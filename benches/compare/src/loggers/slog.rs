//! slog, with slog-async before slog-term: the caller formats the message.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::OnceLock;

use slog::{Drain, Level, LevelFilter, Logger, debug, info, o};
use slog_async::{Async, OverflowStrategy};
use slog_term::{FullFormat, PlainDecorator};

use super::{Contender, QUEUE, Role, Running, Setup, buffered_file};
use crate::method::values::{Fill, TEXT, double, price};
use crate::threads;

pub const CONTENDER: Contender = Contender {
    name: "slog-async",
    crates: &["slog", "slog-async", "slog-term"],
    setting: "a channel of 100,000, OverflowStrategy::Block, FullFormat",
    role: Role::Formatting,
    lossless: Ok(()),
    start,
};

static LOGGER: OnceLock<Logger> = OnceLock::new();

#[inline(always)]
fn logger() -> &'static Logger {
    LOGGER.get().expect("started")
}

fn start(setup: &Setup) -> Result<Running, String> {
    let lines = FullFormat::new(PlainDecorator::new(buffered_file(setup)?)).build().fuse();
    let (queue, guard) =
        Async::new(lines).chan_size(QUEUE).overflow_strategy(OverflowStrategy::Block).build_with_guard();
    threads::pin_others(setup.core);
    let filtered = LevelFilter::new(queue, Level::Info).fuse();
    LOGGER.set(Logger::root(filtered, o!())).map_err(|_| "started twice")?;
    Ok(Running {
        cases: vec![
            case!(StaticText, |_| info!(logger(), "static text")),
            case!(OneInt, |i| info!(logger(), "order {}", i)),
            case!(IntsDouble, |i| info!(logger(), "order {} filled {} @ {}", i, i * 7919, double(i))),
            case!(IntsPrice, |i| info!(logger(), "order {} filled {} @ {}", i, i * 7919, price(i))),
            case!(IntsStr, |i| info!(logger(), "order {} filled {} {}", i, i * 7919, black_box(TEXT))),
            case!(Fields, |i| info!(
                logger(), "filled"; "a" => i, "b" => i * 7919, "c" => true, "d" => black_box("buy")
            )),
            case!(Aligned, |i| info!(logger(), "at {:>10.3}", double(i))),
            case!(Debug, |i| info!(logger(), "fill"; "fill" => ?Fill { qty: i, side: "buy" })),
            off!(|i| debug!(logger(), "order {}", i)),
        ],
        fill: |from, to| {
            for i in from..to {
                info!(logger(), "order {} filled {} @ {}", i, i * 7919, double(i));
            }
        },
        prepare: || {},
        finish: Box::new(move || {
            drop(guard);
            Ok(())
        }),
    })
}
