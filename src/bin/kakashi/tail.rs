//! `kakashi tail`: the records of a running process, as they come.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

use kakashi::__box::{Event, Follow, Life};
use kakashi::Level;

use crate::box_args::{Color, Tail};
use crate::{Failure, say, target};

/// What was overtaken is told so often at most, so that it does not drown what was not.
const TELL_EVERY: Duration = Duration::from_millis(200);

pub fn run(asked: &Tail) -> Result<(), Failure> {
    let view = target::open(&asked.target)?;
    let mut printer = Printer::new(asked);
    let mut overtaken = Overtaken::default();
    let mut life = Life::Alive;
    let mut failure = None;
    view.follow(if asked.held { Follow::Held } else { Follow::New }, &mut |event| {
        let done = match event {
            Event::Line { level, logger, text } => printer.line(level, logger, text),
            Event::Missed(count) => {
                overtaken.count += count;
                Ok(())
            }
            Event::Rest(now) => {
                life = now;
                let done = printer.out.flush();
                overtaken.tell(now != Life::Alive);
                done
            }
            _ => Ok(()),
        };
        failure = done.err();
        failure.is_none()
    });
    match failure {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Some(error) => return Err(Failure::new(format_args!("cannot write to standard output: {error}"))),
        None => say(match life {
            Life::Died => {
                format!("the process has died: kakashi recover {} prints what it left", view.path().display())
            }
            Life::Ended => "the process has ended, and everything was written".to_owned(),
            _ => "another process has taken the black box over".to_owned(),
        }),
    }
    Ok(())
}

#[derive(Default)]
struct Overtaken {
    count: u64,
    told: Option<Instant>,
}

impl Overtaken {
    fn tell(&mut self, last: bool) {
        if self.count != 0 && (last || self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY)) {
            say(format_args!("... {} records were overtaken", self.count));
            self.count = 0;
            self.told = Some(Instant::now());
        }
    }
}

struct Printer<'a> {
    asked: &'a Tail,
    out: BufWriter<StdoutLock<'static>>,
    color: bool,
}

impl<'a> Printer<'a> {
    fn new(asked: &'a Tail) -> Self {
        let color = match asked.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Printer { asked, out: BufWriter::with_capacity(1 << 16, io::stdout().lock()), color }
    }

    fn line(&mut self, level: Level, logger: &str, text: &[u8]) -> io::Result<()> {
        if !is_wanted(self.asked, level, logger, text) {
            return Ok(());
        }
        match (self.color, find(text, level.to_string().as_bytes())) {
            (true, Some(at)) => {
                let (before, rest) = text.split_at(at);
                let (name, rest) = rest.split_at(level.to_string().len());
                self.out.write_all(before)?;
                write!(self.out, "\x1b[{}m", paint(level))?;
                self.out.write_all(name)?;
                self.out.write_all(b"\x1b[0m")?;
                self.out.write_all(rest)
            }
            _ => self.out.write_all(text),
        }
    }
}

fn is_wanted(asked: &Tail, level: Level, logger: &str, text: &[u8]) -> bool {
    asked.level.allows(level)
        && (asked.loggers.is_empty() || asked.loggers.iter().any(|name| is_in(logger, name)))
        && (asked.texts.is_empty() || asked.texts.iter().any(|part| find(text, part.as_bytes()).is_some()))
}

/// Whether a logger, channel or module is the one of that name, or a module in it.
fn is_in(logger: &str, name: &str) -> bool {
    logger.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.windows(part.len()).position(|window| window == part)
}

fn paint(level: Level) -> &'static str {
    match level {
        Level::Error => "1;31",
        Level::Warn => "33",
        Level::Info => "32",
        Level::Debug => "36",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_of_a_logger_or_of_the_module_around_it() {
        assert!(is_in("app", "app") && is_in("app::orders", "app"));
        assert!(!is_in("apple", "app") && !is_in("app", "app::orders"));
    }

    #[test]
    fn a_text_is_found_anywhere() {
        assert_eq!(find(b"a line\n", b"line"), Some(2));
        assert_eq!(find(b"a line\n", b"lines"), None);
        assert_eq!(find(b"", b""), Some(0));
    }
}
