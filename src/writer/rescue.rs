//! What a crash handler writes when the writer does not: what stands in staging, then the rings, by time.
//!
//! It reads the rings without moving their read positions, up to the write positions that it finds when it begins: a
//! process whose other threads go on logging still comes to its end. It renders into memory that `start()` has
//! set aside, by the writer's own code, and writes with `write(2)`, with a time limit where a descriptor may block:
//! a pipe is given no more than `poll` says it takes. Nothing here allocates, locks or calls a sink.
//!
//! Decision: a reader of its own rather than the writer's cursors, which may be half way through a step, and
//! whose rings' consumers keep a copy of a frame in memory of their own. What it costs is a scan of all lanes
//! per record, which is nobody's concern at this point.

use core::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use super::request::CrashCause;
use super::tenure::{self, Taken};
use crate::callsite::Callsite;
use crate::channel::{AnyChannel, MAX_RECORD_BYTES, channels, is_default, lane_indices};
use crate::clock;
use crate::format::{self, LineCache, LineHead, Look, Out};
use crate::journal::MAX_SINKS;
use crate::lane::LaneRef;
use crate::level::Level;
use crate::logger;
use crate::record::Record;
use crate::region::{self, STAGING_BYTES};
use crate::zone::Zone;

/// Lines are written when there are so many bytes of them, or so many lines.
const BATCH_BYTES: usize = 128 * 1024;
const BATCH_LINES: usize = 1024;
/// What descriptors that block may cost in all.
const PATIENCE: Duration = Duration::from_millis(500);

/// A lane, and how far it was read.
struct Place {
    lane: LaneRef,
    channel: &'static dyn AnyChannel,
    at: u64,
    until: u64,
    /// The next record's tick; `None` when there is none.
    tick: Option<u64>,
}

impl Place {
    fn look(&mut self) {
        let mut head = [0; 2];
        // SAFETY: `at` is where the last frame ended, or the first one begins; the writer has stopped, so that no
        // read position passes it; `until` was the write position.
        let found = unsafe { self.lane.ring.peek(self.at, self.until, &mut head) };
        self.tick = found.map(|_| head[1]);
    }
}

struct Rescue {
    /// Empty, with room for every lane of the program.
    places: Vec<Place>,
    copy: Box<[u64]>,
    text: Box<[u8]>,
    /// Where each line in `text` ends, and which sinks get it, by bits.
    lines: Vec<(usize, u8)>,
}

static RESCUE: AtomicPtr<Rescue> = AtomicPtr::new(core::ptr::null_mut());

/// Sets memory aside, once per process: some of it for each lane, and 1 MiB that is not touched.
pub(crate) fn prepare() {
    if !RESCUE.load(Ordering::Acquire).is_null() {
        return;
    }
    let lanes = channels().map(|channel| channel.threads() + 1).sum();
    let made = Box::into_raw(Box::new(Rescue {
        places: Vec::with_capacity(lanes),
        copy: vec![0; MAX_RECORD_BYTES.next_multiple_of(4096) / 8 + 512].into_boxed_slice(),
        text: vec![0; STAGING_BYTES].into_boxed_slice(),
        lines: Vec::with_capacity(BATCH_LINES),
    }));
    let none = core::ptr::null_mut();
    if RESCUE.compare_exchange(none, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: it was not published.
        drop(unsafe { Box::from_raw(made) });
    }
}

/// Writes what the writer has not, and the line that says so. Async-signal-safe.
pub(crate) fn rescue(taken: Taken, cause: &CrashCause) {
    let rescue = RESCUE.load(Ordering::Acquire);
    if rescue.is_null() {
        return;
    }
    // SAFETY: published once and never freed; one thread at a time has taken over, hence one user.
    let rescue = unsafe { &mut *rescue };
    let mut outputs = Outputs::new(Instant::now().checked_add(PATIENCE));
    for at in 0..tenure::SINKS.len() {
        let (start, len) = tenure::SINKS[at].rest(taken);
        // SAFETY: staging of the region, which nobody writes to since the writer stopped; `len` bytes of it were staged.
        outputs.write(at, unsafe {
            core::slice::from_raw_parts(if len == 0 { [].as_ptr() } else { start }, len)
        });
    }
    let records = rescue.write_rings(taken, &mut outputs);
    let head = LineHead {
        ns: clock::wall_ns(),
        level: Level::Error,
        target: "kakashi",
        location: None,
        thread: format::writer_thread(),
    };
    let mut used = 0;
    for look in outputs.looks() {
        let mut out = Out::at(&mut rescue.text, used);
        format::notice(&mut LineCache::new(look.zone), &mut out, look.format, &head, &|words| {
            cause.push(words);
            words.push_str(if taken.writer { "the writer did not answer; " } else { "no writer ran; " });
            words.push_u64(records);
            words.push_str(if records == 1 { " record" } else { " records" });
            words.push_str(" written by the crash handler");
        });
        used = out.len();
        rescue.lines.push((used, outputs.wanting(look, head.level, head.target)));
    }
    rescue.flush(&mut outputs);
    region::totals().notices.fetch_add(1, Ordering::Relaxed);
}

impl Rescue {
    fn write_rings(&mut self, taken: Taken, outputs: &mut Outputs) -> u64 {
        self.places.clear();
        for entry in channels() {
            for lane in lane_indices(entry.channel).filter_map(|at| entry.channel.lane(at)) {
                let (read, until) = lane.ring.ends();
                let sealed = lane.head.writer.batch_read.load(Ordering::Acquire);
                let at = if taken.moving { read.max(sealed) } else { read };
                let mut place = Place { lane, channel: entry.channel, at, until, tick: None };
                place.look();
                if place.tick.is_some() && self.places.len() < self.places.capacity() {
                    self.places.push(place);
                }
            }
        }
        let (tick, ns) = (clock::now(), clock::wall_ns());
        let mut cache = LineCache::new(Zone::UTC);
        let mut records = 0;
        while let Some(oldest) = self.oldest() {
            self.render(oldest, &mut cache, outputs, |record_tick| {
                if record_tick == 0 { ns } else { clock::unix_ns_near(record_tick, tick, ns) }
            });
            records += 1;
        }
        self.flush(outputs);
        records
    }

    fn oldest(&self) -> Option<usize> {
        let ticks = self.places.iter().enumerate().filter_map(|(at, place)| Some((place.tick?, at)));
        ticks.min().map(|(_, at)| at)
    }

    /// Renders the next record of a place in each look that is wanted, and writes the lines when there are enough.
    fn render(&mut self, at: usize, cache: &mut LineCache, outputs: &mut Outputs, time: impl Fn(u64) -> i64) {
        let Some(place) = self.places.get_mut(at) else { return };
        // SAFETY: as in `look`.
        let found = unsafe { place.lane.ring.peek(place.at, place.until, &mut self.copy) };
        let tick = place.tick.unwrap_or(0);
        let Some(found) = found else {
            // Evicted meanwhile.
            place.tick = None;
            return;
        };
        place.at = found.next;
        place.look();
        let (thread, shared) = (place.lane.head.thread(), place.lane.shared);
        let channel = (!is_default(place.channel)).then(|| place.channel.channel_name());
        let words = self.copy.get(..found.words).unwrap_or_default();
        // SAFETY: any words are bytes.
        let bytes = unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) };
        let record = Record::new(bytes);
        let Some(callsite) = Callsite::from_id(record.callsite) else { return };
        let head = LineHead {
            ns: time(tick),
            level: callsite.level(),
            target: logger::name(record.logger).or(channel).unwrap_or(callsite.module_path()),
            location: Some((callsite.file(), callsite.line())),
            thread: if shared { record.thread() } else { thread },
        };
        for look in outputs.looks() {
            let wanting = outputs.wanting(look, head.level, head.target);
            if wanting == 0 {
                continue;
            }
            let used = self.lines.last().map_or(0, |line| line.0);
            let mut out = Out::at(&mut self.text, used);
            let cache = cache.in_zone(look.zone);
            format::record(cache, &mut out, look.format, &head, callsite.statement(), &record, shared);
            let used = out.len();
            self.lines.push((used, wanting));
            if used >= BATCH_BYTES || self.lines.len() >= BATCH_LINES {
                Self::write(&self.text, &mut self.lines, outputs);
            }
        }
    }

    fn flush(&mut self, outputs: &mut Outputs) {
        Self::write(&self.text, &mut self.lines, outputs);
    }

    /// Writes the lines to every descriptor that wants them.
    fn write(text: &[u8], lines: &mut Vec<(usize, u8)>, outputs: &mut Outputs) {
        for at in 0..tenure::SINKS.len() {
            // As many lines at a time as the sink wants in a row.
            let (mut start, mut end) = (0, 0);
            for &(line_end, wanting) in &*lines {
                if wanting >> at & 1 == 0 {
                    outputs.write(at, text.get(start..end).unwrap_or_default());
                    start = line_end;
                }
                end = line_end;
            }
            outputs.write(at, text.get(start..end).unwrap_or_default());
        }
        lines.clear();
    }
}

/// The sinks' descriptors, and whether they still take something.
struct Outputs {
    dead: [bool; MAX_SINKS],
    /// Those of the sinks that have a descriptor.
    looks: [Option<Look>; MAX_SINKS],
    deadline: Option<Instant>,
}

/// What a pipe takes without blocking when it takes anything.
const PIPE_BYTES: usize = 4096;

impl Outputs {
    fn new(deadline: Option<Instant>) -> Self {
        let looks = tenure::SINKS.each_ref().map(|sink| sink.descriptor().map(|_| sink.look()));
        Outputs { dead: [false; MAX_SINKS], looks, deadline }
    }

    /// The sinks of that look that want such a line, by bits.
    fn wanting(&self, look: Look, level: Level, target: &str) -> u8 {
        const { assert!(MAX_SINKS <= 8) };
        let wants = |at: usize| self.looks[at] == Some(look) && tenure::SINKS[at].wants(level, target);
        (0..MAX_SINKS).filter(|&at| wants(at)).fold(0, |bits, at| bits | 1 << at)
    }

    /// Each look that any of them has, once.
    fn looks(&self) -> impl Iterator<Item = Look> + use<> {
        let all = self.looks;
        (0..MAX_SINKS).filter_map(move |at| all[at].filter(|_| !all[..at].contains(&all[at])))
    }

    fn write(&mut self, sink: usize, mut bytes: &[u8]) {
        let Some(descriptor) = tenure::SINKS[sink].descriptor() else { return };
        while !bytes.is_empty() && !self.dead[sink] {
            let left = crate::futex::remaining(self.deadline).unwrap_or_default().as_millis() as i32;
            let mut ready = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
            // SAFETY: `poll` is given one pollfd, `fstat` a place to write to, `write` the bytes.
            let (ready, written) = unsafe {
                let ready = libc::poll(&mut ready, 1, left);
                let mut data: libc::stat = core::mem::zeroed();
                let is_file =
                    libc::fstat(descriptor, &mut data) == 0 && data.st_mode & libc::S_IFMT == libc::S_IFREG;
                let len = if is_file { bytes.len() } else { bytes.len().min(PIPE_BYTES) };
                (ready, if ready == 1 { libc::write(descriptor, bytes.as_ptr().cast(), len) } else { -1 })
            };
            // SAFETY: the calling thread's errno.
            let error = if written < 0 { unsafe { *libc::__errno_location() } } else { 0 };
            match written {
                1.. => bytes = bytes.get(written as usize..).unwrap_or_default(),
                _ if ready != 0 && matches!(error, libc::EINTR | libc::EAGAIN) && left > 0 => {}
                _ => self.dead[sink] = true,
            }
        }
    }
}
