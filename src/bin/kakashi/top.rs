//! `kakashi stat` and `kakashi top`: what is counted in a process, once or live.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::Instant;

use kakashi::__box::{Life, View};

use crate::box_args::Top;
use crate::sample::{Rates, Sample};
use crate::screen::{Screen, Woken};
use crate::{Failure, json, print, table, target};

pub fn stat(target: &OsStr, json: bool) -> Result<(), Failure> {
    let view = target::open(target)?;
    show(&view, &Sample::take(&view), None, json)
}

pub fn top(asked: &Top) -> Result<(), Failure> {
    let view = target::open(&asked.target)?;
    if !asked.once && !asked.json && io::stdout().is_terminal() {
        return live(&view, asked)
            .map_err(|error| Failure::new(format_args!("cannot draw on the terminal: {error}: try --once")));
    }
    let before = Sample::take(&view);
    // The figures of a dead process do not move.
    if before.life == Life::Alive {
        thread::sleep(asked.interval);
    }
    let after = Sample::take(&view);
    show(&view, &after, Some(&Rates::between(&before, &after)), asked.json)
}

fn show(view: &View, sample: &Sample, rates: Option<&Rates>, json: bool) -> Result<(), Failure> {
    if json {
        return print(&json::object(view, sample, rates));
    }
    let lines = table::lines(view, sample, rates);
    print(&lines.iter().flat_map(|line| [line, "\n"]).collect::<String>())
}

fn live(view: &View, asked: &Top) -> io::Result<()> {
    let mut screen = Screen::enter()?;
    let mut before = Sample::take(view);
    let mut lines = table::lines(view, &before, None);
    let mut due = Instant::now() + asked.interval;
    loop {
        screen.draw(&lines)?;
        match screen.wait(due)? {
            Woken::Quit => return Ok(()),
            Woken::Signal(signal) => {
                drop(screen);
                // As one dies of it who has not seen to it.
                return signal_hook::low_level::emulate_default_handler(signal);
            }
            Woken::Resized => {}
            Woken::Time => {
                let after = Sample::take(view);
                lines = table::lines(view, &after, Some(&Rates::between(&before, &after)));
                before = after;
                due = Instant::now() + asked.interval;
            }
        }
    }
}
