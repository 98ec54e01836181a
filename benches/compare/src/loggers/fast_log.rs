//! fast_log: the message formatted by the caller, the line by a second thread, written by a third.

#![forbid(unsafe_code)]

use super::facade::{self, Fields};
use super::{Contender, QUEUE, Role, Running, Setup};
use crate::threads;

pub const CONTENDER: Contender = Contender {
    name: "fast_log",
    crates: &["fast_log"],
    setting: "a channel of 100,000, blocking",
    role: Role::Formatting,
    lossless: Ok(()),
    start,
};

fn start(setup: &Setup) -> Result<Running, String> {
    let file = setup.file();
    let file = file.to_str().ok_or("a folder with a strange name")?;
    let config = fast_log::Config::new().level(log::LevelFilter::Info).file(file).chan_len(Some(QUEUE));
    fast_log::init(config).map_err(|error| error.to_string())?;
    threads::pin_others(setup.core);
    Ok(Running {
        cases: facade::cases(Fields::InMessage),
        fill: facade::fill,
        prepare: || {},
        finish: Box::new(|| {
            log::logger().flush();
            Ok(())
        }),
    })
}
