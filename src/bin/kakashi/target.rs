//! Which black box is meant: a path, or a process's number.
#![forbid(unsafe_code)]

use std::error::Error;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use kakashi::__box::{Life, View, find};
use kakashi::BlackBoxError;

use crate::Failure;

/// Opens the box that is meant.
pub fn open(target: &OsStr) -> Result<View, Failure> {
    match target.to_str().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) {
        Some(digits) => {
            let pid = digits.parse().map_err(|_| {
                Failure::new(format_args!("there is no process {digits}; a file of that name is ./{digits}"))
            })?;
            find(pid).map_err(|error| {
                Failure::new(format_args!(
                    "{}{}",
                    told(&error),
                    if target_exists(target) {
                        format!("; the file of that name is ./{digits}")
                    } else {
                        String::new()
                    }
                ))
            })
        }
        None => open_path(Path::new(target)),
    }
}

fn target_exists(target: &OsStr) -> bool {
    Path::new(target).exists()
}

pub fn open_path(path: &Path) -> Result<View, Failure> {
    View::open(path).map_err(|error| failure(&error))
}

/// The error, and what it may come from.
pub fn failure(error: &BlackBoxError) -> Failure {
    Failure::new(format_args!("{}", told(error)))
}

fn told(error: &BlackBoxError) -> String {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    let advice = match kind {
        Some(io::ErrorKind::NotFound) => ": a process that ends with everything written takes its box away",
        Some(io::ErrorKind::PermissionDenied) => ": run this as the user of the process",
        _ => "",
    };
    format!("{error}{advice}")
}

/// The process of a box, in words.
pub fn process(view: &View) -> String {
    format!("process {} ({})", view.pid(), view.program())
}

pub fn life(life: Life) -> &'static str {
    match life {
        Life::Alive => "alive",
        Life::Ended => "ended",
        Life::Died => "died",
        _ => "replaced",
    }
}
