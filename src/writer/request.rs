//! A crash handler's request to the writer: write what is published by now, say what happened, answer.
//!
//! ```text
//! handler: cause, ASKED + 1, bell, wait until ANSWERED has come there or the time is over
//! writer:  sees ASKED, notes the lanes' positions as for a flush, writes up to there, then the last line;
//!          ANSWERED = what it had seen, wakes
//! ```
//!
//! Atomics and a futex only: the handler may have interrupted anything, also a flush that holds the tickets'
//! lock, for which reason it does not draw a ticket. There is one handler at a time (`crash/mod.rs`).
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::{Outlets, Writer};
use crate::format::Words;
use crate::futex;
use crate::gate;
use crate::lane::ThreadId;
use crate::level::Level;

static ASKED: AtomicU32 = AtomicU32::new(0);
static ANSWERED: AtomicU32 = AtomicU32::new(0);
static SIGNAL: AtomicU32 = AtomicU32::new(0);
static THREAD: AtomicU32 = AtomicU32::new(0);
static NAME: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// What happened.
#[derive(Clone, Copy)]
pub(crate) struct CrashCause {
    pub(crate) signal: i32,
    pub(crate) thread: ThreadId,
}

impl CrashCause {
    fn noted() -> Self {
        let mut name = [0; 16];
        for (bytes, word) in name.as_chunks_mut::<8>().0.iter_mut().zip(&NAME) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        CrashCause {
            signal: SIGNAL.load(Ordering::Relaxed) as i32,
            thread: ThreadId { tid: THREAD.load(Ordering::Relaxed), name },
        }
    }

    /// `SIGSEGV in thread matcher-1 (123): `
    pub(super) fn push(&self, words: &mut Words<'_, '_>) {
        match self.signal {
            libc::SIGSEGV => words.push_str("SIGSEGV"),
            libc::SIGBUS => words.push_str("SIGBUS"),
            libc::SIGILL => words.push_str("SIGILL"),
            libc::SIGFPE => words.push_str("SIGFPE"),
            libc::SIGABRT => words.push_str("SIGABRT"),
            libc::SIGTERM => words.push_str("SIGTERM"),
            libc::SIGINT => words.push_str("SIGINT"),
            other => {
                words.push_str("signal ");
                words.push_u64(other as u64);
            }
        }
        words.push_str(" in thread ");
        words.push_bytes(self.thread.name());
        words.push_str(" (");
        words.push_u64(self.thread.tid.into());
        words.push_str("): ");
    }
}

/// Asks the writer, and waits for its answer for at most `patience`. Async-signal-safe.
pub(crate) fn ask(cause: &CrashCause, patience: Duration) -> bool {
    SIGNAL.store(cause.signal as u32, Ordering::Relaxed);
    THREAD.store(cause.thread.tid, Ordering::Relaxed);
    for (word, bytes) in NAME.iter().zip(cause.thread.name.as_chunks::<8>().0) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
    let mine = ASKED.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
    gate::ring_bell();
    let deadline = futex::deadline(patience);
    loop {
        let answered = ANSWERED.load(Ordering::Acquire);
        if answered == mine {
            return true;
        }
        let Some(left) = futex::remaining(deadline) else { return false };
        futex::wait(&ANSWERED, answered, Some(left));
    }
}

/// The writer's: what was asked and is not answered.
pub(super) fn pending() -> Option<u32> {
    let asked = ASKED.load(Ordering::Acquire);
    (asked != ANSWERED.load(Ordering::Relaxed)).then_some(asked)
}

/// Forgets the parent's, in a forked child.
pub(crate) fn forget() {
    ANSWERED.store(ASKED.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// What the writer has seen of it.
#[derive(Default)]
pub(super) struct Seen {
    request: Option<u32>,
    told: bool,
}

impl Seen {
    /// The lanes' positions of this moment are what the answer stands for.
    pub(super) fn accept(&mut self) {
        *self = Seen { request: pending(), told: false };
    }
}

impl Writer {
    /// Everything up to the accepted request is in the sinks: says so, then answers. True when there is nothing
    /// left to do about it.
    pub(super) fn answer(&mut self, sinks: &mut Outlets) -> bool {
        let Some(request) = self.crash.request else { return true };
        if !self.crash.told {
            self.crash.told = true;
            let cause = CrashCause::noted();
            self.notice(sinks, Level::Error, &|words| {
                cause.push(words);
                words.push_str("every record logged before it is written");
            });
            self.seal(sinks);
            sinks.deliver();
        }
        if !sinks.all_taken() {
            return false;
        }
        self.crash = Seen::default();
        ANSWERED.store(request, Ordering::Release);
        futex::wake_all(&ANSWERED);
        true
    }
}
