//! The one piece of memory that everything which outlives a call lies in: lanes, staging, statistics.
//!
//! ```text
//! | RegionHeader: magic, sizes, Totals | staging, one part per sink | channel 0: lane 0, lane 1, ...,
//! | shared lane, scratch pool | channel 1: ...
//! ```
//!
//! `repr(C)`, no pointers, all bytes zero is the empty state: an anonymous mapping, reserved and not
//! touched until it is used. It is laid out once per process (a forked child lays out its own) and never
//! unmapped, since threads keep addresses within it.

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::channel::channels;
use crate::futex::Lock;
use crate::stats::Totals;

/// Bytes of a sink's staging area: a batch and the longest line.
pub(crate) const STAGING_BYTES: usize = 1 << 20;
/// The most sinks that a backend can have.
pub(crate) const MAX_SINKS: usize = 8;

const PAGE: usize = 4096;

/// The start of the region.
#[repr(C, align(128))]
pub(crate) struct RegionHeader {
    magic: [u8; 8],
    version: u32,
    pid: u32,
    bytes: u64,
    staging_offset: u64,
    lanes_offset: u64,
    totals: Totals,
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
        let start = header.cast::<u8>().add((*header).staging_offset as usize + sink * STAGING_BYTES);
        core::slice::from_raw_parts_mut(start, STAGING_BYTES)
    }
}

/// Whether there is a region.
pub(crate) fn exists() -> bool {
    !REGION.load(Ordering::Acquire).is_null()
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
    let staging_offset = size_of::<RegionHeader>().next_multiple_of(PAGE);
    let lanes_offset = staging_offset + MAX_SINKS * STAGING_BYTES;
    let lanes: usize = channels().map(|channel| channel.bytes().next_multiple_of(PAGE)).sum();
    let bytes = lanes_offset + lanes;
    let base = map(bytes)?;
    let header = base.cast::<RegionHeader>();
    // SAFETY: the mapping is zeroed, page-aligned, large enough and nobody else's yet; zero bytes
    // are valid `Totals`.
    unsafe {
        (*header).magic = *b"KAKASHI\0";
        (*header).version = 1;
        (*header).pid = std::process::id();
        (*header).bytes = bytes as u64;
        (*header).staging_offset = staging_offset as u64;
        (*header).lanes_offset = lanes_offset as u64;
    }
    let mut offset = lanes_offset;
    for channel in channels() {
        // SAFETY: each channel gets a part of its own, of the size it asked for, page-aligned.
        unsafe { channel.place(base.add(offset)) };
        offset += channel.bytes().next_multiple_of(PAGE);
    }
    REGION.store(header, Ordering::Release);
    Ok(())
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
fn map(bytes: usize) -> std::io::Result<*mut u8> {
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
