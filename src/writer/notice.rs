//! The logger's own lines: they say what the log would otherwise be silent about.
#![forbid(unsafe_code)]

use super::deliver::Outlets;
use super::{Writer, lanes::Dropped};
use crate::format::{self, Words};
use crate::lane::{CAUSES, Cause};
use crate::level::Level;
use crate::region;
use crate::sync::add_owned;

impl Writer {
    /// Tells what was dropped in a lane before the record of `before`, or at all.
    #[inline]
    pub(super) fn tell_lane(&mut self, sinks: &mut Outlets, lane: usize, before: Option<u64>) -> bool {
        match self.lanes.take_drops(lane, before) {
            None => false,
            Some(dropped) => {
                self.tell_dropped(sinks, &dropped);
                true
            }
        }
    }

    #[cold]
    fn tell_dropped(&mut self, sinks: &mut Outlets, dropped: &Dropped) {
        let (from, to) = (self.anchor.unix_ns(dropped.from), self.anchor.unix_ns(dropped.to));
        self.notice(sinks, Level::Warn, &|words| {
            words.push_str("dropped ");
            words.push_u64(dropped.count());
            words.push_str(if dropped.count() == 1 { " record" } else { " records" });
            if dropped.shared {
                words.push_str(" of threads without a lane");
            } else {
                words.push_str(" of thread ");
                words.push_bytes(dropped.thread.name());
                words.push_str(" (");
                words.push_u64(dropped.thread.tid as u64);
                words.push_str(")");
            }
            words.push_str(" in channel ");
            words.push_str(dropped.channel);
            push_causes(words, &dropped.causes);
            words.push_str(" from ");
            words.push_time(from);
            words.push_str(" to ");
            words.push_time(to);
        });
    }

    /// Tells what was dropped without a lane.
    pub(super) fn tell_totals(&mut self, sinks: &mut Outlets) -> bool {
        // Drops at exit and for want of a sink are told elsewhere, where they can be read.
        let mut new = [0; CAUSES];
        for (new, cause) in new.iter_mut().zip(Cause::ALL) {
            if !matches!(cause, Cause::ExitTimeout | Cause::Sink) {
                let drops: u64 = region::all_totals().map(|totals| totals.drops.get(cause)).sum();
                let told = &region::totals().told;
                *new = drops.saturating_sub(told.get(cause));
                told.add(cause, *new);
            }
        }
        let count = new.iter().sum();
        if count == 0 {
            return false;
        }
        self.notice(sinks, Level::Warn, &|words| {
            words.push_str("dropped ");
            words.push_u64(count);
            words.push_str(if count == 1 { " record" } else { " records" });
            words.push_str(" of threads without a lane");
            push_causes(words, &new);
        });
        true
    }

    /// Tells of a record that names no callsite of this program.
    #[cold]
    pub(super) fn tell_damaged(&mut self, sinks: &mut Outlets, lane: usize) {
        let thread = self.lanes.thread(lane);
        self.notice(sinks, Level::Error, &|words| {
            words.push_str("a damaged record of thread ");
            words.push_bytes(thread.name());
            words.push_str(": it names no log statement of this program");
        });
    }

    pub(super) fn notice(&mut self, sinks: &mut Outlets, level: Level, message: &dyn Fn(&mut Words<'_, '_>)) {
        let head = self.notice_head(level);
        sinks.render(
            level,
            || head.target,
            |line, format, out| {
                format::notice(line, out, format, &head, message);
            },
        );
        add_owned(&region::totals().notices, 1);
    }
}

fn push_causes(words: &mut Words<'_, '_>, causes: &[u64; CAUSES]) {
    words.push_str(":");
    for (cause, &count) in Cause::ALL.iter().zip(causes) {
        if count != 0 {
            words.push_str(" ");
            words.push_str(cause.as_str());
            words.push_str("=");
            words.push_u64(count);
        }
    }
}
