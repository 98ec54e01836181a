//! The cores that this process may use: those of its beginning. What a thread does there that is in no hurry.
//!
//! Decision: they are noted before `main`. What `core_affinity::get_core_ids` says later is the calling
//! thread's own set, and a program of the kind that this logger is for pins its threads first and
//! starts the logger then: the writer would end up on the producer's core.

use core::sync::atomic::{AtomicU64, Ordering};

use core_affinity::CoreId;

const WORDS: usize = size_of::<libc::cpu_set_t>() / 8;

/// The process's `cpu_set_t` as it was before `main`, in words.
static ALLOWED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    let mut words = [0_u64; WORDS];
    // SAFETY: a cpu_set_t is that many words, and zeros are a valid one.
    let known =
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), words.as_mut_ptr().cast()) };
    if known == 0 {
        for (to, word) in ALLOWED.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
    }
    // As early as can be: only the first 32 keys cost a thread no allocation.
    crate::thread::make_key();
}

/// The cores that the process may use, in ascending order.
pub(crate) fn allowed() -> Vec<usize> {
    let mut cores = Vec::new();
    for (at, word) in ALLOWED.iter().enumerate() {
        let word = word.load(Ordering::Relaxed);
        cores.extend((0..64).filter(|bit| word >> bit & 1 != 0).map(|bit| at * 64 + bit));
    }
    cores
}

/// Pins the calling thread to one core, if it can be.
pub(crate) fn pin_to(core: usize) {
    core_affinity::set_for_current(CoreId { id: core });
}

/// Lets the calling thread run on all of them, whatever set it has inherited.
pub(crate) fn unpin() {
    let words = ALLOWED.each_ref().map(|word| word.load(Ordering::Relaxed));
    if words.iter().any(|&word| word != 0) {
        // SAFETY: as in `note`.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), words.as_ptr().cast()) };
    }
}

/// Takes the calling thread out of everybody's way: no signal is handled on it, and others run first.
pub(crate) fn stay_behind() {
    // SAFETY: the set is filled before it is read; nothing else is passed.
    unsafe {
        let mut all = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, core::ptr::null_mut());
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
