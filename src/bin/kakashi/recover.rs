//! `kakashi recover`: what a dead process has left, printed, or put where it belongs.
#![forbid(unsafe_code)]

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kakashi::__box::{self as boxes, Life, Report, View};
use kakashi::{BlackBoxError, Format};

use crate::box_args::Recover;
use crate::{Failure, say, table, target};

pub fn run(asked: &Recover) -> Result<(), Failure> {
    let path = &asked.path;
    let view = target::open_path(path)?;
    match view.life() {
        Life::Alive => {
            return Err(Failure::new(format_args!(
                "{} lives in `{}`: watch it by `kakashi tail`, and recover what it leaves if it dies",
                target::process(&view),
                path.display()
            )));
        }
        Life::Ended => {
            say(format_args!(
                "{} has come to its end, and everything was written: `{}` holds nothing more",
                target::process(&view),
                path.display()
            ));
            return Ok(());
        }
        _ => {}
    }
    let report = if asked.complete {
        boxes::complete(path).map_err(|error| match error {
            BlackBoxError::Damaged { .. } => Failure::new(format_args!("{error} (leave out --complete)")),
            error => target::failure(&error),
        })?
    } else if let Some(out) = &asked.out {
        to_file(&view, asked.format, out)?
    } else {
        let mut out = Shown::stdout();
        match boxes::print_as(&view, asked.format, &mut out) {
            Err(BlackBoxError::Recovery { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                out.give_up();
                return Ok(());
            }
            result => result.map_err(|error| target::failure(&error))?,
        }
    };
    say(report.message(&view));
    Ok(())
}

/// Standard output. A box may hold any bytes, and of those that would drive a terminal it gets none.
pub struct Shown {
    inner: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
}

impl Shown {
    pub fn stdout() -> Shown {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Shown { inner: BufWriter::with_capacity(1 << 16, stdout.lock()), is_terminal }
    }

    /// Nobody reads to the end: what the buffer holds cannot be written either.
    pub fn give_up(self) {
        drop(self.inner.into_parts());
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.inner.write(bytes);
        }
        for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
            self.inner.write_all(table::plain(text).as_bytes())?;
            self.inner.write_all(end.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Prints to a new file, which is gone again if it cannot have everything.
fn to_file(view: &View, format: Option<Format>, path: &Path) -> Result<Report, Failure> {
    let told = |why: &dyn std::fmt::Display| {
        Failure::new(format_args!("cannot write to `{}`: {why}", path.display()))
    };
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o640).open(path).map_err(
            |error| match error.kind() {
                io::ErrorKind::AlreadyExists => told(&"it exists: give --out the path of a new file"),
                _ => told(&error),
            },
        )?;
    let mut out = BufWriter::with_capacity(1 << 16, file);
    let printed = boxes::print_as(view, format, &mut out).map_err(|error| match error {
        BlackBoxError::Recovery { source, .. } => told(&source),
        error => target::failure(&error),
    });
    let done = printed.and_then(|report| out.flush().map(|()| report).map_err(|error| told(&error)));
    if done.is_err() {
        let _ = fs::remove_file(path);
    }
    done
}
