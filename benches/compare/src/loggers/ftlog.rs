//! ftlog: the message formatted by the caller, the line by its thread.

#![forbid(unsafe_code)]

use ftlog::LevelFilter;
use ftlog::appender::FileAppender;

use super::facade::{self, Fields};
use super::{Contender, QUEUE, Role, Running, Setup};
use crate::threads;

pub const CONTENDER: Contender = Contender {
    name: "ftlog",
    crates: &["ftlog"],
    setting: "a channel of 100,000, blocking, feature tsc, UTC",
    role: Role::Formatting,
    lossless: Ok(()),
    start,
};

fn start(setup: &Setup) -> Result<Running, String> {
    let guard = ftlog::builder()
        .max_log_level(LevelFilter::Info)
        .bounded(QUEUE, true)
        .utc()
        .root(FileAppender::builder().path(setup.file()).build())
        .try_init()
        .map_err(|error| error.to_string())?;
    threads::pin_others(setup.core);
    Ok(Running {
        cases: facade::cases(Fields::InMessage),
        fill: facade::fill,
        prepare: || {},
        finish: Box::new(move || {
            drop(guard);
            Ok(())
        }),
    })
}
