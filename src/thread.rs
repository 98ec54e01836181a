//! What a thread knows of itself: its name, whether it is the writer, and that it will end.
//!
//! A lane is given back by a pthread key's destructor. Decision: a `thread_local!` with `Drop` makes
//! glibc allocate when it is first touched; a value under one of the first 32 keys lies in the
//! thread's own block. All destructors of `thread_local!`s run before the key's, so that they log
//! through the thread's own lane.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::channel::channels;
use crate::lane::ThreadId;

struct ThreadInfo {
    id: Cell<ThreadId>,
    is_writer: Cell<bool>,
    /// The key's destructor has run, or is about to.
    ending: Cell<bool>,
    watched: Cell<bool>,
}

thread_local! {
    static THREAD: ThreadInfo = const {
        ThreadInfo {
            id: Cell::new(ThreadId { tid: 0, name: [0; 16] }),
            is_writer: Cell::new(false),
            ending: Cell::new(false),
            watched: Cell::new(false),
        }
    };
}

/// The calling thread, by its id and the name the kernel has for it; two system calls the first time.
///
/// The main thread is called `main`, as Rust calls it, not as the program.
pub(crate) fn current() -> ThreadId {
    THREAD.with(|thread| {
        let mut id = thread.id.get();
        if id.tid == 0 {
            // SAFETY: gettid has no arguments, and PR_GET_NAME writes 16 bytes.
            unsafe {
                id.tid = libc::syscall(libc::SYS_gettid) as u32;
                libc::prctl(libc::PR_GET_NAME, id.name.as_mut_ptr());
            }
            if id.tid == std::process::id() {
                id.name = *b"main\0\0\0\0\0\0\0\0\0\0\0\0";
            }
            id.name[15] = 0;
            thread.id.set(id);
        }
        id
    })
}

/// Reads the thread's name anew: it may have been given one since.
pub(crate) fn refresh() -> ThreadId {
    THREAD.with(|thread| thread.id.set(ThreadId::default()));
    current()
}

pub(crate) fn is_writer() -> bool {
    THREAD.with(|thread| thread.is_writer.get())
}

pub(crate) fn become_writer() {
    THREAD.with(|thread| thread.is_writer.set(true));
}

/// Lets the calling thread count as the writer during `work`: what a sink logs there must not wait for anything.
pub(crate) fn as_writer<R>(work: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.is_writer.set(self.0));
        }
    }
    let _before = Before(is_writer());
    become_writer();
    work()
}

/// Whether the thread's lanes were given back already: it may not have another one.
pub(crate) fn is_ending() -> bool {
    THREAD.with(|thread| thread.ending.get())
}

/// The key plus one; 0 when there is none yet, `NO_KEY` when there can be none.
static KEY: AtomicU32 = AtomicU32::new(0);
const NO_KEY: u32 = u32::MAX;

/// Makes the key, once. Early, so that it is among the first 32.
pub(crate) fn make_key() {
    if KEY.load(Ordering::Acquire) != 0 {
        return;
    }
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: `key` is written to; `give_back` is a function for the life of the program.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(give_back)) } == 0;
    let value = if made { key + 1 } else { NO_KEY };
    if KEY.compare_exchange(0, value, Ordering::AcqRel, Ordering::Acquire).is_err() && made {
        // SAFETY: nobody has used this key.
        unsafe { libc::pthread_key_delete(key) };
    }
}

/// Sees to it that the calling thread's lanes are given back when it ends. False when that cannot
/// be: such a thread may not have a lane.
pub(crate) fn watch() -> bool {
    THREAD.with(|thread| {
        if !thread.watched.get() {
            let key = KEY.load(Ordering::Acquire);
            if key == 0 || key == NO_KEY {
                return false;
            }
            let value = core::ptr::from_ref(thread).cast();
            // SAFETY: the key exists; the value is only compared with null.
            thread.watched.set(unsafe { libc::pthread_setspecific(key - 1, value) } == 0);
        }
        thread.watched.get()
    })
}

unsafe extern "C" fn give_back(_: *mut libc::c_void) {
    THREAD.with(|thread| {
        thread.ending.set(true);
        thread.watched.set(false);
    });
    for channel in channels() {
        channel.release_thread();
    }
}

/// Forgets what the forking thread knew, in the child: it has another id, and no lanes.
pub(crate) fn forget() {
    THREAD.with(|thread| {
        thread.id.set(ThreadId::default());
        thread.is_writer.set(false);
    });
    for channel in channels() {
        channel.reset_thread();
    }
}
