//! What a crash handler goes by that takes the consumer side over: whose that is (`ownership.rs`), the writer's thread, and
//! the sinks' descriptors and staging.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use crate::format::{Format, Look};
use crate::futex;
use crate::journal::MAX_SINKS;
use crate::level::{Level, LevelFilter};
use crate::ownership::{ABSENT, MOVING, OWN, Ownership, TAKEN, WRITING};
use crate::sink::{SinkFilter, SinkOptions};
use crate::zone::Zone;

pub(crate) use crate::ownership::Taken;

static OWNERSHIP: Ownership = Ownership::new();

fn pass(from: u32, to: u32) {
    if !OWNERSHIP.pass(from, to) {
        stop_for_ever();
    }
}

#[cold]
fn stop_for_ever() -> ! {
    loop {
        futex::wait(OWNERSHIP.word(), TAKEN, None);
    }
}

/// See [`Ownership::begin`].
pub(crate) fn begin() {
    OWNERSHIP.begin();
}

/// The writer leaves.
pub(crate) fn end() {
    pass(OWN, ABSENT);
}

/// What was rendered is noted, and slots are given back until [`moved`].
pub(super) fn moving() {
    pass(OWN, MOVING);
}

pub(super) fn moved() {
    for sink in &SINKS {
        sink.settle();
    }
    pass(MOVING, OWN);
}

pub(super) fn writing() {
    pass(OWN, WRITING);
}

pub(super) fn wrote() {
    pass(WRITING, OWN);
}

/// Whether a handler has taken over.
pub(crate) fn is_taken() -> bool {
    OWNERSHIP.get() == TAKEN
}

/// The writer panicked, by a mistake of our own, or its thread could not be made: nobody works any more.
pub(crate) fn abandon() {
    OWNERSHIP.abandon();
}

/// See [`Ownership::take_over`].
pub(crate) fn take_over() -> Option<Taken> {
    OWNERSHIP.take_over()
}

/// See [`Ownership::give_back`].
pub(crate) fn give_back(taken: Taken) {
    OWNERSHIP.give_back(taken);
}

/// The writer's thread id.
static WRITER: AtomicU32 = AtomicU32::new(0);

/// The writer runs, on the calling thread.
pub(super) fn runs_on(tid: u32) {
    WRITER.store(tid, Ordering::Relaxed);
}

/// Whether a writer is there to be asked by the thread `tid`. Not by a thread-local: the first touch of one in a dynamic
/// library may allocate.
pub(crate) fn can_answer(tid: u32) -> bool {
    !matches!(OWNERSHIP.get(), ABSENT | TAKEN) && WRITER.load(Ordering::Relaxed) != tid
}

/// In a forked child: the parent's writer is not there.
pub(crate) fn forget() {
    for sink in &SINKS {
        sink.stage(0);
    }
    WRITER.store(0, Ordering::Relaxed);
    OWNERSHIP.forget();
}

/// A sink, as a handler needs to know it. The writer's alone until the word is taken, hence Relaxed.
pub(super) struct Noted {
    /// -1: none that a handler could write to.
    descriptor: AtomicI32,
    level: AtomicU8,
    /// A `SinkFilter` as a number.
    filter: AtomicU32,
    /// A `Format` as a number.
    format: AtomicU32,
    /// A `Zone` as a number.
    zone: AtomicU32,
    staging: AtomicPtr<u8>,
    staged: AtomicUsize,
    taken: AtomicUsize,
    /// What `staged` and `taken` are from `MOVING` on.
    next: [AtomicUsize; 2],
}

pub(super) static SINKS: [Noted; MAX_SINKS] = [const {
    Noted {
        descriptor: AtomicI32::new(-1),
        level: AtomicU8::new(0),
        filter: AtomicU32::new(0),
        format: AtomicU32::new(0),
        zone: AtomicU32::new(0),
        staging: AtomicPtr::new(core::ptr::null_mut()),
        staged: AtomicUsize::new(0),
        taken: AtomicUsize::new(0),
        next: [const { AtomicUsize::new(0) }; 2],
    }
}; MAX_SINKS];

impl Noted {
    /// A sink begins, with nothing staged.
    pub(super) fn open(&self, descriptor: Option<i32>, options: SinkOptions, staging: &mut [u8]) {
        self.stage(0);
        self.staging.store(staging.as_mut_ptr(), Ordering::Relaxed);
        self.level.store(options.level as u8, Ordering::Relaxed);
        self.filter.store(options.filter.number(), Ordering::Relaxed);
        self.format.store(options.format.word(), Ordering::Relaxed);
        self.zone.store(options.zone.number(), Ordering::Relaxed);
        self.descriptor.store(descriptor.unwrap_or(-1), Ordering::Release);
    }

    /// It is not used any more.
    pub(super) fn close(&self) {
        self.descriptor.store(-1, Ordering::Release);
        self.stage(0);
    }

    /// Its staging holds `staged` bytes, none of them taken. In between, it is empty.
    pub(super) fn stage(&self, staged: usize) {
        self.staged.store(0, Ordering::Release);
        self.taken.store(0, Ordering::Release);
        self.staged.store(staged, Ordering::Release);
        self.prepare(staged, 0);
    }

    /// The sink has taken that much.
    pub(super) fn took(&self, taken: usize) {
        self.taken.store(taken, Ordering::Release);
    }

    /// What its staging holds from `MOVING` on.
    pub(super) fn prepare(&self, staged: usize, taken: usize) {
        self.next[0].store(staged, Ordering::Relaxed);
        self.next[1].store(taken, Ordering::Relaxed);
    }

    fn settle(&self) {
        self.staged.store(self.next[0].load(Ordering::Relaxed), Ordering::Relaxed);
        self.taken.store(self.next[1].load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The handler's: where to write, if it can.
    pub(super) fn descriptor(&self) -> Option<i32> {
        Some(self.descriptor.load(Ordering::Acquire)).filter(|&descriptor| descriptor >= 0)
    }

    pub(super) fn wants(&self, level: Level, target: &str) -> bool {
        LevelFilter::from_u8(self.level.load(Ordering::Relaxed)).allows(level)
            && SinkFilter::of_number(self.filter.load(Ordering::Relaxed)).passes(level, || target)
    }

    pub(super) fn look(&self) -> Look {
        let load = |word: &AtomicU32| word.load(Ordering::Relaxed);
        Look { format: Format::of_word(load(&self.format)), zone: Zone::of_number(load(&self.zone)) }
    }

    /// The handler's: the staged bytes that were not taken, by where they begin and how many they are.
    pub(super) fn rest(&self, taken: Taken) -> (*const u8, usize) {
        let load = |word: &AtomicUsize| word.load(Ordering::Relaxed);
        let (staged, done) = match taken.moving {
            true => (load(&self.next[0]), load(&self.next[1])),
            false => (load(&self.staged), load(&self.taken)),
        };
        let start = self.staging.load(Ordering::Relaxed).cast_const();
        (start.wrapping_add(done), if start.is_null() { 0 } else { staged.saturating_sub(done) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_counts_when_slots_are_given_back() {
        let mut staging = [0; 64];
        let sink = &SINKS[MAX_SINKS - 1];
        let options =
            SinkOptions::default().level(LevelFilter::Warn).format(Format::Json).zone(Zone::noted(&[60]));
        let options = options.filter("net=off".parse().expect("it is a filter"));
        sink.open(Some(1), options, &mut staging);
        let rest = |moving| sink.rest(Taken { moving, writer: true });
        let from = |at: usize, len| (staging.as_ptr().wrapping_add(at), len);
        assert_eq!(rest(false).1, 0);
        sink.prepare(40, 0);
        assert_eq!((rest(false).1, rest(true)), (0, from(0, 40)));
        sink.settle();
        sink.took(15);
        assert_eq!(rest(false), from(15, 25));
        sink.took(40);
        assert_eq!(rest(false).1, 0);
        // The logger's own lines, staged later than what was noted.
        sink.took(50);
        assert_eq!(rest(false).1, 0);
        assert!(
            sink.wants(Level::Error, "a")
                && !sink.wants(Level::Info, "a")
                && !sink.wants(Level::Error, "net")
                && sink.look() == options.look()
        );
        sink.close();
        assert_eq!(sink.descriptor(), None);
    }
}
