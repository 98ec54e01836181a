//! The macros that users call. They reach nothing but `__private`; the work is done at compile time by `emit!`.

#![forbid(unsafe_code)]

/// Defines the macro of a level; under one of the features `off` it logs nothing.
///
/// The first argument is `$`, which the macro's own pattern needs.
macro_rules! level_macro {
    ($d:tt, $name:ident, $level:ident, off in $off:tt, $(#[$doc:meta])*) => {
        #[cfg(not(any $off))]
        level_macro! { @$d, $name, $level, on, $(#[$doc])* }
        #[cfg(any $off)]
        level_macro! { @$d, $name, $level, off, $(#[$doc])* }
    };
    (@$d:tt, $name:ident, $level:ident, $state:ident, $(#[$doc:meta])*) => {
        $(#[$doc])*
        #[macro_export]
        macro_rules! $name {
            // With fields behind those of the caller's: of `restraint.rs`.
            (@with ($d($d more:tt)*) $d($d arg:tt)*) => {
                $d crate::__private::emit! { ($d crate) $state $level ($d($d arg)*) ($d($d more)*) }
            };
            ($d($d arg:tt)*) => { $d crate::__private::emit! { ($d crate) $state $level ($d($d arg)*) } };
        }
    };
}

level_macro! { $, trace, Trace,
    off in (
        feature = "max_level_off",
        feature = "max_level_error",
        feature = "max_level_warn",
        feature = "max_level_info",
        feature = "max_level_debug"
    ),
    /// Logs at [`Level::Trace`](crate::Level::Trace): every step, for following a single case. The syntax is [`info!`](crate::info!)'s.
    ///
    /// ```
    /// let depth = 5;
    /// kakashi::trace!("book scanned", depth = depth);
    /// ```
}
level_macro! { $, debug, Debug,
    off in (
        feature = "max_level_off",
        feature = "max_level_error",
        feature = "max_level_warn",
        feature = "max_level_info"
    ),
    /// Logs at [`Level::Debug`](crate::Level::Debug): what a developer wants to see. The syntax is [`info!`](crate::info!)'s.
    ///
    /// ```
    /// let state = Some("up");
    /// kakashi::debug!("state", state = ?state);
    /// ```
}
level_macro! { $, info, Info,
    off in (feature = "max_level_off", feature = "max_level_error", feature = "max_level_warn"),
    /// Logs at [`Level::Info`](crate::Level::Info): what an operator wants to see.
    ///
    /// ```
    /// kakashi::info!("listening");
    /// ```
    ///
    /// # The message
    ///
    /// The template is a string literal in the syntax of [`std::fmt`]; the message is what [`format!`] would give.
    ///
    /// ```
    /// let (qty, px, venue) = (7, 101.25, "XETR");
    /// kakashi::info!("filled {} @ {:.2} on {venue}", qty, px);
    /// ```
    ///
    /// # Fields
    ///
    /// `key = value` adds a typed field: a number stays a number in JSON, and `None` is null. `key = ?value` writes the
    /// value by its `Debug`, `key = %value` by its `Display`. A key is an identifier or a dotted path; fields come after
    /// the positional arguments. A text line shows a field behind the message, unless the template names it.
    ///
    /// ```
    /// let (peer, error) = ("10.0.0.7", Some("reset"));
    /// kakashi::info!("user {user_id} logged in", user_id = 123, net.peer = peer, error = ?error);
    /// ```
    ///
    /// # Channels and loggers
    ///
    /// A first argument that is not a string literal is where the record goes: a channel, or a
    /// [`Logger`](crate::Logger).
    ///
    /// ```
    /// let http = kakashi::get_async_logger("http");
    /// kakashi::info!(http, "{} in {} µs", "GET /", 250);
    /// ```
    ///
    /// # Evaluation
    ///
    /// Arguments are evaluated once, from left to right, and not at all when the level is off: at run time that costs
    /// one load and a branch, and nothing is left of a level that a feature `max_level_*` compiles out.
    /// A statement holds at most 32 values, and its template at most 16 KiB.
}
level_macro! { $, warn, Warn,
    off in (feature = "max_level_off", feature = "max_level_error"),
    /// Logs at [`Level::Warn`](crate::Level::Warn): something is wrong, and the work goes on. The syntax is [`info!`](crate::info!)'s.
    ///
    /// ```
    /// kakashi::warn!("order book is {} ms old", 250);
    /// ```
}
level_macro! { $, error, Error,
    off in (feature = "max_level_off"),
    /// Logs at [`Level::Error`](crate::Level::Error): some work failed. The syntax is [`info!`](crate::info!)'s.
    ///
    /// ```
    /// if let Err(error) = "x".parse::<u32>() {
    ///     kakashi::error!("bad quantity", error = %error);
    /// }
    /// ```
}

/// Whether a record of this level would be logged, at this place or by this channel or [`Logger`](crate::Logger).
///
/// For work that only a log statement needs. `false` says that a statement would be skipped; `true` does not promise
/// that one is written, since each statement has a switch of its own.
///
/// ```
/// use kakashi::{Level, enabled};
///
/// if enabled!(Level::Debug) {
///     let sum: u64 = (0..1000).sum();
///     kakashi::debug!("checksum", sum = sum);
/// }
/// let http = kakashi::get_async_logger("http");
/// assert!(enabled!(http, Level::Error) || !enabled!(http, Level::Info));
/// ```
#[macro_export]
macro_rules! enabled {
    ($level:expr $(,)?) => {
        $crate::__private::level_enabled($level)
    };
    ($target:expr, $level:expr $(,)?) => {
        $crate::__private::target_enabled(&$target, $level)
    };
}

/// Makes log macros whose plain form goes to a channel of your own.
///
/// Call it once, in a module of its own; it defines `trace!`, `debug!`, `info!`, `warn!` and `error!` there, for the whole
/// crate to import. `info!("text")` then goes to the channel; `info!(OTHER, "text")` goes to `OTHER`, as ever.
/// Code of other crates is not affected.
///
/// Give the channel by its path from the crate's root, since the macros are used in other modules.
///
/// ```
/// mod log_macros {
///     kakashi::channel!(pub static MATCHER: kakashi::Channel<128, 64, 2>);
///     kakashi::bind_macros!(crate::log_macros::MATCHER);
/// }
///
/// mod engine {
///     use crate::log_macros::{info, warn};
///
///     pub fn run() {
///         info!("matching {} books", 3); // to MATCHER
///         warn!(kakashi::get_async_logger("audit"), "no audit trail"); // to the logger
///     }
/// }
///
/// fn main() {
///     engine::run();
/// }
/// ```
#[macro_export]
macro_rules! bind_macros {
    (self $($rest:tt)*) => {
        ::core::compile_error! { "give the channel by its path from the crate's root: `crate::...`" }
    };
    (super $($rest:tt)*) => {
        ::core::compile_error! { "give the channel by its path from the crate's root: `crate::...`" }
    };
    ($($channel:tt)+) => {
        $crate::__bind_macros! { ($) $($channel)+ }
    };
}

/// `bind_macros!`, given a `$` for the patterns of the macros it defines.
#[doc(hidden)]
#[macro_export]
macro_rules! __bind_macros {
    // `warn` is also the name of an attribute, and a prelude may have macros of these names: hence the detour.
    (($d:tt) $($channel:tt)+) => {
        $crate::__bind_macros! { @($d) __kakashi_trace trace $($channel)+ }
        $crate::__bind_macros! { @($d) __kakashi_debug debug $($channel)+ }
        $crate::__bind_macros! { @($d) __kakashi_info info $($channel)+ }
        $crate::__bind_macros! { @($d) __kakashi_warn warn $($channel)+ }
        $crate::__bind_macros! { @($d) __kakashi_error error $($channel)+ }
    };
    (@($d:tt) $hidden:ident $name:ident $($channel:tt)+) => {
        #[allow(unused_macros)]
        macro_rules! $hidden {
            ($d template:literal $d($d arg:tt)*) => { $crate::$name!($($channel)+, $d template $d($d arg)*) };
            ($d($d arg:tt)*) => { $crate::$name!($d($d arg)*) };
        }
        #[allow(unused_imports)]
        pub(crate) use $hidden as $name;
    };
}
