//! The one piece of memory that everything which outlives a call lies in: lanes, staging, statistics.
//!
//! ```text
//! | RegionHeader: what it is, clock, journal, Totals | tables | logger names | staging, one part per sink |
//! | channel 0: lane 0, lane 1, ..., shared lane, scratch pool | channel 1: ...
//! ```
//!
//! `repr(C)`, no pointers, all bytes zero is the empty state: an anonymous mapping, reserved and not touched until it is
//! used, or the mapped file of a black box (`blackbox/`), which another process can read. Then the tables hold what
//! the records' indices stand for, and the names those of the loggers. It is laid out once per process (a forked child
//! lays out its own) and never unmapped, since threads keep addresses within it.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::channel::channels;
use crate::clock::Reading;
use crate::futex::Lock;
use crate::journal::{Journal, MAX_SINKS, SinkEntry};
use crate::logger;
use crate::stats::Totals;

/// Bytes of a sink's staging area: a batch and the longest line.
pub(crate) const STAGING_BYTES: usize = 1 << 20;

pub(crate) const PAGE: usize = 4096;

/// What a region begins with. In a file it is stored last: before that, the file is no black box yet.
pub(crate) const MAGIC: [u8; 8] = *b"KAKASHI\0";
/// The layout's number: it changes with every change of what another process reads.
pub(crate) const VERSION: u32 = 5;

/// The process is at work, or has died.
pub(crate) const OPEN: u32 = 1;
/// All that was committed has been written.
pub(crate) const CLEAN: u32 = 2;

/// The start of the region.
#[repr(C, align(128))]
pub(crate) struct RegionHeader {
    pub(crate) magic: AtomicU64,
    pub(crate) version: u32,
    pub(crate) header_bytes: u32,
    pub(crate) bytes: u64,
    pub(crate) origin: Origin,
    pub(crate) tables: u64,
    pub(crate) tables_bytes: u64,
    /// FNV-1a of the tables.
    pub(crate) tables_hash: u64,
    pub(crate) names: u64,
    pub(crate) staging: u64,
    pub(crate) lanes: u64,
    /// `OPEN` or `CLEAN`.
    pub(crate) end: AtomicU32,
    /// The backend's state, as a number.
    pub(crate) state: AtomicU32,
    pub(crate) clock: ClockPlate,
    pub(crate) journal: Journal,
    pub(crate) totals: Totals,
}

/// Whose region it is.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Origin {
    pub(crate) pid: u32,
    pub(crate) reserved: u32,
    /// When the process began, in the kernel's ticks since boot (field 22 of `/proc/PID/stat`).
    pub(crate) started: u64,
    /// The kernel's `boot_id`, its 32 digits.
    pub(crate) boot: [u8; 32],
    /// The crate's version, as text.
    pub(crate) build: [u8; 32],
    /// The program's name, as the kernel has it.
    pub(crate) program: [u8; 16],
}

/// The clock's last reading, for who turns ticks into UTC from outside: two places, of which the one that counts is
/// written last.
#[repr(C)]
pub(crate) struct ClockPlate {
    pub(crate) current: AtomicU64,
    pub(crate) readings: [[AtomicU64; 3]; 2],
}

impl ClockPlate {
    pub(crate) fn show(&self, reading: Reading) {
        let other = 1 - (self.current.load(Ordering::Relaxed) & 1);
        let words = [reading.tick, reading.unix_ns as u64, reading.rate];
        for (to, word) in self.readings[other as usize].iter().zip(words) {
            to.store(word, Ordering::Release);
        }
        self.current.store(other, Ordering::Release);
    }
}

/// What stands in a region besides lanes and staging, for other processes.
pub(crate) struct Shown<'a> {
    pub(crate) origin: Origin,
    pub(crate) tables: &'a [u8],
    pub(crate) tables_hash: u64,
}

/// Where the parts of a region lie, in bytes from its start.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    names: usize,
    staging: usize,
    lanes: usize,
    pub(crate) bytes: usize,
}

#[cfg(feature = "fuzzing")]
impl Plan {
    pub(crate) fn names(&self) -> usize {
        self.names
    }

    pub(crate) fn staging(&self) -> usize {
        self.staging
    }
}

/// Where the tables begin.
pub(crate) const TABLES: usize = size_of::<RegionHeader>().next_multiple_of(PAGE);

/// The plan of a region of this program with tables of that size, and with the loggers' names if they are shown.
pub(crate) fn plan(tables_bytes: usize, shown: bool) -> Plan {
    let names = TABLES + tables_bytes.next_multiple_of(PAGE);
    let names_bytes = if shown { size_of::<logger::ShownNames>() } else { 0 };
    let staging = names + names_bytes.next_multiple_of(PAGE);
    let lanes = staging + MAX_SINKS * STAGING_BYTES;
    let lane_bytes: usize = channels().map(|channel| channel.bytes().next_multiple_of(PAGE)).sum();
    Plan { names, staging, lanes, bytes: lanes + lane_bytes }
}

/// Where each channel's lanes lie, in bytes from the region's start.
pub(crate) fn channel_offsets(plan: Plan) -> impl Iterator<Item = usize> {
    let mut offset = plan.lanes;
    channels().map(move |channel| {
        let at = offset;
        offset += channel.bytes().next_multiple_of(PAGE);
        at
    })
}

static REGION: AtomicPtr<RegionHeader> = AtomicPtr::new(core::ptr::null_mut());
static LAYING_OUT: Lock<()> = Lock::new(());

/// Counts what happens while there is no region.
static NO_REGION: Totals = Totals::new();

/// The totals of this process.
pub(crate) fn totals() -> &'static Totals {
    let header = REGION.load(Ordering::Acquire);
    // SAFETY: a published header is initialised and never unmapped.
    if header.is_null() { &NO_REGION } else { unsafe { &(*header).totals } }
}

/// What was counted before there was a region, and what since.
pub(crate) fn all_totals() -> impl Iterator<Item = &'static Totals> {
    let now = totals();
    let before = (!core::ptr::eq(now, &NO_REGION)).then_some(&NO_REGION);
    core::iter::once(now).chain(before)
}

/// The staging area of one sink.
///
/// # Safety
/// Only the writer may call this, once per sink at a time, and only after `ensure`.
pub(crate) unsafe fn staging(sink: usize) -> &'static mut [u8] {
    assert!(sink < MAX_SINKS);
    let header = REGION.load(Ordering::Acquire);
    // SAFETY: the staging areas lie in the region, `MAX_SINKS` of them, and are the writer's alone.
    unsafe {
        let start = header.cast::<u8>().add((*header).staging as usize + sink * STAGING_BYTES);
        core::slice::from_raw_parts_mut(start, STAGING_BYTES)
    }
}

/// Whether there is a region.
pub(crate) fn exists() -> bool {
    !REGION.load(Ordering::Acquire).is_null()
}

/// The header of this process's region.
fn header() -> Option<&'static RegionHeader> {
    let header = REGION.load(Ordering::Acquire);
    // SAFETY: as in `totals`.
    (!header.is_null()).then(|| unsafe { &*header })
}

/// The journal of this process, once there is a region.
pub(crate) fn journal() -> Option<&'static Journal> {
    header().map(|header| &header.journal)
}

/// The journal's entry of a sink, once there is a region.
pub(crate) fn sink_entry(sink: usize) -> Option<&'static SinkEntry> {
    journal()?.sinks.get(sink)
}

/// Whether the region is one that other processes can read.
pub(crate) fn is_shown() -> bool {
    header().is_some_and(|header| header.tables_bytes != 0)
}

/// Shows the clock's reading to other processes.
pub(crate) fn show_clock(reading: Reading) {
    if let Some(header) = header() {
        header.clock.show(reading);
    }
}

/// Notes whether all that was committed has been written.
pub(crate) fn set_end(end: u32) {
    if let Some(header) = header() {
        header.end.store(end, Ordering::Release);
    }
}

/// Shows the backend's state to other processes.
pub(crate) fn show_state(state: u32) {
    if let Some(header) = header() {
        header.state.store(state, Ordering::Relaxed);
    }
}

/// What `set_end` noted last, if there is a region.
pub(crate) fn end() -> Option<u32> {
    header().map(|header| header.end.load(Ordering::Acquire))
}

/// Lays the region out if there is none: every channel of the program gets its lanes.
pub(crate) fn ensure() -> std::io::Result<()> {
    if exists() {
        return Ok(());
    }
    let _held = LAYING_OUT.lock();
    if exists() {
        return Ok(());
    }
    let plan = plan(0, false);
    let base = map(plan.bytes)?;
    // SAFETY: the mapping is zeroed, page-aligned, of the planned size and nobody else's.
    unsafe { lay_out(base, plan, None) };
    Ok(())
}

/// Lays the region out in memory that other processes can read. False when there is one already.
///
/// # Safety
/// `base` points to `plan.bytes` bytes, zeros but for the first eight, page-aligned, that stay mapped and are nobody else's
/// to write.
pub(crate) unsafe fn ensure_in(base: *mut u8, plan: Plan, shown: &Shown<'_>) -> bool {
    let _held = LAYING_OUT.lock();
    if exists() {
        return false;
    }
    // SAFETY: passed on to the caller.
    unsafe { lay_out(base, plan, Some(shown)) };
    true
}

/// # Safety
/// As for `ensure_in`.
unsafe fn lay_out(base: *mut u8, plan: Plan, shown: Option<&Shown<'_>>) {
    let header = base.cast::<RegionHeader>();
    // SAFETY: the parts lie in the memory that the caller gives, each in a place of its own; zero bytes are
    // valid for all of them.
    unsafe {
        (*header).version = VERSION;
        (*header).header_bytes = size_of::<RegionHeader>() as u32;
        (*header).bytes = plan.bytes as u64;
        (*header).tables = TABLES as u64;
        (*header).names = plan.names as u64;
        (*header).staging = plan.staging as u64;
        (*header).lanes = plan.lanes as u64;
        if let Some(shown) = shown {
            (*header).origin = shown.origin;
            (*header).tables_bytes = shown.tables.len() as u64;
            (*header).tables_hash = shown.tables_hash;
            core::ptr::copy_nonoverlapping(shown.tables.as_ptr(), base.add(TABLES), shown.tables.len());
            logger::show(&*base.add(plan.names).cast());
        }
        (*header).end.store(OPEN, Ordering::Relaxed);
        for (channel, offset) in channels().zip(channel_offsets(plan)) {
            channel.place(base.add(offset));
        }
        // Release: who finds the magic finds what stands above.
        (*header).magic.store(u64::from_le_bytes(MAGIC), Ordering::Release);
    }
    REGION.store(header, Ordering::Release);
}

/// Forgets the region, in a forked child: the parent's threads are not here, its queued records are
/// not ours. The pages stay mapped (and shared until written): a call that forked is still in them.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe fn forget() {
    // SAFETY: passed on to the caller.
    unsafe { LAYING_OUT.force_open() };
    REGION.store(core::ptr::null_mut(), Ordering::Release);
    NO_REGION.clear();
}

/// Anonymous memory, zeroed, reserved and not yet there.
pub(crate) fn map(bytes: usize) -> std::io::Result<*mut u8> {
    // SAFETY: a fresh private mapping touches no memory of anybody's.
    let base = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(base.cast()) }
}

/// Makes pages be there before they are written to, so that no call pays for a page fault. A kernel
/// that cannot (before 5.14) leaves it to the faults.
pub(crate) fn populate(start: *const u8, bytes: usize) {
    const MADV_POPULATE_WRITE: i32 = 23;
    // SAFETY: a question about the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
    let into_page = start.addr() % page;
    let whole = (into_page + bytes).next_multiple_of(page);
    // SAFETY: the range lies within the region, which begins and ends at pages; populating changes no
    // byte of it.
    unsafe { libc::madvise(start.sub(into_page).cast_mut().cast(), whole, MADV_POPULATE_WRITE) };
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_region_lie_apart_and_within_it() {
        for (tables, shown) in [(0, false), (1, true), (PAGE, true), (3 * PAGE + 1, true)] {
            let plan = plan(tables, shown);
            let mut parts = vec![(0, size_of::<RegionHeader>()), (TABLES, tables)];
            parts.push((plan.names, if shown { size_of::<logger::ShownNames>() } else { 0 }));
            parts.extend((0..MAX_SINKS).map(|sink| (plan.staging + sink * STAGING_BYTES, STAGING_BYTES)));
            parts.extend(channel_offsets(plan).zip(channels()).map(|(at, channel)| (at, channel.bytes())));
            let ends = parts.iter().map(|(at, len)| at + len);
            let nexts = parts.iter().skip(1).map(|next| next.0).chain([plan.bytes]);
            assert!(ends.zip(nexts).all(|(end, next)| end <= next), "{parts:?} in {}", plan.bytes);
            assert!(channel_offsets(plan).all(|at| at.is_multiple_of(PAGE)));
        }
    }

    #[test]
    fn each_sink_has_a_staging_area_of_its_own() {
        ensure().expect("there is room");
        // SAFETY: there is no writer in this program, and each area is asked for once.
        let areas: Vec<&[u8]> = (0..MAX_SINKS).map(|sink| unsafe { &*staging(sink) }).collect();
        let ends = areas.iter().map(|area| area.as_ptr_range().end);
        assert!(ends.zip(areas.iter().skip(1)).all(|(end, next)| end <= next.as_ptr()));
        let header = header().expect("there is a region");
        let end = core::ptr::from_ref(header).addr() + header.lanes as usize;
        assert!(areas.last().is_some_and(|last| last.as_ptr_range().end.addr() <= end));
    }
}
