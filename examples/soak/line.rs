//! A line of the log, taken apart. Independent of the logger's own code.
#![forbid(unsafe_code)]

use crate::channels::{CAUSES, Causes, NAMES};

/// How a time looks.
const TIME: &[u8; 30] = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";

pub struct Line<'l> {
    /// 1 is `ERROR`, 4 is `DEBUG`.
    pub level: u8,
    pub target: &'l str,
    pub place: &'l str,
    pub thread: &'l str,
    pub message: &'l str,
}

impl<'l> Line<'l> {
    /// `time LEVEL target file:line [thread] message`; the error says what was expected where.
    pub fn parse(line: &'l str) -> Result<Line<'l>, &'static str> {
        let (time, rest) = line.split_at_checked(TIME.len()).ok_or("a time")?;
        let fits =
            |(byte, form): (u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == *form };
        if !time.bytes().zip(TIME).all(fits) {
            return Err("a time");
        }
        let (level, rest) = rest.split_at_checked(7).ok_or("a level")?;
        let level = match level {
            " ERROR " => 1,
            " WARN  " => 2,
            " INFO  " => 3,
            " DEBUG " => 4,
            _ => return Err("a level"),
        };
        let (target, rest) = rest.split_once(' ').ok_or("a channel's name")?;
        let (place, rest) = rest.split_once(" [").ok_or("a place")?;
        let (thread, message) = rest.split_once("] ").ok_or("a thread's name")?;
        Ok(Line { level, target, place, thread, message })
    }

    pub fn is_notice(&self) -> bool {
        self.target == "kakashi" && self.place == "-" && self.thread == "kakashi-writer"
    }
}

/// What a line of the logger's own says.
pub enum Notice {
    Dropped {
        /// The sender's number, if it had a lane of its own.
        sender: Option<u64>,
        /// `None`: dropped without a lane.
        channel: Option<usize>,
        causes: Causes,
    },
    /// A forked child has dropped records.
    Child,
    /// The sink did not get that many lines.
    Missed(u64),
}

impl Notice {
    pub fn parse(message: &str) -> Option<Notice> {
        if let Some(rest) = message.strip_prefix("this sink missed ") {
            let (count, rest) = rest.split_once(' ')?;
            let ends = matches!(rest, "record while it failed" | "records while it failed");
            return Some(Notice::Missed(count.parse().ok().filter(|_| ends)?));
        }
        let (count, rest) = message.strip_prefix("dropped ")?.split_once(' ')?;
        let count: u64 = count.parse().ok()?;
        let rest = rest.strip_prefix(if count == 1 { "record of " } else { "records of " })?;
        let (whose, what) = rest.split_once(": ")?;
        let (threads, channel) = match whose.split_once(" in channel ") {
            Some((threads, channel)) => (threads, Some(NAMES.iter().position(|name| *name == channel)?)),
            None => (whose, None),
        };
        let sender = match threads.strip_prefix("thread ") {
            // Nothing but a child is called so.
            Some(thread) if thread.starts_with("main ") => return Some(Notice::Child),
            Some(thread) => Some(thread.strip_prefix('w')?.split(' ').next()?.parse().ok()?),
            None if threads == "threads without a lane" => None,
            None => return None,
        };
        let mut causes = Causes::default();
        for word in what.split(' ').take_while(|word| word.contains('=')) {
            let (cause, count) = word.split_once('=')?;
            causes[CAUSES.iter().position(|name| *name == cause)?] += count.parse::<u64>().ok()?;
        }
        (causes.iter().sum::<u64>() == count).then_some(Notice::Dropped { sender, channel, causes })
    }
}
