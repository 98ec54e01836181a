//! What a thread is about: fields that go into every record it logs, until a guard is dropped.
//!
//! A context is text that is ready: entries as those of a facade's fields (`record/foreign.rs`), made once, when it is
//! entered, and copied into each record. A thread without one pays nothing for those that have: entering sets the
//! state of the thread's lanes to `LADEN`, which is not the one that the quick way of a call asks for.
//!
//! Decision: copies in the records, rather than one record in the lane that says what holds from there on: a policy
//! may drop that one, and what a lane's older records said would be gone with them.
#![forbid(unsafe_code)]

use core::cell::RefCell;
use core::fmt;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task;

use arrayvec::ArrayString;

use crate::arg::{Bounded, Text};
use crate::channel::channels;
use crate::fields::{Add, Fields};
use crate::logger::Logger;
use crate::record::foreign::FieldKind;

/// Bytes of a thread's context: names, values, and seven for each field.
const CAPACITY: usize = 1000;
/// How many contexts a thread can be in at a time.
const DEPTH: usize = 32;

/// Enters a context: its fields go into every record that this thread logs, through whatever channel, logger or facade,
/// until the guard it returns is dropped.
///
/// The syntax is that of fields in [`info!`](crate::info!): `key = value`, `key = ?value` for its `Debug`, `key = %value`
/// for its `Display`. The values are written down here, once. In a line they stand behind the record's own fields; of
/// one name, the innermost counts. A field for which there is no room (a thread's contexts have 1000 bytes, with
/// seven for each field) is left out, and the records say in `context_left_out` how many bytes are missing.
///
/// While a context holds, a call takes longer: it copies the text, and does not go the quick way. See the benchmark
/// report. It makes no allocation and no system call.
///
/// ```
/// # let (id, user) = (7, "ann");
/// let _context = kakashi::context!(request_id = id, user.name = user);
/// kakashi::info!("accepted"); // ... accepted request_id=7 user.name=ann
/// ```
///
/// For another thread, or a future, take [`Context::current`] there.
#[macro_export]
macro_rules! context {
    ($($fields:tt)+) => {
        $crate::__context!($crate::Context::new(), $($fields)+).enter()
    };
}

/// Adds the fields one by one: a part of `context!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __context {
    ($context:expr $(,)?) => { $context };
    ($context:expr, $first:ident $(. $more:ident)* = ?$value:expr $(, $($rest:tt)*)?) => {
        $crate::__context!(
            $context.with(concat!(stringify!($first) $(, ".", stringify!($more))*), $crate::__private::DebugOf(&$value))
            $(, $($rest)*)?
        )
    };
    ($context:expr, $first:ident $(. $more:ident)* = %$value:expr $(, $($rest:tt)*)?) => {
        $crate::__context!(
            $context.with(concat!(stringify!($first) $(, ".", stringify!($more))*), $crate::__private::DisplayOf(&$value))
            $(, $($rest)*)?
        )
    };
    ($context:expr, $first:ident $(. $more:ident)* = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__context!(
            $context.with(concat!(stringify!($first) $(, ".", stringify!($more))*), &$value)
            $(, $($rest)*)?
        )
    };
}

/// Fields that records of a thread, or of a logger, have in common. About a kilobyte; nothing on the heap.
#[derive(Clone, Default)]
pub struct Context {
    entries: ArrayString<CAPACITY>,
    /// Bytes for which there was no room.
    left_out: u32,
}

impl Context {
    /// One without fields.
    pub fn new() -> Self {
        Context::default()
    }

    /// The one that the calling thread is in: for another thread to enter, or for a future.
    ///
    /// ```
    /// let _context = kakashi::context!(request_id = 7);
    /// let context = kakashi::Context::current();
    /// std::thread::spawn(move || {
    ///     let _context = context.enter();
    ///     kakashi::info!("on its behalf"); // ... on its behalf request_id=7
    /// }).join().unwrap();
    /// ```
    pub fn current() -> Self {
        THREAD.with(|thread| {
            thread
                .try_borrow()
                .map(|thread| Context { entries: thread.entries, left_out: thread.left_out })
                .unwrap_or_default()
        })
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ContextValue) -> Self {
        value.put(&mut self, name);
        self
    }

    /// Lets the calling thread's records have these fields, too, until the guard is dropped.
    pub fn enter(&self) -> ContextGuard {
        self.enter_as(true)
    }

    fn enter_as(&self, shown: bool) -> ContextGuard {
        let none = ContextGuard { id: 0, left_out: 0, shown: false, thread: PhantomData };
        if self.entries.is_empty() && self.left_out == 0 {
            return none;
        }
        let entered = THREAD.with(|thread| {
            // Borrowed: this is a signal handler that came in between.
            let mut thread = thread.try_borrow_mut().ok()?;
            thread.newest = thread.newest.wrapping_add(1).max(1);
            let id = thread.newest;
            let fits = thread.entries.len() + self.entries.len() <= CAPACITY && thread.depth < DEPTH;
            let left_out = self.left_out + if fits { 0 } else { self.entries.len() as u32 };
            if fits {
                thread.entries.push_str(&self.entries);
                let depth = thread.depth;
                thread.parts[depth] = Part { id, len: self.entries.len() };
                thread.depth += 1;
            }
            thread.left_out = thread.left_out.saturating_add(left_out);
            thread.shown += u32::from(shown);
            Some((ContextGuard { id, left_out, shown, thread: PhantomData }, thread.shown))
        });
        match entered {
            None => none,
            Some((guard, holding)) => {
                if shown && holding == 1 {
                    set_laden(true);
                }
                guard
            }
        }
    }
}

impl Add for Context {
    /// Counts it as left out if it has no room.
    fn add(&mut self, name: &str, kind: FieldKind, value: fmt::Arguments<'_>) {
        let mut memory = [0; CAPACITY];
        let (entry, cut) = entry_of(&mut memory, name, kind, value);
        if cut != 0 || self.entries.try_push_str(entry).is_err() {
            let bytes = u32::try_from(entry.len() + cut).unwrap_or(u32::MAX);
            self.left_out = self.left_out.saturating_add(bytes);
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in crate::record::foreign::Fields::new(self.entries.as_bytes(), 0) {
            map.entry(&String::from_utf8_lossy(name), &value);
        }
        if self.left_out != 0 {
            map.entry(&LEFT_OUT, &self.left_out);
        }
        map.finish()
    }
}

fn set_laden(laden: bool) {
    for channel in channels() {
        channel.set_laden(laden);
    }
}

/// One entered context's part of the thread's.
#[derive(Clone, Copy)]
struct Part {
    id: u32,
    len: usize,
}

/// What a thread is in. Nothing in it needs dropping: such a thread-local would make glibc allocate.
struct Thread {
    entries: ArrayString<CAPACITY>,
    left_out: u32,
    /// Those of the contexts that hold, of which there are `depth`.
    parts: [Part; DEPTH],
    depth: usize,
    newest: u32,
    /// How many of those that hold are a thread's, and not a logger's for a call.
    shown: u32,
}

thread_local! {
    static THREAD: RefCell<Thread> = const {
        RefCell::new(Thread {
            entries: ArrayString::new_const(),
            left_out: 0,
            parts: [Part { id: 0, len: 0 }; DEPTH],
            depth: 0,
            newest: 0,
            shown: 0,
        })
    };
}

/// Gives `record` the thread's context, if it is in one.
pub(crate) fn with<R>(record: impl FnOnce(Option<Text<'_>>) -> R) -> R {
    THREAD.with(|thread| match thread.try_borrow() {
        Ok(thread) if thread.left_out != 0 => {
            let mut entries = ArrayString::<{ CAPACITY + 64 }>::new();
            entries.push_str(&thread.entries);
            let mut memory = [0; 64];
            entries.push_str(
                entry_of(&mut memory, LEFT_OUT, FieldKind::Number, format_args!("{}", thread.left_out)).0,
            );
            record(Some(Text::ready(&entries)))
        }
        Ok(thread) if !thread.entries.is_empty() => record(Some(Text::ready(&thread.entries))),
        _ => record(None),
    })
}

/// The name of the field that says how many bytes of fields had no room.
const LEFT_OUT: &str = "context_left_out";

/// A field's entry, and how many bytes did not fit.
fn entry_of<'m>(
    memory: &'m mut [u8],
    name: &str,
    kind: FieldKind,
    value: fmt::Arguments<'_>,
) -> (&'m str, usize) {
    let mut out = Bounded { memory, len: 0, cut: 0 };
    Fields::new(&mut out).add(name, kind, value);
    let Bounded { memory, len, cut } = out;
    (core::str::from_utf8(&memory[..len]).unwrap_or_default(), cut)
}

/// Ends a context when it is dropped, on the thread that has entered it. Guards may be dropped in any order.
#[must_use = "the context ends when the guard is dropped"]
pub struct ContextGuard {
    /// 0 of one that was not entered.
    id: u32,
    left_out: u32,
    shown: bool,
    /// It is the thread's.
    thread: PhantomData<*const ()>,
}

impl fmt::Debug for ContextGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextGuard").finish_non_exhaustive()
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if self.id == 0 {
            return;
        }
        let holding = THREAD.with(|thread| {
            let mut thread = thread.borrow_mut();
            let thread = &mut *thread;
            let parts = &mut thread.parts[..thread.depth];
            if let Some(at) = parts.iter().position(|part| part.id == self.id) {
                let start = parts[..at].iter().map(|part| part.len).sum();
                let entries = thread.entries;
                thread.entries.truncate(start);
                thread.entries.push_str(&entries[start + parts[at].len..]);
                parts[at..].rotate_left(1);
                thread.depth -= 1;
            }
            thread.left_out = thread.left_out.saturating_sub(self.left_out);
            thread.shown -= u32::from(self.shown);
            thread.shown
        });
        if self.shown && holding == 0 {
            set_laden(false);
        }
    }
}

/// What can be a value of a context's field: numbers, `bool`, `char`, texts, references to and options of them. What only
/// has `Display` or `Debug` is given as `key = %value` and `key = ?value`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a context's value by itself",
    note = "write `key = %value` for its `Display`, or `key = ?value` for its `Debug`"
)]
pub trait ContextValue {
    #[doc(hidden)]
    fn put(&self, context: &mut Context, name: &str);
}

macro_rules! context_values {
    ($(|$value:ident: $($type:ty)*| $context:ident, $name:ident => $put:expr;)*) => {$($(
        impl ContextValue for $type {
            fn put(&self, $context: &mut Context, $name: &str) {
                let $value = self;
                $put
            }
        }
    )*)*};
}

context_values! {
    |value: u8 u16 u32 u64 usize i8 i16 i32 i64 isize| context, name => context.number(name, value);
    // No numbers to most who read JSON, as in a record's own fields.
    |value: u128 i128 char| context, name => context.add(name, FieldKind::Text, format_args!("{value}"));
    |value: str String| context, name => context.text(name, value);
    |value: bool| context, name => context.bool(name, *value);
    |value: f64| context, name => context.float(name, *value);
    |value: f32| context, name => if value.is_finite() {
        context.number(name, value)
    } else {
        context.float(name, f64::from(*value))
    };
}

impl<T: ContextValue + ?Sized> ContextValue for &T {
    fn put(&self, context: &mut Context, name: &str) {
        (**self).put(context, name);
    }
}

impl<T: ContextValue> ContextValue for Option<T> {
    fn put(&self, context: &mut Context, name: &str) {
        match self {
            Some(value) => value.put(context, name),
            None => context.add(name, FieldKind::Nothing, format_args!("")),
        }
    }
}

/// `key = %value`.
#[doc(hidden)]
pub struct DisplayOf<T>(pub T);

impl<T: fmt::Display> ContextValue for DisplayOf<T> {
    fn put(&self, context: &mut Context, name: &str) {
        context.add(name, FieldKind::Display, format_args!("{}", self.0));
    }
}

/// `key = ?value`.
#[doc(hidden)]
pub struct DebugOf<T>(pub T);

impl<T: fmt::Debug> ContextValue for DebugOf<T> {
    fn put(&self, context: &mut Context, name: &str) {
        context.add(name, FieldKind::Debug, format_args!("{:?}", self.0));
    }
}

pin_project_lite::pin_project! {
    /// A future that is in a context whenever it is polled, on whatever thread. Made by [`InContext::in_context`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug, Clone)]
    pub struct ContextFuture<F> {
        #[pin]
        inner: F,
        context: Context,
    }
}

impl<F: Future> Future for ContextFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let this = self.project();
        let _context = this.context.enter();
        this.inner.poll(cx)
    }
}

/// Futures in a context.
///
/// A guard of [`context!`](crate::context!) must not be held across an `.await`: the thread goes on with other work
/// there. (It is not `Send`, so that a future with one in it cannot be spawned on several threads.)
pub trait InContext: Future + Sized {
    /// The same future, which is in `context` whenever it is polled.
    ///
    /// ```
    /// use kakashi::{Context, InContext};
    ///
    /// # let request = 7;
    /// let handled = async { kakashi::info!("handled") }.in_context(Context::new().with("request_id", request));
    /// # let mut handled = std::pin::pin!(handled);
    /// # let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// # assert!(handled.as_mut().poll(&mut cx).is_ready());
    /// ```
    fn in_context(self, context: Context) -> ContextFuture<Self> {
        ContextFuture { inner: self, context }
    }
}

impl<F: Future> InContext for F {}

/// A [`Logger`] with fields that go into each of its records. Made by [`Logger::with`]; about a kilobyte, so keep it
/// where its calls are, rather than making one for each.
#[derive(Clone, Debug)]
pub struct BoundLogger {
    logger: Logger,
    context: Context,
}

impl Logger {
    /// This logger with a field that goes into each of its records.
    ///
    /// ```
    /// let orders = kakashi::get_async_logger("orders").with("venue", "XETR").with("desk", 3);
    /// kakashi::info!(orders, "filled"); // ... orders ... filled venue=XETR desk=3
    /// ```
    pub fn with(self, name: &str, value: impl ContextValue) -> BoundLogger {
        BoundLogger { logger: self, context: Context::new().with(name, value) }
    }
}

impl BoundLogger {
    /// The same with one more field.
    #[must_use]
    pub fn with(self, name: &str, value: impl ContextValue) -> BoundLogger {
        BoundLogger { context: self.context.with(name, value), ..self }
    }

    /// The logger without its fields.
    pub fn logger(&self) -> Logger {
        self.logger
    }

    /// The thread is in the logger's context for a call: it is not worth it to tell all lanes.
    pub(crate) fn enter(&self) -> ContextGuard {
        self.context.enter_as(false)
    }
}
