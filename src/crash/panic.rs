//! A panic hook that gets the records out: a panic may be the process's last act (`panic = "abort"`, a panic in a
//! `drop` during another one, a hook that aborts).
//!
//! What the panicking thread holds back (`Builder::backtrace`) is written, as far as there is room. It flushes, calls the hook
//! that was there before, and flushes again: that hook may end the process, or log. Both together wait at most 500 ms.
//!
//! Decision: it logs nothing itself. What a panic's line looks like is the program's choice.
#![forbid(unsafe_code)]

use std::sync::Once;

use crate::channel::channels;
use crate::{futex, gate, thread, tickets};

/// Puts the hook in, once per process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let deadline = futex::deadline(super::patience());
            let flush = || {
                // On the writer's thread there is nobody to wait for.
                if gate::state().is_open()
                    && !thread::is_writer()
                    && let Some(left) = futex::remaining(deadline)
                {
                    // Whatever is not written by then, the panic goes on.
                    let _ = tickets::flush(left, false);
                }
            };
            if gate::state().is_open() {
                channels().for_each(|channel| channel.write_held(0, false));
            }
            flush();
            before(info);
            flush();
        }));
    });
}
