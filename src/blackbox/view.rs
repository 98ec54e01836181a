//! A black box seen from outside: whose it is, its statistics, and where its lanes lie.
//!
//! All is read by `pread(2)`, nothing is mapped: a file that is cut short meanwhile gives zeros and not a signal, and no
//! more memory is needed than what is looked at. Reading changes nothing in the process that is looked at.
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::lanes::LaneView;
use super::tables::{ChannelTable, Tables};
use super::{file, plain, tables};
use crate::clock::Reading;
use crate::error::BlackBoxError;
use crate::format::{Format, Look};
use crate::gate::State;
use crate::journal::{PlaceEntry, SinkEntry, Text};
use crate::lane::FREE;
use crate::logger::{MAX_LOGGERS, ShownNames};
use crate::region::{CLEAN, RegionHeader, STAGING_BYTES};
use crate::stats::{AsyncStats, LaneStats, Totals};
use crate::zone::Zone;

/// More lanes than any process has. A file may say to have more, and be of holes, which take no room and much time.
const MOST_LANES: usize = 1 << 16;

/// A text that is padded with zeros.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// What has become of the process whose box it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Life {
    /// It lives.
    Alive,
    /// It has come to its end, and everything was written.
    Ended,
    /// It has died, and records may be left.
    Died,
    /// It is gone, and what it had left is written: another process lives in the box, or has.
    Replaced,
}

/// A lane of a box.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LaneInfo {
    /// The channel's name and policy.
    pub channel: String,
    /// See `channel`.
    pub policy: String,
    /// The name of the thread that has the lane, or had it last.
    pub thread: String,
    /// Where the lane lies in the file: which one it is.
    pub place: u64,
    /// Bytes of the slots that its records have taken so far.
    pub bytes: u64,
    /// Its figures.
    pub stats: LaneStats,
}

/// An open black box.
#[derive(Debug)]
pub struct View {
    file: File,
    path: PathBuf,
    /// The file's length when it was opened.
    pub(super) len: u64,
    tables: Vec<u8>,
    header: Fixed,
}

/// What does not change in the header.
#[derive(Debug)]
struct Fixed {
    pid: u32,
    started: u64,
    program: String,
    build: String,
    boot: String,
    names: u64,
    staging: u64,
    bytes: u64,
    whole: bool,
}

impl View {
    /// Opens the box at `path`, to read only.
    pub fn open(path: &Path) -> Result<View, BlackBoxError> {
        // Without waiting: it may be a pipe, which is refused below.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file =
            file.map_err(|source| BlackBoxError::Io { path: path.to_owned(), doing: "open", source })?;
        View::of(file, path)
    }

    /// The same box under another path.
    pub(super) fn named(self, path: PathBuf) -> View {
        View { path, ..self }
    }

    pub(super) fn of(file: File, path: &Path) -> Result<View, BlackBoxError> {
        let failed = |source| BlackBoxError::Io { path: path.to_owned(), doing: "read", source };
        let data = file.metadata().map_err(failed)?;
        if !data.is_file() {
            let why = "it is no regular file".to_owned();
            return Err(BlackBoxError::Foreign { path: path.to_owned(), why });
        }
        let mut view = View {
            file,
            path: path.to_owned(),
            len: data.len(),
            tables: Vec::new(),
            header: Fixed {
                pid: 0,
                started: 0,
                program: String::new(),
                build: String::new(),
                boot: String::new(),
                names: 0,
                staging: 0,
                bytes: 0,
                whole: false,
            },
        };
        let mut start = vec![0; size_of::<RegionHeader>()];
        view.read(0, &mut start);
        let header: Box<RegionHeader> = plain::read(&start).ok_or_else(|| BlackBoxError::Damaged {
            path: path.to_owned(),
            what: "it has no header".to_owned(),
        })?;
        file::check_start(&header, view.len, path)?;
        view.tables = vec![0; header.tables_bytes as usize];
        let mut bytes = std::mem::take(&mut view.tables);
        view.read(header.tables, &mut bytes);
        let whole = tables::hash(&bytes) == header.tables_hash && Tables::parse(&bytes).1;
        view.tables = bytes;
        view.header = Fixed {
            pid: header.origin.pid,
            started: header.origin.started,
            program: text(&header.origin.program),
            build: text(&header.origin.build),
            boot: text(&header.origin.boot),
            names: header.names,
            staging: header.staging,
            bytes: header.bytes,
            whole,
        };
        Ok(view)
    }

    /// The file's path, as it was given or found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process whose box it is, by the number that it has where it lives.
    pub fn pid(&self) -> u32 {
        self.header.pid
    }

    /// The process's name.
    pub fn program(&self) -> &str {
        &self.header.program
    }

    /// The version of this crate in that process.
    pub fn build(&self) -> &str {
        &self.header.build
    }

    /// What is missing or damaged in the file, so that it can be read in part only.
    pub fn damage(&self) -> Option<String> {
        if !self.header.whole {
            return Some(
                "the tables of its log statements are damaged: records of those are left out".to_owned(),
            );
        }
        let lanes = self
            .tables()
            .channels
            .iter()
            .fold(0, |sum: usize, channel| sum.saturating_add(channel.shape.threads).saturating_add(1));
        if lanes > MOST_LANES {
            return Some(format!("it says to have {lanes} lanes, of which {MOST_LANES} were looked at"));
        }
        let whole = self.header.bytes;
        (self.len < whole).then(|| format!("it is cut short: {} of {whole} bytes are there", self.len))
    }

    /// Whether the process was born as the box says: a process of that number may be another one.
    pub(super) fn is_of(&self, process: u32) -> bool {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot: Vec<u8> = boot.into_iter().filter(u8::is_ascii_hexdigit).collect();
        boot == self.header.boot.as_bytes()
            && file::started(&process.to_string()).is_some_and(|started| started == self.header.started)
    }

    /// Whether its process is alive.
    pub fn life(&self) -> Life {
        // Before the header: who has the box is at home by the time that it can be seen to have ended.
        let holder = file::holder(&self.file);
        if self.is_replaced() {
            return Life::Replaced;
        }
        match holder {
            Ok(Some(_)) => Life::Alive,
            // A file system without locks.
            Err(_) if self.is_of(self.header.pid) => Life::Alive,
            _ if self.is_clean() => Life::Ended,
            _ => Life::Died,
        }
    }

    /// Whether the box was laid out again since it was opened, which happens in place.
    fn is_replaced(&self) -> bool {
        let head = self.head();
        (head.origin.pid, head.origin.started) != (self.header.pid, self.header.started)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.head().end.load(Ordering::Relaxed) == CLEAN
    }

    /// Bytes from `at` on; zeros where the file has none.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) {
        into.fill(0);
        let mut done = 0;
        while done < into.len() {
            match self.file.read_at(&mut into[done..], at.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    /// The header as it is now.
    pub(super) fn head(&self) -> Box<RegionHeader> {
        let mut bytes = vec![0; size_of::<RegionHeader>()];
        self.read(0, &mut bytes);
        // As many bytes as it has.
        plain::read(&bytes).unwrap_or_else(|| unreachable!())
    }

    pub(super) fn tables(&self) -> Tables<'_> {
        Tables::parse(&self.tables).0
    }

    /// The names of the loggers, by index.
    pub(super) fn loggers(&self) -> Vec<String> {
        let mut bytes = vec![0; size_of::<ShownNames>()];
        self.read(self.header.names, &mut bytes);
        let mut names: Vec<String> = bytes
            .chunks(ShownNames::STRIDE)
            .map(|entry| {
                let len = word(entry, 0) as usize;
                let text = entry.get(ShownNames::TEXT..).and_then(|text| text.get(..len)).unwrap_or_default();
                String::from_utf8_lossy(text).into_owned()
            })
            .collect();
        names.resize(MAX_LOGGERS, String::new());
        "other".clone_into(&mut names[MAX_LOGGERS - 1]);
        names
    }

    /// The clock as it was read last.
    pub(super) fn clock(&self) -> Reading {
        let plate = &self.head().clock;
        let words = &plate.readings[(plate.current.load(Ordering::Acquire) & 1) as usize];
        let [tick, unix_ns, rate] = words.each_ref().map(|word| word.load(Ordering::Relaxed));
        Reading { tick, unix_ns: unix_ns as i64, rate }
    }

    /// All lanes that were ever used, with what is in their heads: of the first `MOST_LANES`.
    pub(super) fn lanes(&self, tables: &Tables<'_>) -> Vec<LaneView> {
        let all = tables.channels.iter().enumerate().flat_map(|(channel, table)| {
            let there = (0..=table.shape.threads).take_while(|&at| self.place_of(table, at).is_some());
            there.map(move |at| (table, channel, at))
        });
        all.take(MOST_LANES).filter_map(|(table, channel, at)| self.lane(table, channel, at)).collect()
    }

    /// A lane of a channel, if it was ever used; the one behind those of threads is the shared one.
    pub(super) fn lane(&self, table: &ChannelTable<'_>, channel: usize, at: usize) -> Option<LaneView> {
        let lane = LaneView::read(self, table, channel, at, self.place_of(table, at)?);
        let used = lane.head.owner() != FREE || lane.counts.published != 0 || lane.head.drops_in_all() != 0;
        used.then_some(lane)
    }

    /// Where a lane begins, if the file has it.
    fn place_of(&self, table: &ChannelTable<'_>, at: usize) -> Option<u64> {
        let start = table.first.saturating_add((at as u64).saturating_mul(table.shape.lane_bytes as u64));
        (start < self.len).then_some(start)
    }

    /// What is counted in that process, at this moment.
    pub fn stats(&self) -> AsyncStats {
        let tables = self.tables();
        let (head, lanes) = (self.head(), self.lanes(&tables));
        let state = State::of(head.state.load(Ordering::Relaxed));
        let all: u64 = tables.channels.iter().map(|channel| channel.shape.threads as u64).sum();
        let totals: [&Totals; 1] = [&head.totals];
        AsyncStats::gather(state, totals.into_iter(), all, false, |each| {
            lanes.iter().for_each(|lane| each(&lane.stats(state)));
        })
    }

    /// What is counted per lane.
    pub fn lane_stats(&self) -> Vec<LaneInfo> {
        let tables = self.tables();
        let state = State::of(self.head().state.load(Ordering::Relaxed));
        let named = |lane: &LaneView| {
            let table = tables.channels.get(lane.channel);
            let (channel, policy) = table.map_or(("", ""), |channel| (channel.name, channel.policy));
            let slot_bytes = table.map_or(0, |channel| channel.shape.slot_bytes as u64);
            let thread = String::from_utf8_lossy(lane.head.thread().name()).into_owned();
            LaneInfo {
                channel: channel.to_owned(),
                policy: policy.to_owned(),
                thread,
                place: lane.start,
                bytes: lane.write.saturating_mul(slot_bytes),
                stats: lane.stats(state),
            }
        };
        self.lanes(&tables).iter().map(named).collect()
    }

    /// The names of its sinks, each with the bytes that it has not taken of what is rendered for it.
    pub fn sinks(&self) -> Vec<(String, u64)> {
        let head = self.head();
        let used = head.journal.sinks.iter().filter(|sink| sink.used.load(Ordering::Relaxed) == 1);
        used.map(|sink| {
            let left = sink.staged.load(Ordering::Relaxed).saturating_sub(sink.taken.load(Ordering::Relaxed));
            (String::from_utf8_lossy(&bytes_of(&sink.name)).into_owned(), left.min(STAGING_BYTES as u64))
        })
        .collect()
    }

    /// What is left for the sink of that number.
    pub(super) fn staged(&self, sink: usize, entry: &SinkEntry, sealed: u64) -> Option<Staged> {
        let load = |word: &core::sync::atomic::AtomicU64| word.load(Ordering::Relaxed);
        let (staged, taken) = (load(&entry.staged) as usize, load(&entry.taken) as usize);
        let counts = entry.used.load(Ordering::Relaxed) == 1 && load(&entry.batch) <= sealed;
        if !counts || taken >= staged || staged > STAGING_BYTES {
            return None;
        }
        let mut bytes = vec![0; staged];
        self.read(self.staging(sink), &mut bytes);
        let begun = load(&entry.place) != 0;
        let place = match load(&entry.place) {
            at @ 1..=2 => Some(&entry.places[at as usize - 1]),
            _ => None,
        };
        let place = place.map(StagedPlace::of).filter(|place| place.from <= taken);
        Some(Staged { bytes, taken, begun, place })
    }

    /// Where a sink's staging lies.
    pub(super) fn staging(&self, sink: usize) -> u64 {
        self.header.staging.saturating_add((sink * STAGING_BYTES) as u64)
    }
}

/// A batch that a sink has not taken in full.
#[derive(Debug)]
pub(super) struct Staged {
    /// All of the batch.
    pub(super) bytes: Vec<u8>,
    /// Bytes that it is known to have taken.
    pub(super) taken: usize,
    /// It may have taken more.
    pub(super) begun: bool,
    pub(super) place: Option<StagedPlace>,
}

/// Where the bytes from `from` on were to go.
#[derive(Debug)]
pub(super) struct StagedPlace {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    pub(super) from: usize,
    pub(super) path: PathBuf,
}

impl StagedPlace {
    fn of(entry: &PlaceEntry) -> Self {
        use std::os::unix::ffi::OsStringExt;
        let load = |word: &core::sync::atomic::AtomicU64| word.load(Ordering::Relaxed);
        StagedPlace {
            device: load(&entry.device),
            inode: load(&entry.inode),
            offset: load(&entry.offset),
            from: load(&entry.from) as usize,
            path: std::ffi::OsString::from_vec(bytes_of(&entry.path)).into(),
        }
    }
}

/// How a sink's lines look.
pub(super) fn look_of(entry: &SinkEntry) -> Look {
    let code = u32::try_from(entry.format.load(Ordering::Relaxed)).unwrap_or(0);
    let len = entry.zone.len.load(Ordering::Relaxed) as usize;
    let changes: Vec<u64> =
        entry.zone.changes.iter().take(len).map(|word| word.load(Ordering::Relaxed)).collect();
    Look {
        format: Format::noted(code, &String::from_utf8_lossy(&bytes_of(&entry.pattern))),
        zone: Zone::noted(&changes),
    }
}

pub(super) fn bytes_of(text: &Text) -> Vec<u8> {
    let words = text.words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    words.take(text.len.load(Ordering::Relaxed) as usize).collect()
}

/// A word within bytes; 0 where there is none.
pub(super) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
}
