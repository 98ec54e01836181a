//! `kakashi backtrace`: what the threads of a process hold back until their next error.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;

use kakashi::__box::print_held;
use kakashi::Format;

use crate::recover::Shown;
use crate::{Failure, say, target};

pub fn run(asked: &OsStr, format: Format) -> Result<(), Failure> {
    let view = target::open(asked)?;
    let mut out = Shown::stdout();
    let shown = match print_held(&view, format, &mut out) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            out.give_up();
            return Ok(());
        }
        result => {
            result.map_err(|error| Failure::new(format_args!("cannot write to standard output: {error}")))?
        }
    };
    let process = target::process(&view);
    let state = target::life(view.life());
    let mut told = match shown.records {
        0 => format!("{process}, {state}, holds nothing back (see `Builder::backtrace`)"),
        records => format!(
            "{process}, {state}, holds back {records} record{} of {} thread{}",
            if records == 1 { "" } else { "s" },
            shown.threads,
            if shown.threads == 1 { "" } else { "s" },
        ),
    };
    if shown.unreadable != 0 {
        told += &format!("; {} not readable", shown.unreadable);
    }
    if let Some(damage) = view.damage() {
        told += &format!("; {damage}");
    }
    say(told);
    Ok(())
}
