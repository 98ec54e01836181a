//! Whose the consumer side is: the writer's, or a crash handler's that has taken it over.
//!
//! | word | who works | what has still to be written |
//! |---|---|---|
//! | `ABSENT` | nobody: no writer, or it has left | what stands in the rings |
//! | `OWN` | the writer: it looks, merges, renders | noted staging, then the rings from their read positions on |
//! | `MOVING` | the writer: it gives slots back | the *next* staging, then the rings from the lanes' `batch_read` positions on |
//! | `WRITING` | a sink | as in `OWN` |
//! | `TAKEN` | the handler, for ever | |
//!
//! ```text
//! ABSENT <-> OWN <-> WRITING        the writer, by compare-and-swap
//!            OWN <-> MOVING         "
//! any but TAKEN --> TAKEN           the handler, by compare-and-swap
//! ABSENT <-- TAKEN                  ", where there was no writer
//! ```
//!
//! Proof that nothing is lost or written twice. The handler may take the word in any state, since each
//! state tells where records stand: what the writer renders in `OWN` is not noted, and its slots are not given back
//! before `MOVING`, in which what was rendered, and the positions behind it, have been noted, and both are left
//! alone. So a record is in exactly one of both places. The writer's next step is a compare-and-swap that fails: it
//! stops there for ever, before it writes, and before it gives back what the handler may be reading (a release
//! under way gives back only what is below `batch_read`). The exception is a write under way when the word was
//! taken, which nobody can call back: a descriptor that the writer itself hangs in gets that batch once more. Loom
//! checks it (`models/backend.rs`).
//!
//! Decision: no epoch, and no way back from a writer. A process whose handler had to take over is about to die; one that
//! lives on (the program's own handler returned) has no backend any more and drops, counted, as `Failed`.
#![forbid(unsafe_code)]
#![cfg_attr(kakashi_loom, allow(dead_code))] // its models use a part

use crate::sync::{AtomicU32, Ordering};

pub(crate) const ABSENT: u32 = 0;
pub(crate) const OWN: u32 = 1;
pub(crate) const MOVING: u32 = 2;
pub(crate) const WRITING: u32 = 3;
pub(crate) const TAKEN: u32 = 4;

/// The word.
pub(crate) struct Ownership(AtomicU32);

/// What the handler found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Slots were being given back.
    pub(crate) moving: bool,
    /// There was a writer.
    pub(crate) writer: bool,
}

impl Ownership {
    #[cfg(not(kakashi_loom))]
    pub(crate) const fn new() -> Self {
        Ownership(AtomicU32::new(ABSENT))
    }

    #[cfg(kakashi_loom)]
    pub(crate) fn new() -> Self {
        Ownership(AtomicU32::new(ABSENT))
    }

    /// To sleep on.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// A writer begins: called before its thread is made, so that a handler waits for one that has yet to run. When the
    /// word is taken the writer stops at its first step.
    pub(crate) fn begin(&self) {
        let _ = self.0.compare_exchange(ABSENT, OWN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// A step of the writer's. False when the word is taken: it must not go on.
    pub(crate) fn pass(&self, from: u32, to: u32) -> bool {
        // AcqRel: what was noted before is seen by the handler, whose compare-and-swap comes after.
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Nobody works any more.
    pub(crate) fn abandon(&self) {
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word != TAKEN).then_some(ABSENT));
    }

    /// Takes the consumer side over, for ever if there was a writer. `None` when somebody has already.
    /// Async-signal-safe.
    pub(crate) fn take_over(&self) -> Option<Taken> {
        let mut word = self.get();
        loop {
            if word == TAKEN {
                return None;
            }
            match self.0.compare_exchange_weak(word, TAKEN, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Taken { moving: word == MOVING, writer: word != ABSENT }),
                Err(now) => word = now,
            }
        }
    }

    /// Gives it back, where there was no writer that could come back: a child that has not logged yet may live on.
    pub(crate) fn give_back(&self, taken: Taken) {
        if !taken.writer {
            let _ = self.0.compare_exchange(TAKEN, ABSENT, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// In a forked child: the parent's writer is not there.
    pub(crate) fn forget(&self) {
        self.0.store(ABSENT, Ordering::Release);
    }
}
