//! Whether records are taken, and how the writer is woken: the little that the calling threads'
//! side and the backend both need to know of each other.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::futex;

/// What the backend is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum State {
    /// Nothing was started yet; the first call starts the default backend.
    Idle = 0,
    /// The default backend runs, started by a first call. A `start()` takes over from it.
    AutoStarted = 1,
    /// The backend runs, started by `Builder::start`.
    Running = 2,
    /// A shutdown was asked for and the writer is not gone yet.
    Stopping = 3,
    /// Shut down; calls are dropped and counted as `after_shutdown`.
    Stopped = 4,
    /// The default backend could not be started; calls are dropped and counted as `no_lane`.
    Failed = 5,
}

static STATE: AtomicU32 = AtomicU32::new(State::Idle as u32);

/// Counts what the writer is woken for; it sleeps on it.
static BELL: AtomicU32 = AtomicU32::new(0);

/// What the backend is doing at this moment.
pub fn state() -> State {
    // Acquire pairs with `set_state`: what was set up before (the region, the clock) is seen.
    State::of(STATE.load(Ordering::Acquire))
}

pub(crate) fn set_state(state: State) {
    STATE.store(state as u32, Ordering::Release);
}

/// The process ends and what is queued will not be written.
static ABANDONED: AtomicBool = AtomicBool::new(false);

pub(crate) fn abandon() {
    ABANDONED.store(true, Ordering::Relaxed);
}

/// Whether what is queued counts as dropped at exit.
pub(crate) fn is_abandoned() -> bool {
    ABANDONED.load(Ordering::Relaxed)
}

impl State {
    pub(crate) fn of(word: u32) -> State {
        match word {
            0 => State::Idle,
            1 => State::AutoStarted,
            2 => State::Running,
            3 => State::Stopping,
            4 => State::Stopped,
            _ => State::Failed,
        }
    }

    /// Whether a writer takes records.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, State::AutoStarted | State::Running)
    }
}

/// Wakes the writer. A system call: for those who wait anyway.
pub(crate) fn ring_bell() {
    BELL.fetch_add(1, Ordering::AcqRel);
    futex::wake_all(&BELL);
}

/// The writer's side: what was rung so far. Taken before it looks for work.
pub(crate) fn bell() -> u32 {
    BELL.load(Ordering::Acquire)
}

/// Sleeps until somebody rings after `heard`, or for `timeout`.
pub(crate) fn sleep_until_bell(heard: u32, timeout: Duration) {
    futex::wait(&BELL, heard, Some(timeout));
}
