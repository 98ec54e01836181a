//! Named loggers: an index into a table of static size, interned without allocation. And what decides which records are
//! wanted: the global level, the filter, and the loggers' own levels.
//!
//! A log call looks at none of these but at what was worked out of them: its statement's switch, and its logger's level
//! in the table. `refresh` works all of it out anew, under a lock, after each change.

use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(any(feature = "log", feature = "tracing"))]
use std::sync::OnceLock;

use crate::callsite::{self, Callsite, DEFAULT_LEVEL, Levels, ON};
use crate::clock;
use crate::filter::Filter;
use crate::futex::Lock;
use crate::level::{Level, LevelFilter};

/// Entries of the table: two less is how many different names there can be; later ones share `other`.
pub const MAX_LOGGERS: usize = 1024;

/// No level of its own: the global one counts.
const INHERIT: u8 = u8::MAX;

struct Entry {
    name: AtomicPtr<u8>,
    len: AtomicUsize,
    /// What a call looks at: `rule`, or more where records have to be looked at that it keeps out.
    level: AtomicU8,
    /// What counts: its own level, else that of the directive that names it, else `INHERIT`.
    rule: AtomicU8,
    /// What `Logger::set_level` has set since the last filter that names it.
    own: AtomicU8,
}

static TABLE: [Entry; MAX_LOGGERS] = [const {
    Entry {
        name: AtomicPtr::new(core::ptr::null_mut()),
        len: AtomicUsize::new(0),
        level: AtomicU8::new(INHERIT),
        rule: AtomicU8::new(INHERIT),
        own: AtomicU8::new(INHERIT),
    }
}; MAX_LOGGERS];

/// The level of what no directive names.
static GLOBAL: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL as u8);
/// The most that the global level or any directive lets pass, or that is held back.
static MOST: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL as u8);

/// What is held back, and how many records of a thread; what directives with fields may let pass.
static HELD: AtomicU8 = AtomicU8::new(LevelFilter::Off as u8);
static HELD_RECORDS: AtomicUsize = AtomicUsize::new(0);
static ASKS: AtomicU8 = AtomicU8::new(LevelFilter::Off as u8);

/// The filter in force, if one was set. It is read without a lock, at any time: so none that was ever set is freed.
static FILTER: AtomicPtr<Filter> = AtomicPtr::new(core::ptr::null_mut());

/// Every different filter that was set. Held while what calls look at is worked out: two at a time could leave it to the
/// one that read the older levels.
static FILTERS: Lock<Vec<&'static Filter>> = Lock::new(Vec::new());

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
                let filter = FILTER.load(Ordering::Acquire);
                // Nobody has this logger yet, so that it has no level of its own.
                entry.set(level_by(filter_at(filter), name));
                // Length plus one, so that 0 means "not written yet".
                entry.len.store(name.len() + 1, Ordering::Release);
                fence(Ordering::SeqCst);
                // SAFETY: `show` was given a reference for the life of the program.
                if let Some(shown) = unsafe { SHOWN.load(Ordering::Acquire).as_ref() } {
                    shown.put(index, name);
                }
                // One that was set meanwhile may have passed over the entry, whose length was not there yet: it stores
                // the filter first, and has a fence before it looks at the entries.
                if FILTER.load(Ordering::Relaxed) != filter {
                    refresh(&mut FILTERS.lock());
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

impl Entry {
    fn set(&self, rule: u8) {
        self.rule.store(rule, Ordering::Relaxed);
        let (held, asks) = (load(&HELD), load(&ASKS));
        let level = match rule {
            _ if held.max(asks) == LevelFilter::Off => rule,
            // By its statement: so whatever any statement lets pass has to be looked at.
            INHERIT => MOST.load(Ordering::Relaxed),
            rule => {
                let held = if rule == LevelFilter::Off as u8 { rule } else { held as u8 };
                rule.max(held).max(asks as u8)
            }
        };
        self.level.store(level, Ordering::Relaxed);
    }
}

fn load(level: &AtomicU8) -> LevelFilter {
    LevelFilter::from_u8(level.load(Ordering::Relaxed))
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

    /// Gives this logger a level of its own, which counts instead of the global one and of the filter's from its next
    /// call on, until a [`set_filter`] names it.
    pub fn set_level(self, level: LevelFilter) {
        change(|_| TABLE[self.index as usize].own.store(level as u8, Ordering::Relaxed));
    }

    /// Whether a record of `level` through this logger would be written. Of one without a level of its own, which no
    /// directive of the filter names, `true` says that one of some module would be.
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

/// Sets the global level: which records are written, from each thread's next call on. Loggers with a level of their own
/// and what the [filter](set_filter) names are not concerned.
///
/// ```
/// kakashi::set_level(kakashi::LevelFilter::Debug);
/// assert!(kakashi::enabled!(kakashi::Level::Debug));
/// ```
pub fn set_level(level: LevelFilter) {
    change(|_| GLOBAL.store(level as u8, Ordering::Relaxed));
}

/// Sets which records are written, by level and target, from each thread's next call on, in place of the filter before.
///
/// A bare level becomes the global one; without, that one stays. Loggers that the filter names lose the level that
/// [`Logger::set_level`] gave them. What is set after it, by [`set_level`] or [`Logger::set_level`], counts.
///
/// Each *different* filter that a program sets takes some bytes until it ends.
///
/// ```
/// use kakashi::LevelFilter;
///
/// kakashi::set_filter("warn,orders=debug".parse()?);
/// assert!(kakashi::get_async_logger("orders").is_enabled(kakashi::Level::Debug));
/// kakashi::set_filter(LevelFilter::Info.into()); // nothing but a level
/// # Ok::<(), kakashi::FilterError>(())
/// ```
pub fn set_filter(filter: Filter) {
    change(|filters| {
        let filter = match filters.iter().find(|&&known| *known == filter) {
            Some(&known) => known,
            None => {
                let kept: &'static Filter = Box::leak(Box::new(filter));
                filters.push(kept);
                kept
            }
        };
        if let Some(level) = filter.rest() {
            GLOBAL.store(level as u8, Ordering::Relaxed);
        }
        for (entry, name) in named() {
            if filter.level_of(name).is_some() {
                entry.own.store(INHERIT, Ordering::Relaxed);
            }
        }
        // Release: publishes it, to those who read it without the lock.
        FILTER.store(core::ptr::from_ref(filter).cast_mut(), Ordering::Release);
        fence(Ordering::SeqCst);
    });
}

/// Holds back records that are not logged otherwise: of each thread and channel the last `records` ones, of `level` or
/// more severe. They are written, with the time at which they were made, in front of the next record of
/// [`Level::Error`] that the thread logs; if it logs none, never. Counts from each thread's next call on, in place of what
/// was set before; 0 records, or [`LevelFilter::Off`], hold back none.
///
/// See [`Builder::backtrace`](crate::Builder::backtrace).
pub fn set_backtrace(level: LevelFilter, records: usize) {
    change(|_| {
        HELD.store(if records == 0 { LevelFilter::Off } else { level } as u8, Ordering::Relaxed);
        HELD_RECORDS.store(records, Ordering::Relaxed);
    });
}

/// How many records of a thread and channel are held back.
pub(crate) fn held_records() -> usize {
    HELD_RECORDS.load(Ordering::Relaxed)
}

/// Whether there are records that must be looked at before it is known whether they are wanted.
pub(crate) fn is_watched() -> bool {
    load(&HELD).max(load(&ASKS)) != LevelFilter::Off
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Written,
    HeldBack,
    Dropped,
    /// It is written if a directive with fields says so, else held back or not.
    Asked {
        held: bool,
    },
}

/// The fate of a record of that level, given whether its logger or module lets it pass and whether that one is off.
fn fate(level: Level, passes: bool, is_off: bool) -> Fate {
    let held = !is_off && load(&HELD).allows(level);
    match (passes, load(&ASKS).allows(level)) {
        (true, _) => Fate::Written,
        (false, true) => Fate::Asked { held },
        (false, false) if held => Fate::HeldBack,
        (false, false) => Fate::Dropped,
    }
}

/// Bits of a logger's index that say the fate of a facade's record: its target is known to the facade only.
const HELD_BACK: u16 = 1 << 15;
const ASKED: u16 = 1 << 14;
/// Where these bits are not.
pub(crate) const INDEX: u16 = !(HELD_BACK | ASKED);

impl Fate {
    /// In place of a logger's index. Of those that are not known yet.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn bits(self) -> u16 {
        match self {
            Fate::HeldBack => HELD_BACK,
            Fate::Asked { held } => ASKED | if held { HELD_BACK } else { 0 },
            Fate::Written | Fate::Dropped => 0,
        }
    }
}

/// The fate of a record of a statement, through the logger of that index, or with those bits.
pub(crate) fn fate_of(callsite: &Callsite, logger: u16) -> Fate {
    match (logger & ASKED != 0, logger & HELD_BACK != 0) {
        (true, held) => return Fate::Asked { held },
        (false, true) => return Fate::HeldBack,
        (false, false) => {}
    }
    let entry = &TABLE[logger as usize % MAX_LOGGERS];
    let rule = if logger == 0 { INHERIT } else { entry.rule.load(Ordering::Relaxed) };
    if rule != INHERIT {
        let rule = LevelFilter::from_u8(rule);
        return fate(callsite.level(), rule.allows(callsite.level()), rule == LevelFilter::Off);
    }
    let switch = callsite.switch();
    match (switch & callsite::ASKS != 0, switch & callsite::HELD != 0) {
        (true, held) => Fate::Asked { held },
        (false, true) => Fate::HeldBack,
        (false, false) if switch & ON != 0 => Fate::Written,
        (false, false) => Fate::Dropped,
    }
}

/// Whether a directive with fields lets a record pass.
pub(crate) fn lets_pass(level: Level, targets: &[&str], has: impl Fn(&str, Option<&str>) -> bool) -> bool {
    let directives = filter_at(FILTER.load(Ordering::Acquire)).map_or(&[][..], Filter::by_fields);
    directives.iter().any(|directive| directive.lets_pass(level, targets, &has))
}

/// Whether the global level, or some directive, lets records of `level` pass.
#[inline(always)]
pub(crate) fn level_enabled(level: Level) -> bool {
    level as u8 <= MOST.load(Ordering::Relaxed)
}

/// The fate of a record of that level and target, which is not known before the call.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn fate_by_target(level: Level, target: &str) -> Fate {
    if !level_enabled(level) {
        return Fate::Dropped;
    }
    let filter = filter_at(FILTER.load(Ordering::Acquire));
    let limit = filter.and_then(|filter| filter.level_of(target)).unwrap_or_else(global);
    fate(level, limit.allows(level), limit == LevelFilter::Off)
}

fn global() -> LevelFilter {
    LevelFilter::from_u8(GLOBAL.load(Ordering::Relaxed))
}

fn filter_at(filter: *const Filter) -> Option<&'static Filter> {
    // SAFETY: what `FILTER` ever held is null, or was leaked.
    unsafe { filter.as_ref() }
}

/// The level of a logger that has none of its own.
fn level_by(filter: Option<&Filter>, name: &str) -> u8 {
    filter.and_then(|filter| filter.level_of(name)).map_or(INHERIT, |level| level as u8)
}

/// The loggers that there are, but for those whose thread is between its two stores.
fn named() -> impl Iterator<Item = (&'static Entry, &'static str)> {
    let known = |at: &usize| *at == MAX_LOGGERS - 1 || TABLE[*at].len.load(Ordering::Acquire) != 0;
    (1..MAX_LOGGERS).filter(known).filter_map(|at| Some((&TABLE[at], name(at as u16)?)))
}

fn change(change: impl FnOnce(&mut Vec<&'static Filter>)) {
    let mut filters = FILTERS.lock();
    change(&mut filters);
    refresh(&mut filters);
    drop(filters);
    #[cfg(feature = "tracing")]
    if let Some(told) = TOLD.get() {
        told();
    }
}

/// Works out what calls look at, with `FILTERS` held.
fn refresh(_: &mut Vec<&'static Filter>) {
    let filter = filter_at(FILTER.load(Ordering::Relaxed));
    let most_named = filter.map_or(LevelFilter::Off, Filter::most);
    let asks = filter.map_or(LevelFilter::Off, Filter::most_by_fields);
    let (global, held) = (global(), load(&HELD));
    let most = global.max(most_named).max(held).max(asks);
    ASKS.store(asks as u8, Ordering::Relaxed);
    MOST.store(most as u8, Ordering::Relaxed);
    // Before any switch says that there is something to look at, and behind the last one that says so.
    if is_watched() {
        clock::divert(true);
    }
    let mut loggers = most_named;
    for (entry, name) in named() {
        let own = entry.own.load(Ordering::Relaxed);
        entry.set(if own != INHERIT { own } else { level_by(filter, name) });
        let level = entry.level.load(Ordering::Relaxed);
        if level != INHERIT {
            loggers = loggers.max(LevelFilter::from_u8(level));
        }
    }
    let level_of = |module: &str| filter.and_then(|filter| filter.level_of(module)).unwrap_or(global);
    callsite::apply_levels(level_of, Levels { loggers, most, held, asks });
    if !is_watched() {
        // A call that has seen its switch before, and comes only now, is written: one too many, and none too few.
        clock::divert(false);
    }
    #[cfg(feature = "log")]
    if let Some(follow) = FOLLOWS.get() {
        follow(most);
    }
}

/// What has to know the most that is wanted; called with a lock held.
#[cfg(feature = "log")]
static FOLLOWS: OnceLock<fn(LevelFilter)> = OnceLock::new();

/// Tells `follow` the most that is wanted, now and after each change. It changes no level.
#[cfg(feature = "log")]
pub(crate) fn follow(follow: fn(LevelFilter)) {
    let _held = FILTERS.lock();
    let follow = FOLLOWS.get_or_init(|| follow);
    follow(LevelFilter::from_u8(MOST.load(Ordering::Relaxed)));
}

/// What is told of each change behind it, with no lock held.
#[cfg(feature = "tracing")]
static TOLD: OnceLock<fn()> = OnceLock::new();

/// Calls `told` after each change.
#[cfg(feature = "tracing")]
pub(crate) fn tell(told: fn()) {
    let _ = TOLD.set(told);
}

/// The most that the global level or any directive lets pass.
#[cfg(feature = "tracing")]
pub(crate) fn most() -> LevelFilter {
    LevelFilter::from_u8(MOST.load(Ordering::Relaxed))
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
