//! spdlog-rs: an owned record for each call, through a channel to its thread pool.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use spdlog::sink::{AsyncPoolSink, FileSink, OverflowPolicy, Sink};
use spdlog::{Level, LevelFilter, Logger, ThreadPool, debug, info};

use super::{Contender, QUEUE, Role, Running, Setup};
use crate::method::values::{Fill, TEXT, double, price};

pub const CONTENDER: Contender = Contender {
    name: "spdlog-rs",
    crates: &["spdlog-rs"],
    setting: "AsyncPoolSink, a channel of 100,000, OverflowPolicy::Block, no source location",
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
    let text = |error: spdlog::Error| error.to_string();
    let core = setup.core;
    let pool = ThreadPool::builder()
        .capacity(NonZeroUsize::new(QUEUE).expect("not zero"))
        .on_thread_spawn(move || {
            core_affinity::set_for_current(core);
        })
        .build_arc()
        .map_err(text)?;
    let file = FileSink::builder().path(setup.file()).truncate(true).build_arc().map_err(text)?;
    let sink: Arc<AsyncPoolSink> = AsyncPoolSink::builder()
        .sink(file)
        .overflow_policy(OverflowPolicy::Block)
        .thread_pool(pool)
        .build_arc()
        .map_err(text)?;
    let made = Logger::builder()
        .sink(sink.clone())
        .level_filter(LevelFilter::MoreSevereEqual(Level::Info))
        .build()
        .map_err(text)?;
    LOGGER.set(made).map_err(|_| "started twice")?;
    Ok(Running {
        cases: vec![
            case!(StaticText, |_| info!(logger: logger(), "static text")),
            case!(OneInt, |i| info!(logger: logger(), "order {}", i)),
            case!(IntsDouble, |i| info!(
                logger: logger(), "order {} filled {} @ {}", i, i * 7919, double(i)
            )),
            case!(IntsPrice, |i| info!(
                logger: logger(), "order {} filled {} @ {}", i, i * 7919, price(i)
            )),
            case!(IntsStr, |i| info!(
                logger: logger(), "order {} filled {} {}", i, i * 7919, black_box(TEXT)
            )),
            case!(Fields, |i| info!(
                logger: logger(), "filled", kv: { a = i, b = i * 7919, c = true, d = black_box("buy") }
            )),
            case!(Aligned, |i| info!(logger: logger(), "at {:>10.3}", double(i))),
            case!(Debug, |i| info!(
                logger: logger(), "fill", kv: { fill:? = Fill { qty: i, side: "buy" } }
            )),
            off!(|i| debug!(logger: logger(), "order {}", i)),
        ],
        fill: |from, to| {
            for i in from..to {
                info!(logger: logger(), "order {} filled {} @ {}", i, i * 7919, double(i));
            }
        },
        prepare: || {},
        // The one way to wait for its thread: it empties the queue, ends and flushes.
        finish: Box::new(move || sink.flush_on_exit().map_err(text)),
    })
}
