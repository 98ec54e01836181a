//! Callsites: the static description of each macro call, known before the first call.
//!
//! Every macro call puts one [`Callsite`] into a section of the program of which the linker knows start
//! and end, so that none is ever registered, and a record names its callsite by the offset in the
//! section: an index that any process with the same program understands.
//!
//! Decision: the section is laid out here rather than by the `linkme` crate, whose way this is: it would
//! bring six crates and a second procedural macro into every log call's expansion; on Linux, the only
//! system that is supported, it comes down to the two linker-made symbols below.

use core::cell::UnsafeCell;
use core::mem::size_of;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::level::{Level, LevelFilter};

/// A part of a message template.
#[doc(hidden)]
#[derive(Debug)]
pub enum Piece<'a> {
    /// Text as it stands.
    Literal(&'a str),
    /// The record's value of that index.
    Value(u8),
}

/// A `key = value` of a macro call.
#[doc(hidden)]
#[derive(Debug)]
pub struct Field<'a> {
    pub name: &'a str,
    /// The index of the record's value.
    pub value: u8,
    /// Whether the template names it, so that text does not repeat it.
    pub in_message: bool,
}

/// What a statement's lines are made of. A record of another program is rendered by the statements that it has left in
/// its black box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) pieces: &'a [Piece<'a>],
    pub(crate) fields: &'a [Field<'a>],
    /// How many values a record of it has.
    pub(crate) values: usize,
    /// Whether its records say themselves where they come from (`record/foreign.rs`).
    pub(crate) foreign: bool,
}

/// One log statement of this program: what [`callsites`] lists.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Callsite {
    /// Not 0: records of this statement may be wanted. First, for the shortest load.
    switch: AtomicU8,
    level: Level,
    targeted: bool,
    values: u8,
    line: u32,
    file: &'static str,
    module: &'static str,
    template: &'static str,
    pieces: &'static [Piece<'static>],
    fields: &'static [Field<'static>],
    foreign: bool,
}

/// The level from which on statements are on before anything was set.
pub(crate) const DEFAULT_LEVEL: LevelFilter = LevelFilter::Info;

/// Values of a record that comes through a facade (`record/foreign.rs`).
#[cfg(any(feature = "log", feature = "tracing"))]
const FOREIGN_VALUES: u8 = 5;

/// The switch's bit: its module's level lets the statement pass, it was turned on by itself, or one of the two below.
pub(crate) const ON: u8 = 1;
/// The switch's bit: the statement names its target, and some logger's own level lets it pass.
pub(crate) const ON_FOR_SOME: u8 = 2;
/// The switch's bit: its module's level keeps its records out, and they are held back for the thread's next error.
pub(crate) const HELD: u8 = 4;
/// The switch's bit: its module's level keeps its records out, and a directive with fields may let them pass.
pub(crate) const ASKS: u8 = 8;

impl Callsite {
    /// Only the macros call this.
    #[doc(hidden)]
    #[allow(clippy::too_many_arguments)] // one caller, which is generated
    pub const fn new(
        level: Level,
        targeted: bool,
        module: &'static str,
        file: &'static str,
        line: u32,
        template: &'static str,
        pieces: &'static [Piece<'static>],
        fields: &'static [Field<'static>],
        values: u8,
    ) -> Self {
        Callsite {
            switch: AtomicU8::new(if DEFAULT_LEVEL.allows(level) { ON } else { 0 }),
            level,
            targeted,
            values,
            line,
            file,
            module,
            template,
            pieces,
            fields,
            foreign: false,
        }
    }

    /// The statement that stands for all of a facade's records of a level.
    #[cfg(any(feature = "log", feature = "tracing"))]
    const fn foreign(level: Level) -> Self {
        Callsite { foreign: true, ..Callsite::new(level, false, "log", "", 0, "", &[], &[], FOREIGN_VALUES) }
    }

    /// Whether records of this statement may be wanted at this moment. One that names a channel or a logger can be
    /// refused all the same: it counts as enabled when the level of any logger lets it pass.
    pub fn is_enabled(&self) -> bool {
        self.switch() != 0
    }

    /// The switch: 0 when the statement is off.
    #[doc(hidden)]
    #[inline(always)]
    pub fn switch(&self) -> u8 {
        // Relaxed: a switch guards no other memory.
        self.switch.load(Ordering::Relaxed)
    }

    /// Turns this one statement on or off; the next `set_level`, of a logger or of all, or `set_filter` decides anew. A logger with a
    /// level of its own goes by that.
    pub fn set_enabled(&self, enabled: bool) {
        self.switch.store(if enabled { ON } else { 0 }, Ordering::Relaxed);
    }

    /// The statement's level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The module it stands in.
    pub fn module_path(&self) -> &'static str {
        self.module
    }

    /// The source file it stands in, as the compiler was given it.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line it starts at.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The message's template as it was written.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// The names of its `key = value` fields, in order.
    pub fn field_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.fields.iter().map(|field| field.name)
    }

    /// What its lines are made of.
    #[inline]
    pub(crate) fn statement(&self) -> Statement<'static> {
        Statement {
            pieces: self.pieces,
            fields: self.fields,
            values: self.values as usize,
            foreign: self.foreign,
        }
    }

    /// The offset in the section: what stands in a record.
    #[inline(always)]
    pub(crate) fn id(&'static self) -> u32 {
        (core::ptr::from_ref(self).addr() - section().0.addr()) as u32
    }

    /// The statement that a record names, if it names one.
    pub(crate) fn from_id(id: u32) -> Option<&'static Callsite> {
        let all = callsites();
        let at = id as usize / size_of::<Callsite>();
        if (id as usize).is_multiple_of(size_of::<Callsite>()) { all.get(at) } else { None }
    }
}

#[doc(hidden)]
#[repr(transparent)]
pub struct Anchor(UnsafeCell<[Callsite; 0]>);

// SAFETY: it has no bytes.
unsafe impl Sync for Anchor {}

/// Makes the section exist in a program that has no log statement.
#[used]
#[unsafe(link_section = "kakashi_callsites_0_1")]
static ANCHOR: Anchor = Anchor(UnsafeCell::new([]));

unsafe extern "Rust" {
    #[link_name = "__start_kakashi_callsites_0_1"]
    safe static FIRST: Anchor;
    #[link_name = "__stop_kakashi_callsites_0_1"]
    safe static END: Anchor;
}

#[inline(always)]
fn section() -> (*const Callsite, *const Callsite) {
    ((&raw const FIRST).cast(), (&raw const END).cast())
}

/// The statements of records that come through a facade, by level.
#[cfg(any(feature = "log", feature = "tracing"))]
#[unsafe(link_section = "kakashi_callsites_0_1")]
static FOREIGN: [Callsite; 5] = [
    Callsite::foreign(Level::Error),
    Callsite::foreign(Level::Warn),
    Callsite::foreign(Level::Info),
    Callsite::foreign(Level::Debug),
    Callsite::foreign(Level::Trace),
];

/// The statement of a facade's records of that level.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn foreign(level: Level) -> &'static Callsite {
    &FOREIGN[level as usize - 1]
}

/// Every log statement linked into this program (or this dynamic library), in no order. With the feature `log` or
/// `tracing`, five without template are among them: all records of a level that come from there.
///
/// ```
/// kakashi::debug!("an odd statement");
/// let odd = kakashi::callsites().iter().find(|callsite| callsite.template() == "an odd statement");
/// assert_eq!(odd.unwrap().level(), kakashi::Level::Debug);
/// ```
pub fn callsites() -> &'static [Callsite] {
    let (first, end) = section();
    let len = (end.addr() - first.addr()) / size_of::<Callsite>();
    // SAFETY: the linker puts the statics of the section next to each other: all are `Callsite`s,
    // whose size is a multiple of their alignment, and live as long as the program.
    unsafe { core::slice::from_raw_parts(first, len) }
}

/// From which levels on records are logged.
#[derive(Clone, Copy)]
pub(crate) struct Levels {
    /// The most that any logger wants.
    pub(crate) loggers: LevelFilter,
    /// The most that any target wants.
    pub(crate) most: LevelFilter,
    /// What is held back, and what directives with fields may let pass, where a module's level does not.
    pub(crate) held: LevelFilter,
    pub(crate) asks: LevelFilter,
}

/// Sets every statement's switch: by its module's level, and for those that name their target also by that of the loggers.
/// For a facade's records it is the most that any target wants.
pub(crate) fn apply_levels(level_of: impl Fn(&str) -> LevelFilter, levels: Levels) {
    for callsite in callsites() {
        let level = if callsite.foreign { levels.most } else { level_of(callsite.module) };
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        let passes = level.allows(callsite.level);
        let for_some = bit(callsite.targeted && levels.loggers.allows(callsite.level), ON_FOR_SOME);
        let held = bit(!passes && level != LevelFilter::Off && levels.held.allows(callsite.level), HELD);
        let asks = bit(!passes && levels.asks.allows(callsite.level), ASKS);
        let on = bit(passes || held | asks != 0, ON);
        callsite.switch.store(on | for_some | held | asks, Ordering::Relaxed);
    }
}
