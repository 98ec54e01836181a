//! What a recovery has found, and the line that says so.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use super::view::View;
use crate::format::{self, Format, Glance};
use crate::lane::ThreadId;
use crate::zone::Zone;

/// What a recovery has found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Records that the log had not got.
    pub records: u64,
    /// Those among them that a thread held back until its next error (`Builder::backtrace`), as far as they are told apart.
    pub held: u64,
    /// The threads that they are of: names, and the kernel's numbers where they are known.
    pub threads: BTreeMap<String, BTreeSet<u32>>,
    /// The times of the first and the last of them, in ns since 1970.
    pub from: i64,
    /// See `from`.
    pub to: i64,
    /// Calls that were under way: they had not returned, and their records are not among the others.
    pub torn: u64,
    /// Records that cannot be read, and slots that hold none.
    pub unreadable: u64,
    /// Records that were dropped, by any cause, in the life of the process.
    pub dropped: u64,
    /// What may be doubled, or is missing, and why.
    pub remarks: Vec<String>,
}

impl Report {
    /// Adds a record.
    pub(super) fn add(&mut self, ns: i64, thread: &ThreadId, held: bool) {
        self.held += u64::from(held);
        self.add_named(ns, &String::from_utf8_lossy(thread.name())).insert(thread.tid);
    }

    /// Adds a line, of whose thread only the name is known; returns the numbers that are known.
    fn add_named(&mut self, ns: i64, thread: &str) -> &mut BTreeSet<u32> {
        // 0 is none yet: a line that is cut has no time.
        self.from = if self.from == 0 { ns } else { self.from.min(ns) };
        self.to = if self.to == 0 { ns } else { self.to.max(ns) };
        self.records += 1;
        self.threads.entry(thread.to_owned()).or_default()
    }

    /// How many threads they are of, as far as they can be told apart: of lines, only by their names.
    pub fn thread_count(&self) -> usize {
        self.threads.values().map(|numbers| numbers.len().max(1)).sum()
    }

    /// Adds rendered lines: their times and threads are read from them, as far as their format tells.
    pub(super) fn add_lines(&mut self, format: Format, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match format::glance(format, &String::from_utf8_lossy(line)) {
                Glance { own: true, .. } => {}
                Glance { ns: Some(ns), thread, .. } => {
                    self.add_named(ns, thread);
                }
                Glance { ns: None, .. } => self.records += 1,
            }
        }
    }

    /// The closing line.
    pub fn message(&self, view: &View) -> String {
        self.message_in(Zone::UTC, view)
    }

    /// The same with the times of a zone.
    pub(super) fn message_in(&self, zone: Zone, view: &View) -> String {
        let (pid, program) = (view.pid(), view.program());
        let plural =
            |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let mut text = if self.records == 0 {
            let missing = if self.unreadable == 0 { "; nothing of its log was missing" } else { "" };
            format!("process {pid} ({program}) has died{missing}")
        } else if self.from == 0 {
            let records = plural(self.records, "record", "records");
            format!("recovered {records} that process {pid} ({program}) had not written when it died")
        } else {
            format!(
                "recovered {} of {}, from {} to {}, that process {pid} ({program}) had not written when it died",
                plural(self.records, "record", "records"),
                plural(self.thread_count() as u64, "thread", "threads"),
                format::time(zone, self.from),
                format::time(zone, self.to),
            )
        };
        if self.held != 0 {
            let were = if self.held == 1 { "was" } else { "were" };
            text += &format!("; {} of them {were} held back for an error", self.held);
        }
        if self.torn != 0 {
            text +=
                &format!("; {} under way, and not among them", plural(self.torn, "call was", "calls were"));
        }
        if self.unreadable != 0 {
            text += &format!("; {} not readable", plural(self.unreadable, "record is", "records are"));
        }
        if self.dropped != 0 {
            text += &format!("; {} dropped in its life", plural(self.dropped, "record was", "records were"));
        }
        for remark in &self.remarks {
            text += "; ";
            text += remark;
        }
        text
    }
}
