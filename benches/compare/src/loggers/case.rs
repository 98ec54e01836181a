//! A log call, made measurable: the call is compiled into the loop that is timed.

#![forbid(unsafe_code)]

use crate::message::Message;

/// How a message is measured.
#[derive(Clone, Copy)]
pub enum Run {
    /// Ticks of a burst; its calls are numbered from the argument on.
    Burst(fn(u64) -> u64),
    /// Ticks of so many calls in a row, which log nothing.
    Loop(fn(u64) -> u64),
}

/// One message of one logger.
pub struct Case {
    pub message: Message,
    /// What distinguishes it from the contender's usual setting.
    pub variant: Option<&'static str>,
    /// Or why the logger cannot log it.
    pub run: Result<Run, &'static str>,
}

impl Case {
    pub fn no(message: Message, why: &'static str) -> Self {
        Case { message, variant: None, run: Err(why) }
    }

    pub fn variant(mut self, variant: &'static str) -> Self {
        self.variant = Some(variant);
        self
    }
}

/// `case!(IntsStr, |i| ...)`: a message by a call.
macro_rules! case {
    ($message:ident, |$i:pat_param| $call:expr) => {
        $crate::loggers::Case {
            message: $crate::message::Message::$message,
            variant: None,
            run: Ok($crate::loggers::Run::Burst(|base| {
                $crate::method::burst(base, |$i| {
                    $call;
                })
            })),
        }
    };
}

/// `off!(|i| debug!(...))`: a call that is switched off.
macro_rules! off {
    (|$i:ident| $call:expr) => {
        $crate::loggers::Case {
            message: $crate::message::Message::LevelOff,
            variant: None,
            run: Ok($crate::loggers::Run::Loop(|calls| {
                let began = $crate::method::serialised();
                for i in 0..calls {
                    let $i = ::std::hint::black_box(i);
                    $call;
                }
                $crate::method::serialised() - began
            })),
        }
    };
}
