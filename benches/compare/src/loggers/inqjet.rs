//! inqjet: one ring for all threads, formatted by its archiver thread.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use inqjet::{BackpressureMode, ColorMode, InqJetBuilder, LevelFilter, debug, info};

use super::{Contender, Role, Running, Setup, buffered_file};
use crate::method::values::{Fill, TEXT, double, price};

pub const PARKING: Contender = Contender {
    name: "inqjet",
    crates: &["inqjet"],
    setting: "Backoff, 1 MiB, pinned archiver that parks 5 ms",
    role: Role::Deferring,
    lossless: Ok(()),
    start: |setup| start(setup, Some(Duration::from_millis(5))),
};

pub const SPINNING: Contender = Contender {
    name: "inqjet spinning",
    setting: "Backoff, 1 MiB, pinned archiver that spins (its \"ultra-low latency mode\")",
    start: |setup| start(setup, None),
    ..PARKING
};

fn start(setup: &Setup, park: Option<Duration>) -> Result<Running, String> {
    let core = setup.core;
    let guard = InqJetBuilder::default()
        .with_writer(buffered_file(setup)?)
        .with_log_level(LevelFilter::Info)
        .with_buffer_size(1 << 20)
        .with_timeout(park)
        .with_color_mode(ColorMode::Never)
        .with_backpressure(BackpressureMode::Backoff)
        .on_thread_start(move || {
            core_affinity::set_for_current(core);
        })
        .build()
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
            case!(Debug, |i| info!("fill {:?}", Fill { qty: i, side: "buy" })),
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
