//! Bringing what a dead process has left into the log.
//!
//! A recovery goes on as the dead process's writer, by the same journal (`journal.rs`): it completes the batch that a sink
//! has got in part, then takes what stands in the rings, batch by batch, sealing each before it is written. So a recovery
//! that dies itself leaves a box like any other, and the next one goes on from there.
//!
//! *Exactly once* holds for a regular file to which only we append: how much of a batch it has got is what it has grown by
//! since the place was noted, and the bytes there must be those of the batch. The file is looked for under its path, and
//! by its inode in the same folder, where a rotation may have put it. In all other cases (a pipe, a terminal, a sink of the
//! program's own, a file that others have changed) what may be missing is written again, and the closing line says so.
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::file::{Claimed, Content, FileSizeLimit, claim};
use super::grown::{Got, got};
use super::records::{BATCH_BYTES, Frames, Lane, Merged, Notes, Renderer, as_messages};
use super::report::Report;
use super::settle::{Recovery, heirs, line_start, note_place};
use super::tables::Tables;
use super::view::{Life, View, bytes_of, look_of};
use crate::clock;
use crate::error::BlackBoxError;
use crate::format::{Format, Look};
use crate::journal::{LookNote, MAX_SINKS};
use crate::level::{Level, LevelFilter};
use crate::record::Record;
use crate::region::{CLEAN, STAGING_BYTES};
use crate::sink::{FileSink, Retry, Sink, SinkFilter, Target};
use crate::zone::Zone;

/// The records that are in no sealed batch: those in the rings, and those that threads held back.
fn unwritten<'v>(view: &'v View, tables: &Tables<'_>) -> Merged<'v> {
    let sealed = view.head().journal.sealed.load(Ordering::Relaxed);
    let mut lanes = Vec::new();
    for lane in view.lanes(tables) {
        let Some(table) = tables.channels.get(lane.channel) else { continue };
        let lane = Rc::new(lane);
        let frames = Frames::new(table, &lane, lane.done(sealed), lane.write);
        lanes.push(Lane::new(lane.clone(), frames, Notes::of_ring(&lane, table), false));
        if let Some(held) = lane.held(view, table) {
            let frames = Frames::held(&held, held.done(sealed));
            lanes.push(Lane::new(lane, frames, Notes::of_held(&held), true));
        }
    }
    Merged::new(view, lanes)
}

/// What is to be said once all records are read.
fn close(report: &mut Report, merged: &Merged<'_>, since: u64) {
    let view = merged.view;
    let totals = &view.head().totals;
    report.dropped = totals.drops.total();
    for Lane { view: lane, frames, held, .. } in &merged.lanes {
        report.unreadable = report.unreadable.saturating_add(frames.damaged);
        if *held {
            continue;
        }
        let dropped = lane.head.drops_in_all().saturating_add(lane.counts.evicted.max(frames.evicted));
        report.dropped = report.dropped.saturating_add(dropped);
        let noted = lane.head.writer.batch_tick.load(Ordering::Relaxed);
        let since = if noted == 0 { since } else { noted };
        report.torn += u64::from(frames.is_torn(view, lane.counts.published, since));
    }
    report.remarks.extend(view.damage());
}

/// Writes what the log of a dead process has not got to `out`, in the order of time, and a closing line. Changes nothing.
///
/// Where the sinks have got different parts of the last batch, it is the one with most left that counts. The lines are
/// in the sinks' format and zone if all of them have the same, and else text and UTC.
pub fn print(view: &View, out: &mut dyn Write) -> Result<Report, BlackBoxError> {
    print_as(view, None, out)
}

/// The same in a format of one's choice.
pub fn print_as(view: &View, format: Option<Format>, out: &mut dyn Write) -> Result<Report, BlackBoxError> {
    let failed =
        |source| BlackBoxError::Recovery { path: view.path().to_owned(), sink: "output".to_owned(), source };
    if matches!(view.life(), Life::Alive | Life::Replaced) {
        return Err(BlackBoxError::InUse { path: view.path().to_owned(), pid: view.pid() });
    }
    let (head, tables, mut report) = (view.head(), view.tables(), Report::default());
    if view.is_clean() {
        return Ok(report);
    }
    let used = head.journal.sinks.iter().filter(|entry| entry.used.load(Ordering::Relaxed) == 1);
    let looks: Vec<Look> = used.map(look_of).collect();
    let mut look = looks.first().copied().unwrap_or_default();
    if looks.iter().any(|other| other.zone != look.zone) {
        look.zone = Zone::UTC;
    }
    if looks.iter().any(|other| other.format != look.format) {
        look.format = Format::Text;
    }
    look.format = format.unwrap_or(look.format);
    let sealed = head.journal.sealed.load(Ordering::Relaxed);
    let left = (0..MAX_SINKS).filter_map(|at| {
        let staged = view.staged(at, &head.journal.sinks[at], sealed)?;
        let got = match staged.place.as_ref().map(|place| got(place, &staged, false)) {
            Some(Ok(Got { bytes, exact: true, .. })) => bytes,
            _ => staged.taken,
        };
        // From the line on of which a part is missing.
        let start = line_start(&staged.bytes, got);
        let from = look_of(&head.journal.sinks[at]).format;
        (got < staged.bytes.len()).then(|| (from, staged.bytes[start..].to_vec()))
    });
    if let Some((from, rest)) = left.max_by_key(|(_, rest)| rest.len()) {
        report.add_lines(from, &rest);
        out.write_all(&as_messages(from, look, &rest)).map_err(failed)?;
    }
    let mut renderer = Renderer::new(view, &tables);
    let mut merged = unwritten(view, &tables);
    while let Some((lane, found)) = merged.next() {
        match renderer.line(&merged.lanes[lane].view, &found, look) {
            Some(line) => {
                report.add(line.ns, &line.thread, merged.lanes[lane].held);
                out.write_all(line.text).map_err(failed)?;
            }
            None => report.unreadable += 1,
        }
    }
    close(&mut report, &merged, renderer.clock.tick);
    let message = report.message_in(look.zone, view);
    out.write_all(renderer.notice(look, Level::Warn, clock::wall_ns(), &message)).map_err(failed)?;
    out.flush().map_err(failed)?;
    Ok(report)
}

/// Completes the log files of a dead process, as its next start would: exactly once.
pub fn complete(path: &Path) -> Result<Report, BlackBoxError> {
    complete_in_part(path, u64::MAX)
}

/// The same by a process that dies when it has gone that many steps: an error. For tests.
pub fn complete_in_part(path: &Path, steps: u64) -> Result<Report, BlackBoxError> {
    // Not made if it is not there.
    std::fs::symlink_metadata(path).map_err(|source| BlackBoxError::Io {
        path: path.to_owned(),
        doing: "open",
        source,
    })?;
    let _limit = FileSizeLimit::is_an_error();
    let claimed = claim(path, true)?;
    claimed.steps.set(steps);
    if let Content::Nothing = claimed.content()? {
        return Ok(Report::default());
    }
    let view = claimed.view()?;
    let mut sinks = Vec::new();
    for entry in view.head().journal.sinks.iter().filter(|entry| entry.used.load(Ordering::Relaxed) == 1) {
        let noted = entry.places.iter().map(|place| bytes_of(&place.path)).find(|path| !path.is_empty());
        if let Some(path) = noted {
            // The path that was noted leads over no link, and what is made anew is nobody else's to read.
            let mut sink = FileSink::append(OsStr::from_bytes(&path)).follow_links(false).mode(0o600);
            let name = String::from_utf8_lossy(&bytes_of(&entry.name)).into_owned();
            let failed =
                |source| BlackBoxError::Recovery { path: claimed.path.clone(), sink: name.clone(), source };
            sink.open().map_err(failed)?;
            let level = LevelFilter::from_u8(entry.level.load(Ordering::Relaxed) as u8);
            let filter = SinkFilter::noted(&bytes_of(&entry.filter));
            sinks.push((sink, level, filter, look_of(entry), name));
        }
    }
    if sinks.is_empty() {
        return Err(BlackBoxError::Damaged {
            path: claimed.path,
            what: "it names no log file to complete: print what it holds instead".to_owned(),
        });
    }
    let mut targets: Vec<_> = sinks
        .iter_mut()
        .map(|(sink, level, filter, look, name)| Target {
            sink,
            level: *level,
            filter: *filter,
            look: *look,
            name,
        })
        .collect();
    claimed.recover(&mut targets, &Retry::default())
}

impl Claimed {
    fn view(&self) -> Result<View, BlackBoxError> {
        let failed = |source| BlackBoxError::Io { path: self.path.clone(), doing: "open", source };
        View::of(self.file.try_clone().map_err(failed)?, &self.path)
    }

    /// Gives the targets what is left in the box, and says so in a closing line. Afterwards the box is clean.
    pub(crate) fn recover(&self, targets: &mut [Target<'_>], retry: &Retry) -> Result<Report, BlackBoxError> {
        let view = self.view()?;
        let header = self.header()?;
        let journal = &header.journal;
        let mut recovery = Recovery::new(self, retry, targets.len());
        let sealed = journal.sealed.load(Ordering::Acquire);
        if sealed > u64::MAX / 2 {
            let what = format!("no process writes {sealed} batches");
            return Err(BlackBoxError::Damaged { path: self.path.clone(), what });
        }
        let tables = view.tables();
        recovery.report.remarks.extend(self.keep_damaged(&view, &tables));
        let heirs = heirs(&journal.sinks, targets);
        for (at, entry) in journal.sinks.iter().enumerate() {
            if let Some(staged) = view.staged(at, entry, sealed) {
                recovery.settle(entry, &staged, targets, at, &heirs)?;
            }
            let missed = entry.missed.load(Ordering::Relaxed);
            if entry.used.load(Ordering::Relaxed) == 1 && missed != 0 {
                let name = String::from_utf8_lossy(&bytes_of(&entry.name)).into_owned();
                recovery.report.remarks.push(format!("`{name}` had missed {missed} more while it failed"));
            }
        }
        recovery.settled();
        // Those with a file first: whoever goes on from here finds a log that one of them names.
        for with_file in [true, false] {
            for (target, entry) in targets.iter().zip(&journal.sinks) {
                if target.sink.place().is_some() == with_file {
                    let Look { format, zone } = target.look;
                    let pattern = format.pattern_text().as_bytes();
                    let look = LookNote { format: format.code(), pattern, zone: zone.changes() };
                    self.step()?;
                    entry.succeed(Some((
                        target.level as u32,
                        target.filter.text().as_bytes(),
                        look,
                        target.name.as_bytes(),
                    )));
                    self.step()?;
                    note_place(entry, &*target.sink, 0);
                }
            }
        }
        journal.sinks.iter().skip(targets.len()).for_each(|entry| entry.succeed(None));
        let mut renderer = Renderer::new(&view, &tables);
        let mut merged = unwritten(&view, &tables);
        // What a batch has is noted with the lanes from here on: their notes are of batches that are settled, or of one
        // that was never sealed, whose number is the next one's.
        for lane in &merged.lanes {
            self.pass(lane)?;
            self.put(lane.notes.batch, &0_u64.to_le_bytes())?;
        }
        loop {
            let batch = journal.next();
            let mut texts = vec![Vec::new(); targets.len()];
            let before = recovery.report.records;
            let mut moved = BTreeSet::new();
            while let Some((lane, found)) = merged.next() {
                moved.insert(lane);
                merged.lanes[lane].passed(&found);
                let mut is_known = false;
                for (target, text) in targets.iter().zip(&mut texts) {
                    let Lane { view, held, .. } = &merged.lanes[lane];
                    let Some(line) = renderer.line(view, &found, target.look) else { break };
                    if !std::mem::replace(&mut is_known, true) {
                        recovery.report.add(line.ns, &line.thread, *held);
                    }
                    if target.wants(line.level, line.logger) {
                        text.extend(line.text);
                    }
                }
                recovery.report.unreadable += u64::from(!is_known);
                if texts.iter().any(|text| text.len() >= BATCH_BYTES) {
                    break;
                }
            }
            // The closing line stands alone, so that it knows what became of all before it.
            let last = moved.is_empty();
            if last {
                close(&mut recovery.report, &merged, renderer.clock.tick);
                let wanting =
                    targets.iter().zip(&mut texts).filter(|(target, _)| target.wants(Level::Warn, "kakashi"));
                let ns = clock::wall_ns();
                wanting.for_each(|(target, text)| {
                    let message = recovery.report.message_in(target.look.zone, &view);
                    text.extend(renderer.notice(target.look, Level::Warn, ns, &message));
                });
            }
            let records = recovery.report.records - before;
            for (at, (text, entry)) in texts.iter().zip(&journal.sinks).enumerate() {
                debug_assert!(text.len() <= STAGING_BYTES);
                // The number first, which takes what stood there out of the count.
                self.step()?;
                entry.stage(batch, text.len(), records);
                self.put(view.staging(at), text)?;
            }
            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                self.put(lane.notes.batch, &batch.to_le_bytes())?;
                self.put(lane.notes.batch_read, &lane.done.to_le_bytes())?;
                self.count(&tables, lane)?;
            }
            self.step()?;
            journal.seal(batch);
            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                self.pass(lane)?;
            }
            for (at, text) in texts.iter().enumerate() {
                recovery.give(at, &mut targets[at], &journal.sinks[at], text, 0)?;
            }
            if last {
                break;
            }
        }
        self.step()?;
        header.end.store(CLEAN, Ordering::Release);
        Ok(recovery.report)
    }

    /// The lane's records up to where it was read are given back.
    fn pass(&self, lane: &Lane) -> Result<(), BlackBoxError> {
        self.put(lane.notes.read, &lane.done.to_le_bytes())
    }

    /// Notes how many frames were read and which is the next one, in a ring that evicts. The same figures again if it
    /// is noted twice.
    fn count(&self, tables: &Tables<'_>, lane: &Lane) -> Result<(), BlackBoxError> {
        let table = tables.channels.get(lane.view.channel).filter(|_| !lane.held);
        let Some((table, evicts)) = table.and_then(|table| Some((table, table.shape.layout.overwrite?)))
        else {
            return Ok(());
        };
        let (next, evicted) = lane.counted;
        let missed = lane.view.sequence.saturating_sub(lane.view.counts.consumed).saturating_add(evicted);
        let consumed = next.saturating_sub(missed);
        let (at, other) = (evicts.sequence, table.shape.layout.consumed);
        if other == at + 8 {
            // In one step: that they belong together is what the count of evicted frames goes by.
            let both = [next.to_le_bytes(), consumed.to_le_bytes()].concat();
            return self.put(lane.ring(table) + at as u64, &both);
        }
        self.put(lane.ring(table) + at as u64, &next.to_le_bytes())?;
        self.put(lane.ring(table) + other as u64, &consumed.to_le_bytes())
    }

    /// Copies a box of which something cannot be read, as it is, before it is used up; says what and where.
    fn keep_damaged(&self, view: &View, tables: &Tables<'_>) -> Option<String> {
        let mut merged = unwritten(view, tables);
        let mut is_damaged = view.damage().is_some();
        while let Some((_, found)) = merged.next() {
            is_damaged |= !tables.statements.contains_key(&Record::new(&found.bytes).callsite);
        }
        is_damaged |= merged.lanes.iter().any(|lane| lane.frames.damaged != 0);
        if !is_damaged {
            return None;
        }
        let mut kept = self.path.clone().into_os_string();
        kept.push(format!(".damaged-{}", view.pid()));
        let kept = PathBuf::from(kept);
        let copy = || -> io::Result<()> {
            let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&kept)?;
            let mut from = OpenOptions::new().read(true).open(&self.path)?;
            io::copy(&mut from, &mut to).map(|_| ())
        };
        Some(match copy() {
            Ok(()) => format!("the box as it was is kept as `{}`", kept.display()),
            // By an earlier recovery, which was cut short.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                format!("the box as it was is kept as `{}`", kept.display())
            }
            Err(error) => format!("the box as it was could not be kept as `{}`: {error}", kept.display()),
        })
    }

    /// Goes a step further.
    pub(super) fn step(&self) -> Result<(), BlackBoxError> {
        let left = self.steps.get().checked_sub(1).ok_or_else(|| BlackBoxError::Io {
            path: self.path.clone(),
            doing: "go on with",
            source: io::ErrorKind::Interrupted.into(),
        })?;
        self.steps.set(left);
        Ok(())
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), BlackBoxError> {
        self.step()?;
        let failed = |source| BlackBoxError::Io { path: self.path.clone(), doing: "write to", source };
        self.file.write_all_at(bytes, at).map_err(failed)
    }
}
