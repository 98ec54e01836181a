//! Reads the written log back and holds it against the input and the logger's own counts.
//!
//! Each line is checked by itself (its form, its thread, its text) and against those before it (not twice,
//! in its thread's order, in the order of time); the sums are checked at the end. Memory is a bit per record
//! and a number per thread.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, BufRead};

use kakashi::AsyncStats;

use crate::Failure;
use crate::args::{Options, Policy};
use crate::escaped::{self, Shown};
use crate::input::Input;
use crate::line::{self, Form, Line, Record, TIME};
use crate::replay;
use crate::verdict::{Excerpt, Mismatches, TOLD, Verdict};

/// What the logger says of itself.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub calls: u64,
    pub written: u64,
    /// Records dropped, by cause; causes without any are left out.
    pub dropped: Vec<(String, u64)>,
    pub truncated: u64,
    pub late: u64,
    pub notices: u64,
    pub bytes: u64,
}

impl From<&AsyncStats> for Counts {
    fn from(stats: &AsyncStats) -> Self {
        let causes = stats.dropped.to_string();
        Counts {
            calls: stats.calls,
            written: stats.messages_written,
            dropped: line::pairs(&causes).map(|(cause, count)| (cause.to_owned(), count)).collect(),
            truncated: stats.truncated,
            late: stats.late,
            notices: stats.notices,
            bytes: stats.bytes_written,
        }
    }
}

pub struct Verifier<'a> {
    input: &'a Input,
    policy: Policy,
    threads: u64,
    passes: u64,
    form: Form<'a>,
    /// A bit per record: it was seen.
    seen: Vec<u64>,
    /// The record that each thread wrote last, plus one.
    last: Vec<u64>,
    /// The highest time so far.
    newest: [u8; TIME],
    lines: u64,
    bytes: u64,
    kept: u64,
    unordered: u64,
    cut: u64,
    notices: u64,
    /// Drops that notices tell of.
    told: Vec<(String, u64)>,
    mismatches: Mismatches,
}

impl<'a> Verifier<'a> {
    pub fn new(input: &'a Input, options: &Options) -> Result<Self, Failure> {
        let passes = u64::from(options.repeat);
        let mut seen = Vec::new();
        let words =
            input.lines.checked_mul(passes).and_then(|total| usize::try_from(total.div_ceil(64)).ok());
        match words {
            Some(words) if seen.try_reserve_exact(words).is_ok() => seen.resize(words, 0),
            _ => {
                return Err(Failure::new(format_args!(
                    "there is no memory to verify {} lines {passes} times: ask for less by --repeat",
                    input.lines
                )));
            }
        }
        Ok(Verifier {
            input,
            policy: options.policy,
            threads: u64::from(options.threads),
            passes,
            form: Form { target: replay::channel_name(options), location: replay::LOCATION },
            seen,
            last: vec![0; options.threads as usize],
            newest: [b'0'; TIME],
            lines: 0,
            bytes: 0,
            kept: 0,
            unordered: 0,
            cut: 0,
            notices: 0,
            told: Vec::new(),
            mismatches: Mismatches::default(),
        })
    }

    /// Records that were logged.
    fn total(&self) -> u64 {
        self.input.lines * self.passes
    }

    pub fn read(&mut self, mut file: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            self.lines += 1;
            self.bytes += line.len() as u64;
            match line.strip_suffix(b"\n") {
                None => self.mismatch("it is the last one, and has no end"),
                Some(line) => match self.form.parse(line) {
                    Ok(Line::Record(record)) => self.record(&record),
                    Ok(Line::Notice(message)) => self.notice(message),
                    Err(expected) => {
                        self.mismatch(format_args!("{expected} was expected in {}", Excerpt(line)))
                    }
                },
            }
            line.clear();
        }
        Ok(())
    }

    /// Notes what is wrong with the current line.
    #[cold]
    fn mismatch(&mut self, what: impl Display) {
        self.mismatches.add(format_args!("output line {}: {what}", self.lines));
    }

    fn record(&mut self, record: &Record<'_>) {
        let &Record { time, thread, text, file, line, pass } = record;
        let Some((at, expected)) = self.input.find(file, line).filter(|_| pass < self.passes) else {
            return self.mismatch(format_args!("there is no line {line} of file {file} in pass {pass}"));
        };
        if at % self.threads != thread {
            let right = at % self.threads;
            self.mismatch(format_args!(
                "replay-{thread} wrote line {line} of file {file}, which is replay-{right}'s"
            ));
        }
        let number = pass * self.input.lines + at;
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen[word] & bit != 0 {
            return self.mismatch(format_args!("line {line} of file {file} is there twice in pass {pass}"));
        }
        self.seen[word] |= bit;
        self.kept += 1;
        if let Some(last) = self.last.get_mut(thread as usize) {
            let before = std::mem::replace(last, number + 1);
            if before > number {
                let (file_before, line_before) = self.input.place((before - 1) % self.input.lines);
                self.mismatch(format_args!(
                    "line {line} of file {file} comes after line {line_before} of file {file_before} of the same thread"
                ));
            }
        }
        if *time < self.newest {
            self.unordered += 1;
        } else {
            self.newest = *time;
        }
        match escaped::compare(expected, text) {
            Shown::Whole => {}
            Shown::Cut => self.cut += 1,
            Shown::Different => self.mismatch(format_args!(
                "line {line} of file {file} is {}, and the text is {}",
                Excerpt(expected.as_bytes()),
                Excerpt(text)
            )),
        }
    }

    fn notice(&mut self, message: &[u8]) {
        self.notices += 1;
        let Some((count, causes)) = line::drops(message) else { return };
        let mut sum = 0;
        for (cause, dropped) in causes {
            sum += dropped;
            match self.told.iter_mut().find(|(known, _)| known == cause) {
                Some((_, told)) => *told += dropped,
                None => self.told.push((cause.to_owned(), dropped)),
            }
        }
        if sum != count {
            self.mismatch(format_args!("it tells of {count} drops, and of {sum} by cause"));
        }
    }

    /// Holds the sums against the logger's counts.
    pub fn finish(mut self, counts: &Counts) -> Verdict {
        let total = self.total();
        let dropped = counts.dropped.iter().map(|(_, count)| count).sum::<u64>();
        let lost = &mut self.mismatches;
        let mut equal = |is: u64, what: &str, should: u64, expected: &str| {
            if is != should {
                lost.add(format_args!("{is} {what}, and {should} {expected}"));
            }
        };
        equal(self.kept + dropped, "records are written or counted as dropped", total, "were logged");
        equal(counts.calls, "calls are counted", total, "were made");
        equal(counts.written, "records are counted as written", self.kept, "are in the file");
        equal(counts.notices, "lines of the logger's own are counted", self.notices, "are in the file");
        equal(counts.bytes, "bytes are counted as written", self.bytes, "are in the file");
        if self.unordered > counts.late {
            let (unordered, late) = (self.unordered, counts.late);
            lost.add(format_args!(
                "{unordered} lines are older than one before them, and {late} are counted as late"
            ));
        }
        // A record that was cut and then dropped is counted, and not in the file.
        if self.cut > counts.truncated || (dropped == 0 && self.cut != counts.truncated) {
            lost.add(format_args!(
                "{} texts are cut, and {} are counted as truncated",
                self.cut, counts.truncated
            ));
        }
        for (cause, count) in &counts.dropped {
            if !may_drop(self.policy, cause, self.threads) {
                lost.add(format_args!("{count} records were dropped as {cause}, which this policy must not"));
            }
            let told = self.told.iter().find(|(name, _)| name == cause).map_or(0, |(_, told)| *told);
            if told != *count {
                lost.add(format_args!(
                    "{count} records were dropped as {cause}, and the log tells of {told}"
                ));
            }
        }
        for (cause, told) in &self.told {
            if !counts.dropped.iter().any(|(name, _)| name == cause) {
                lost.add(format_args!(
                    "the log tells of {told} records dropped as {cause}, and none is counted"
                ));
            }
        }
        if dropped == 0 && self.kept < total {
            self.tell_missing(total);
        }
        Verdict {
            total,
            kept: self.kept,
            bytes: self.bytes,
            dropped: counts.dropped.clone(),
            unordered: self.unordered,
            cut: self.cut,
            notices: self.notices,
            mismatches: self.mismatches,
        }
    }

    /// Says which records are missing, when none may be.
    #[cold]
    fn tell_missing(&mut self, total: u64) {
        let missing =
            (0..total).filter(|number| self.seen[(number / 64) as usize] & (1 << (number % 64)) == 0);
        for number in missing.take(TOLD) {
            let (file, line) = self.input.place(number % self.input.lines);
            let pass = number / self.input.lines;
            self.mismatches.add(format_args!("line {line} of file {file} is missing in pass {pass}"));
        }
    }
}

/// Whether a policy allows records to be dropped by that cause.
fn may_drop(policy: Policy, cause: &str, threads: u64) -> bool {
    match (policy, cause) {
        (Policy::Block, _) => false,
        (Policy::BlockFor, "wait_expired")
        | (Policy::DropNewest, "newest")
        | (Policy::DropOldest, "oldest") => true,
        // Threads that share a ring wait for their turn at it, and not for ever.
        (_, "no_lane") => threads > replay::LANES as u64,
        _ => false,
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
