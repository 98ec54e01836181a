//! The calls of loggers that stand behind the `log` facade.

#![forbid(unsafe_code)]

use std::hint::black_box;

use log::{debug, info};

use super::Case;
use crate::method::values::{Fill, TEXT, double, price};

/// Whether a logger writes the facade's key = value fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    Written,
    /// It ignores them: the values stand in the message.
    InMessage,
}

pub fn cases(fields: Fields) -> Vec<Case> {
    vec![
        case!(StaticText, |_| info!("static text")),
        case!(OneInt, |i| info!("order {}", i)),
        case!(IntsDouble, |i| info!("order {} filled {} @ {}", i, i * 7919, double(i))),
        case!(IntsPrice, |i| info!("order {} filled {} @ {}", i, i * 7919, price(i))),
        case!(IntsStr, |i| info!("order {} filled {} {}", i, i * 7919, black_box(TEXT))),
        if fields == Fields::Written {
            case!(Fields, |i| info!(a = i, b = i * 7919, c = true, d = black_box("buy"); "filled"))
        } else {
            case!(Fields, |i| info!("filled a={} b={} c={} d={}", i, i * 7919, true, black_box("buy")))
        },
        case!(Aligned, |i| info!("at {:>10.3}", double(i))),
        case!(Debug, |i| info!("fill {:?}", Fill { qty: i, side: "buy" })),
        off!(|i| debug!("order {}", i)),
    ]
}

pub fn fill(from: u64, to: u64) {
    for i in from..to {
        info!("order {} filled {} @ {}", i, i * 7919, double(i));
    }
}
