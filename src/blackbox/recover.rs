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

use core::mem::offset_of;
use core::sync::atomic::Ordering;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::file::{Claimed, Content, claim};
use super::grown::{Got, got};
use super::records::{BATCH_BYTES, Frames, Lane, Merged, Renderer, as_messages};
use super::report::Report;
use super::tables::Tables;
use super::view::{LaneView, Life, Staged, View, bytes_of, format_of};
use crate::clock;
use crate::error::BlackBoxError;
use crate::format::Format;
use crate::journal::{MAX_SINKS, SinkEntry};
use crate::lane::{LaneHead, WriterCounters};
use crate::level::{Level, LevelFilter};
use crate::region::{CLEAN, STAGING_BYTES};
use crate::sink::{FileSink, Retry, Sink, Target, is_permanent};

/// The records that are in no sealed batch.
fn unwritten<'v>(view: &'v View, tables: &Tables<'_>) -> Merged<'v> {
    let sealed = view.head().journal.sealed.load(Ordering::Relaxed);
    let frames = |lane: LaneView| {
        let table = tables.channels.get(lane.channel)?;
        let frames = Frames::new(table, &lane, lane.done(sealed), lane.write);
        Some((lane, frames))
    };
    Merged::new(view, view.lanes(tables).into_iter().filter_map(frames).collect())
}

/// What is to be said once all records are read.
fn close(report: &mut Report, merged: &Merged<'_>, since: u64) {
    let view = merged.view;
    let totals = &view.head().totals;
    report.dropped = totals.drops.total();
    for Lane { view: lane, frames, .. } in &merged.lanes {
        let dropped = lane.head.drops_in_all().saturating_add(lane.counts.evicted.max(frames.evicted));
        report.dropped = report.dropped.saturating_add(dropped);
        report.unreadable = report.unreadable.saturating_add(frames.damaged);
        report.torn += u64::from(frames.is_torn(view, lane.counts.published, since));
    }
    report.remarks.extend(view.damage());
}

/// Writes what the log of a dead process has not got to `out`, in the order of time, and a closing line. Changes nothing.
///
/// Where the sinks have got different parts of the last batch, it is the one with most left that counts. The lines are
/// in the sinks' format if all of them have the same, and else text.
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
    let mut formats = used.map(format_of);
    let first = formats.next().unwrap_or_default();
    let common = if formats.all(|other| other == first) { first } else { Format::Text };
    let format = format.unwrap_or(common);
    let sealed = head.journal.sealed.load(Ordering::Relaxed);
    let left = (0..MAX_SINKS).filter_map(|at| {
        let staged = view.staged(at, &head.journal.sinks[at], sealed)?;
        let got = match staged.place.as_ref().map(|place| got(place, &staged, false)) {
            Some(Ok(Got { bytes, exact: true, .. })) => bytes,
            _ => staged.taken,
        };
        // From the line on of which a part is missing.
        let start = staged.bytes[..got].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let from = format_of(&head.journal.sinks[at]);
        (got < staged.bytes.len()).then(|| (from, staged.bytes[start..].to_vec()))
    });
    if let Some((from, rest)) = left.max_by_key(|(_, rest)| rest.len()) {
        report.add_lines(from, &rest);
        out.write_all(&as_messages(from, format, &rest)).map_err(failed)?;
    }
    let mut renderer = Renderer::new(view, &tables);
    let mut merged = unwritten(view, &tables);
    while let Some((lane, found)) = merged.next() {
        match renderer.line(&merged.lanes[lane].view, &found, format) {
            Some(line) => {
                report.add(line.ns, &String::from_utf8_lossy(line.thread.name()));
                out.write_all(line.text).map_err(failed)?;
            }
            None => report.unreadable += 1,
        }
    }
    close(&mut report, &merged, renderer.clock.tick);
    let message = report.message(view);
    out.write_all(renderer.notice(format, Level::Warn, clock::wall_ns(), &message)).map_err(failed)?;
    out.flush().map_err(failed)?;
    Ok(report)
}

/// Completes the log files of a dead process, as its next start would: exactly once.
pub fn complete(path: &Path) -> Result<Report, BlackBoxError> {
    // Not made if it is not there.
    std::fs::symlink_metadata(path).map_err(|source| BlackBoxError::Io {
        path: path.to_owned(),
        doing: "open",
        source,
    })?;
    let claimed = claim(path, true)?;
    if let Content::Nothing = claimed.content()? {
        return Ok(Report::default());
    }
    let view = claimed.view()?;
    let mut sinks = Vec::new();
    for entry in view.head().journal.sinks.iter().filter(|entry| entry.used.load(Ordering::Relaxed) == 1) {
        let noted = entry.places.iter().map(|place| bytes_of(&place.path)).find(|path| !path.is_empty());
        if let Some(path) = noted {
            let mut sink = FileSink::append(Path::new(std::ffi::OsStr::from_bytes(&path)));
            let name = String::from_utf8_lossy(&bytes_of(&entry.name)).into_owned();
            let failed =
                |source| BlackBoxError::Recovery { path: claimed.path.clone(), sink: name.clone(), source };
            sink.open().map_err(failed)?;
            let level = LevelFilter::from_u8(entry.level.load(Ordering::Relaxed) as u8);
            sinks.push((sink, level, format_of(entry), name));
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
        .map(|(sink, level, format, name)| Target { sink, level: *level, format: *format, name })
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
        let mut recovery =
            Recovery { claimed: self, retry, gone: vec![false; targets.len()], report: Report::default() };
        let sealed = journal.sealed.load(Ordering::Acquire);
        if sealed > u64::MAX / 2 {
            let what = format!("no process writes {sealed} batches");
            return Err(BlackBoxError::Damaged { path: self.path.clone(), what });
        }
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
        for (at, entry) in journal.sinks.iter().enumerate() {
            entry.succeed(targets.get(at).map(|target| {
                let (format, pattern) = (target.format.code(), target.format.pattern_text().as_bytes());
                (target.level as u32, format, pattern, target.name.as_bytes())
            }));
        }
        targets.iter().zip(&journal.sinks).for_each(|(target, entry)| note_place(entry, &*target.sink, 0));
        let tables = view.tables();
        let mut renderer = Renderer::new(&view, &tables);
        let mut merged = unwritten(&view, &tables);
        loop {
            let batch = journal.next();
            let mut texts = vec![Vec::new(); targets.len()];
            let before = recovery.report.records;
            let mut moved = BTreeSet::new();
            while let Some((lane, found)) = merged.next() {
                moved.insert(lane);
                merged.lanes[lane].done = found.end;
                let mut is_known = false;
                for (target, text) in targets.iter().zip(&mut texts) {
                    let lane = &merged.lanes[lane].view;
                    let Some(line) = renderer.line(lane, &found, target.format) else { break };
                    if !std::mem::replace(&mut is_known, true) {
                        recovery.report.add(line.ns, &String::from_utf8_lossy(line.thread.name()));
                    }
                    if target.level.allows(line.level) {
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
                let message = recovery.report.message(&view);
                let wanting =
                    targets.iter().zip(&mut texts).filter(|(target, _)| target.level.allows(Level::Warn));
                let ns = clock::wall_ns();
                wanting.for_each(|(target, text)| {
                    text.extend(renderer.notice(target.format, Level::Warn, ns, &message));
                });
            }
            let records = recovery.report.records - before;
            for (at, (text, entry)) in texts.iter().zip(&journal.sinks).enumerate() {
                debug_assert!(text.len() <= STAGING_BYTES);
                // The number first, which takes what stood there out of the count.
                entry.stage(batch, text.len(), records);
                self.put(view.staging(at), text)?;
            }
            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                let writer = lane.view.start + offset_of!(LaneHead, writer) as u64;
                self.put(writer + offset_of!(WriterCounters, batch) as u64, &batch.to_le_bytes())?;
                self.put(writer + offset_of!(WriterCounters, batch_read) as u64, &lane.done.to_le_bytes())?;
            }
            journal.seal(batch);
            for lane in moved.iter().map(|&lane| &merged.lanes[lane]) {
                if let Some(table) = tables.channels.get(lane.view.channel) {
                    let ring = lane.view.start + table.shape.ring as u64;
                    self.put(ring + table.shape.layout.read as u64, &lane.done.to_le_bytes())?;
                }
            }
            for (at, text) in texts.iter().enumerate() {
                recovery.give(at, &mut targets[at], &journal.sinks[at], text, 0)?;
            }
            if last {
                break;
            }
        }
        header.end.store(CLEAN, Ordering::Release);
        Ok(recovery.report)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), BlackBoxError> {
        let failed = |source| BlackBoxError::Io { path: self.path.clone(), doing: "write to", source };
        self.file.write_all_at(bytes, at).map_err(failed)
    }
}

fn note_place(entry: &SinkEntry, sink: &dyn Sink, taken: usize) {
    match sink.place() {
        Some(place) => {
            let path = place.path.as_os_str().as_bytes();
            entry.note_place(taken, place.device, place.inode, place.offset, path);
        }
        None => entry.note_no_place(),
    }
}

/// Which target each old sink is: the same name, the first of that name for the first, and so on.
fn heirs(entries: &[SinkEntry], targets: &[Target<'_>]) -> Vec<Option<usize>> {
    let mut taken = vec![false; targets.len()];
    let heir = |entry: &SinkEntry| {
        let name = bytes_of(&entry.name);
        let is_it = |at: &usize| !taken[*at] && targets[*at].name.as_bytes() == name;
        let at = (entry.used.load(Ordering::Relaxed) == 1).then(|| (0..targets.len()).find(is_it))??;
        taken[at] = true;
        Some(at)
    };
    entries.iter().map(heir).collect()
}

struct Recovery<'a> {
    claimed: &'a Claimed,
    retry: &'a Retry,
    /// Targets that do not work any more.
    gone: Vec<bool>,
    report: Report,
}

impl Recovery<'_> {
    /// Gives a sink the rest of the batch that it has got in part.
    fn settle(
        &mut self,
        entry: &SinkEntry,
        staged: &Staged,
        targets: &mut [Target<'_>],
        number: usize,
        heirs: &[Option<usize>],
    ) -> Result<(), BlackBoxError> {
        let name = String::from_utf8_lossy(&bytes_of(&entry.name)).into_owned();
        let failed = |sink: &str, source| BlackBoxError::Recovery {
            path: self.claimed.path.clone(),
            sink: sink.to_owned(),
            source,
        };
        if let Some(place) = &staged.place
            && let Ok(Got { mut file, bytes, exact, torn }) = got(place, staged, true)
        {
            let rest = &staged.bytes[bytes..];
            // The line of which a part is there is one of the records, too.
            let start = staged.bytes[..bytes].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let lines = if rest.is_empty() { rest } else { &staged.bytes[start..] };
            if self.report.records == 0 {
                self.report.add_lines(format_of(entry), lines);
            }
            if !exact {
                self.report.remarks.push(format!(
                    "`{name}` was emptied, or changed by others, so that lines may be doubled there"
                ));
                if torn {
                    self.patiently(b"\n", |bytes| file.write(bytes))
                        .map_err(|source| failed(&name, source))?;
                }
            }
            self.patiently(rest, |bytes| file.write(bytes)).map_err(|source| failed(&name, source))?;
            entry.note_taken(staged.bytes.len());
            return Ok(());
        }
        let rest = &staged.bytes[staged.taken..];
        if self.report.records == 0 {
            self.report.add_lines(format_of(entry), rest);
        }
        if staged.begun {
            self.report
                .remarks
                .push(format!("what `{name}` had got cannot be known, so that lines may be doubled there"));
        }
        if let Some(at) = heirs[number] {
            return self.give(at, &mut targets[at], entry, &staged.bytes, staged.taken);
        }
        // Those that were there before have got these records themselves.
        let some_are_old = heirs.iter().any(Option::is_some);
        let is_new = |at: usize| !heirs.contains(&Some(at));
        let takers: Vec<usize> = (0..targets.len()).filter(|&at| !some_are_old || is_new(at)).collect();
        self.report.remarks.push(match takers.is_empty() {
            true => format!("what was left for `{name}`, which is no sink any more, is in the others only"),
            false => {
                format!("what was left for `{name}`, which is no sink any more, has gone to the new ones")
            }
        });
        for at in takers {
            let rest = as_messages(format_of(entry), targets[at].format, rest);
            self.write(at, &mut targets[at], &rest, |_, _| {}, |_| {})?;
        }
        entry.note_taken(staged.bytes.len());
        Ok(())
    }

    /// Gives a target a batch from `from` on, noting each step.
    fn give(
        &mut self,
        at: usize,
        target: &mut Target<'_>,
        entry: &SinkEntry,
        text: &[u8],
        from: usize,
    ) -> Result<(), BlackBoxError> {
        self.write(
            at,
            target,
            &text[from..],
            |sink, taken| note_place(entry, sink, from + taken),
            |taken| entry.note_taken(from + taken),
        )?;
        entry.give_up();
        Ok(())
    }

    fn write(
        &mut self,
        at: usize,
        target: &mut Target<'_>,
        text: &[u8],
        goes_on: impl Fn(&dyn Sink, usize),
        has_taken: impl Fn(usize),
    ) -> Result<(), BlackBoxError> {
        if self.gone[at] {
            return Ok(());
        }
        let mut done = 0;
        let given = self.patiently(text, |bytes| {
            let sink = &mut target.sink;
            // As the writer does: a sink that panics is not used again, and one that cannot go on in a new file goes on
            // in the old one.
            let taken = catch_unwind(AssertUnwindSafe(|| {
                let _ = sink.prepare(bytes);
                goes_on(&**sink, done);
                sink.write_batch(bytes)
            }))
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::BrokenPipe, "the sink panicked")))?;
            done += taken.min(bytes.len());
            has_taken(done);
            Ok(taken)
        });
        let Err(error) = given else { return Ok(()) };
        self.gone[at] = is_permanent(&error);
        if !self.gone[at] || self.gone.iter().all(|&gone| gone) {
            let (path, sink) = (self.claimed.path.clone(), target.name.to_owned());
            return Err(BlackBoxError::Recovery { path, sink, source: error });
        }
        self.report.remarks.push(format!("`{}` does not take them: {error}", target.name));
        Ok(())
    }

    /// Gives all the bytes, part by part, and again after an error that may pass: for as long as a sink may fail beside
    /// others.
    fn patiently(
        &self,
        mut bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        // Since when it has failed, and how long to wait next.
        let mut failing: Option<(Instant, Duration)> = None;
        while !bytes.is_empty() {
            let error = match write(bytes) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(taken) => {
                    bytes = &bytes[taken.min(bytes.len())..];
                    failing = None;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let (since, pause) = failing.get_or_insert((Instant::now(), self.retry.first_pause));
            if is_permanent(&error) || since.elapsed() >= self.retry.limit {
                return Err(error);
            }
            std::thread::sleep(*pause);
            *pause = (*pause * 2).min(self.retry.longest_pause);
        }
        Ok(())
    }
}
