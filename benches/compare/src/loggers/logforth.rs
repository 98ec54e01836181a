//! logforth: an owned record for each call, through a channel to an asynchronous appender.

#![forbid(unsafe_code)]

use logforth::append::asynchronous::AsyncBuilder;
use logforth::append::file::FileBuilder;
use logforth::bridge::log::LogBridge;
use logforth::layout::TextLayout;

use super::facade::{self, Fields};
use super::{Contender, QUEUE, Role, Running, Setup};
use crate::threads;

pub const CONTENDER: Contender = Contender {
    name: "logforth",
    crates: &["logforth", "logforth-append-async"],
    setting: "asynchronous file appender, a channel of 100,000, blocking",
    role: Role::Formatting,
    lossless: Ok(()),
    start,
};

fn start(setup: &Setup) -> Result<Running, String> {
    let file = FileBuilder::new(&setup.dir, "log")
        .layout(TextLayout::default().no_color())
        .build()
        .map_err(|error| error.to_string())?;
    let appender =
        AsyncBuilder::new("logforth").buffered_lines_limit(Some(QUEUE)).overflow_block().append(file).build();
    let logger = logforth::core::builder().dispatch(|dispatch| dispatch.append(appender)).build();
    log::set_boxed_logger(Box::new(LogBridge::new(logger))).map_err(|error| error.to_string())?;
    log::set_max_level(log::LevelFilter::Info);
    threads::pin_others(setup.core);
    Ok(Running {
        cases: facade::cases(Fields::Written),
        fill: facade::fill,
        prepare: || {},
        finish: Box::new(|| {
            log::logger().flush();
            Ok(())
        }),
    })
}
