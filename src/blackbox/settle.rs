//! How a recovery gives lines to the sinks: the rest of the batch that one has got in part, and all that comes behind.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::file::Claimed;
use super::grown::{Got, got};
use super::records::as_messages;
use super::report::Report;
use super::view::{Staged, bytes_of, look_of};
use crate::error::BlackBoxError;
use crate::format::Format;
use crate::journal::SinkEntry;
use crate::sink::{Retry, Sink, Target, is_permanent};

pub(super) fn note_place(entry: &SinkEntry, sink: &dyn Sink, taken: usize) {
    match sink.place() {
        Some(place) => {
            let path = place.path.as_os_str().as_bytes();
            entry.note_place(taken, place.device, place.inode, place.offset, path);
        }
        None => entry.note_no_place(),
    }
}

/// Which target each old sink is: the same name, the first of that name for the first, and so on.
pub(super) fn heirs(entries: &[SinkEntry], targets: &[Target<'_>]) -> Vec<Option<usize>> {
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

pub(super) struct Recovery<'a> {
    claimed: &'a Claimed,
    retry: &'a Retry,
    /// Targets that do not work any more.
    gone: Vec<bool>,
    pub(super) report: Report,
    /// What the sink with most of it left has not got of the last batch, from a line's start on.
    left: (Format, Vec<u8>),
}

/// Where the line begins in which a batch is cut at `at`.
pub(super) fn line_start(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

impl<'a> Recovery<'a> {
    pub(super) fn new(claimed: &'a Claimed, retry: &'a Retry, targets: usize) -> Self {
        let left = (Format::Text, Vec::new());
        Recovery { claimed, retry, gone: vec![false; targets], report: Report::default(), left }
    }

    /// All sinks have what they had not got of the last batch: its records are counted once.
    pub(super) fn settled(&mut self) {
        let (format, lines) = std::mem::take(&mut self.left);
        self.report.add_lines(format, &lines);
    }

    fn note_left(&mut self, format: Format, lines: &[u8]) {
        if lines.len() > self.left.1.len() {
            self.left = (format, lines.to_vec());
        }
    }

    /// Gives a sink the rest of the batch that it has got in part.
    pub(super) fn settle(
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
            // The line of which a part is there is one of the records, too.
            let start = line_start(&staged.bytes, bytes);
            if bytes < staged.bytes.len() {
                self.note_left(look_of(entry).format, &staged.bytes[start..]);
            }
            let mut from = bytes;
            if !exact {
                from = start;
                self.report.remarks.push(format!(
                    "`{name}` was emptied, or changed by others, so that lines may be doubled there"
                ));
                if torn {
                    self.patiently(b"\n", |bytes| file.write(bytes))
                        .map_err(|source| failed(&name, source))?;
                }
                // From here on it is certain what the file gets.
                let size = file.metadata().map_err(|source| failed(&name, source))?.len();
                let path = place.path.as_os_str().as_bytes();
                self.claimed.step()?;
                entry.note_taken(from);
                self.claimed.step()?;
                entry.note_place(from, place.device, place.inode, size, path);
            }
            self.patiently(&staged.bytes[from..], |bytes| file.write(bytes))
                .map_err(|source| failed(&name, source))?;
            self.claimed.step()?;
            entry.note_taken(staged.bytes.len());
            return Ok(());
        }
        // Whoever gets it now has not got the line's beginning.
        let start = line_start(&staged.bytes, staged.taken);
        let rest = &staged.bytes[start..];
        self.note_left(look_of(entry).format, rest);
        if staged.begun {
            self.report
                .remarks
                .push(format!("what `{name}` had got cannot be known, so that lines may be doubled there"));
        }
        if let Some(at) = heirs[number] {
            return self.give(at, &mut targets[at], entry, &staged.bytes, start);
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
            let rest = as_messages(look_of(entry).format, targets[at].look, rest);
            self.write(at, &mut targets[at], &rest, |_, _| {}, |_| {})?;
        }
        entry.note_taken(staged.bytes.len());
        Ok(())
    }

    /// Gives a target a batch from `from` on, noting each step.
    pub(super) fn give(
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
        self.claimed.step()?;
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
        self.claimed.step()?;
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
