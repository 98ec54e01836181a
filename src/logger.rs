//! Named loggers: an index into a table of static size, interned without allocation.

use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};

use crate::callsite::{self, DEFAULT_LEVEL};
use crate::futex::Lock;
use crate::level::{Level, LevelFilter};

/// Entries of the table: two less is how many different names there can be; later ones share `other`.
pub const MAX_LOGGERS: usize = 1024;

/// No level of its own: the global one counts.
const INHERIT: u8 = u8::MAX;

struct Entry {
    name: AtomicPtr<u8>,
    len: AtomicUsize,
    level: AtomicU8,
}

static TABLE: [Entry; MAX_LOGGERS] = [const {
    Entry {
        name: AtomicPtr::new(core::ptr::null_mut()),
        len: AtomicUsize::new(0),
        level: AtomicU8::new(INHERIT),
    }
}; MAX_LOGGERS];

static GLOBAL: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL as u8);

/// Bytes of a name that another process can read; of a longer one, the rest is cut.
const SHOWN_BYTES: usize = 120;

/// The names of the loggers where another process can read them, by index.
#[repr(C)]
pub(crate) struct ShownNames([ShownName; MAX_LOGGERS]);

#[repr(C)]
struct ShownName {
    /// The length; 0 of a logger that there is not, or whose name is empty.
    len: AtomicU64,
    text: [AtomicU64; SHOWN_BYTES / 8],
}

static SHOWN: AtomicPtr<ShownNames> = AtomicPtr::new(core::ptr::null_mut());

/// Lets the names stand in `shown`, too, from now on.
pub(crate) fn show(shown: &'static ShownNames) {
    SHOWN.store(core::ptr::from_ref(shown).cast_mut(), Ordering::Release);
    // A name interned meanwhile is stored by its own thread, by this one, or by both: the same bytes.
    fence(Ordering::SeqCst);
    (1..MAX_LOGGERS).filter_map(|at| Some((at, name(at as u16)?))).for_each(|(at, name)| shown.put(at, name));
}

impl ShownNames {
    /// Bytes from one name to the next; and of a name, from its length to its text.
    pub(crate) const STRIDE: usize = size_of::<ShownName>();
    pub(crate) const TEXT: usize = core::mem::offset_of!(ShownName, text);

    fn put(&self, at: usize, name: &str) {
        let Some(shown) = self.0.get(at) else { return };
        let len = name.floor_char_boundary(SHOWN_BYTES);
        for (to, part) in shown.text.iter().zip(name.as_bytes()[..len].chunks(8)) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            to.store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
        shown.len.store(len as u64, Ordering::Release);
    }
}

/// A named logger: four bytes, `Copy`. Its name stands in each of its records.
///
/// ```
/// let orders = kakashi::get_async_logger("orders");
/// kakashi::info!(orders, "filled {}", 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Logger {
    index: u32,
}

/// The logger of that name, the same for the same name. Allocates nothing, and never fails: from the
/// 1023rd different name on, all further names share one logger called `other`.
pub fn get_async_logger(name: &'static str) -> Logger {
    // FNV-1a; entry 0 is "no logger", the last one is `other`.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    const USABLE: usize = MAX_LOGGERS - 2;
    for step in 0..USABLE {
        let index = 1 + (hash as usize).wrapping_add(step) % USABLE;
        let entry = &TABLE[index];
        let wanted = name.as_ptr().cast_mut();
        // AcqRel: publishes to, and sees from, the threads that intern the same name.
        match entry.name.compare_exchange(core::ptr::null_mut(), wanted, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {
                // Length plus one, so that 0 means "not written yet".
                entry.len.store(name.len() + 1, Ordering::Release);
                fence(Ordering::SeqCst);
                // SAFETY: `show` was given a reference for the life of the program.
                if let Some(shown) = unsafe { SHOWN.load(Ordering::Acquire).as_ref() } {
                    shown.put(index, name);
                }
                return Logger { index: index as u32 };
            }
            Err(_) if name_of(index) == name => return Logger { index: index as u32 },
            Err(_) => {}
        }
    }
    Logger { index: MAX_LOGGERS as u32 - 1 }
}

fn name_of(index: usize) -> &'static str {
    let entry = &TABLE[index];
    let name = entry.name.load(Ordering::Acquire);
    if name.is_null() {
        return "";
    }
    let mut len = entry.len.load(Ordering::Acquire);
    while len == 0 {
        // The one who interned it is between its two stores.
        core::hint::spin_loop();
        len = entry.len.load(Ordering::Acquire);
    }
    // SAFETY: pointer and length are those of one `&'static str`, stored in this order once.
    unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(name, len - 1)) }
}

/// The name that a record's logger index stands for; `None` for index 0 and indices out of range.
pub(crate) fn name(index: u16) -> Option<&'static str> {
    match index as usize {
        0 => None,
        index if index == MAX_LOGGERS - 1 => Some("other"),
        index if index < MAX_LOGGERS => Some(name_of(index)),
        _ => None,
    }
}

impl Logger {
    /// The name it was made with.
    pub fn name(self) -> &'static str {
        name(self.index as u16).unwrap_or("")
    }

    #[inline(always)]
    pub(crate) fn index(self) -> u16 {
        self.index as u16
    }

    /// Gives this logger a level of its own, which counts instead of the global one from its next
    /// call on.
    pub fn set_level(self, level: LevelFilter) {
        TABLE[self.index as usize].level.store(level as u8, Ordering::Relaxed);
        apply();
    }

    /// Whether a record of `level` through this logger would be written.
    #[inline(always)]
    pub fn is_enabled(self, level: Level) -> bool {
        self.wants_own(level).unwrap_or_else(|| level_enabled(level))
    }

    /// Whether the logger's own level lets records of `level` pass, if it has one.
    #[inline(always)]
    pub(crate) fn wants_own(self, level: Level) -> Option<bool> {
        // The remainder changes no index, and leaves no bounds check on a hot path.
        let own = TABLE[self.index as usize % MAX_LOGGERS].level.load(Ordering::Relaxed);
        (own != INHERIT).then_some(level as u8 <= own)
    }
}

/// Sets the global level: which records are written, from each thread's next call on. Loggers with a
/// level of their own are not concerned.
///
/// ```
/// kakashi::set_level(kakashi::LevelFilter::Debug);
/// assert!(kakashi::enabled!(kakashi::Level::Debug));
/// ```
pub fn set_level(level: LevelFilter) {
    GLOBAL.store(level as u8, Ordering::Relaxed);
    apply();
}

/// Whether the global level lets records of `level` pass.
#[inline(always)]
pub(crate) fn level_enabled(level: Level) -> bool {
    level as u8 <= GLOBAL.load(Ordering::Relaxed)
}

fn apply() {
    // Two at a time could leave the switches to the one that read the older level.
    static APPLYING: Lock<()> = Lock::new(());
    let _held = APPLYING.lock();
    let most = TABLE
        .iter()
        .map(|entry| entry.level.load(Ordering::Relaxed))
        .filter(|&level| level != INHERIT)
        .max()
        .unwrap_or(0);
    callsite::apply_levels(LevelFilter::from_u8(GLOBAL.load(Ordering::Relaxed)), LevelFilter::from_u8(most));
}

#[cfg(all(test, not(kakashi_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_logger() {
        let name: &'static str = Box::leak(String::from("orders").into_boxed_str());
        assert_eq!(get_async_logger("orders"), get_async_logger(name));
        assert_ne!(get_async_logger("orders"), get_async_logger("fills"));
        assert_eq!(get_async_logger("").name(), "");
        assert_eq!(size_of::<Logger>(), 4);
    }
}
