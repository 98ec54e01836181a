//! The logger's own lines: they say what the log would otherwise be silent about.
#![forbid(unsafe_code)]

use super::deliver::Outlets;
use super::{Writer, lanes::Dropped};
use crate::format::{self, Out};
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
        self.notice(sinks, Level::Warn, |out| {
            out.push_str("dropped ");
            out.push_u64(dropped.count());
            out.push_str(if dropped.count() == 1 { " record" } else { " records" });
            if dropped.shared {
                out.push_str(" of threads without a lane");
            } else {
                out.push_str(" of thread ");
                format::push_escaped(out, dropped.thread.name());
                out.push_str(" (");
                out.push_u64(dropped.thread.tid as u64);
                out.push_str(")");
            }
            out.push_str(" in channel ");
            out.push_str(dropped.channel);
            push_causes(out, &dropped.causes);
            out.push_str(" from ");
            format::push_time(out, from);
            out.push_str(" to ");
            format::push_time(out, to);
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
        self.notice(sinks, Level::Warn, |out| {
            out.push_str("dropped ");
            out.push_u64(count);
            out.push_str(if count == 1 { " record" } else { " records" });
            out.push_str(" of threads without a lane");
            push_causes(out, &new);
        });
        true
    }

    /// Tells of a record that names no callsite of this program.
    #[cold]
    pub(super) fn tell_damaged(&mut self, sinks: &mut Outlets, lane: usize) {
        let thread = self.lanes.thread(lane);
        self.notice(sinks, Level::Error, |out| {
            out.push_str("a damaged record of thread ");
            format::push_escaped(out, thread.name());
            out.push_str(": it names no log statement of this program");
        });
    }

    pub(super) fn notice(&mut self, sinks: &mut Outlets, level: Level, message: impl FnOnce(&mut Out<'_>)) {
        let head = self.notice_head(level);
        let line = &mut self.line;
        sinks.render(level, |out| format::notice(line, out, &head, message));
        add_owned(&region::totals().notices, 1);
    }
}

fn push_causes(out: &mut Out<'_>, causes: &[u64; CAUSES]) {
    out.push_str(":");
    for (cause, &count) in Cause::ALL.iter().zip(causes) {
        if count != 0 {
            out.push_str(" ");
            out.push_str(cause.as_str());
            out.push_str("=");
            out.push_u64(count);
        }
    }
}
