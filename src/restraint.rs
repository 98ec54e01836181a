//! Statements that are not written each time: once, at most every so often, or one in so many.
//!
//! What a statement that is passed over costs: `once` two loads, `sample` an atomic addition, `every` that and the system's
//! monotonic clock (`CLOCK_MONOTONIC`, no system call), some 25 ns.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use crate::clock;

/// Of a statement that is written once.
#[derive(Debug)]
pub struct Once(AtomicBool);

impl Once {
    /// Nothing has happened yet.
    #[allow(clippy::new_without_default)] // it makes statics
    pub const fn new() -> Self {
        Once(AtomicBool::new(false))
    }

    /// Whether it is this call's turn: the first one's.
    #[inline]
    pub fn turn(&self) -> bool {
        // Relaxed: who comes first is all there is to it.
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Of a statement that is written at most every so often.
#[derive(Debug)]
pub struct Every {
    /// When it was written last, in ns of the monotonic clock; 0 before the first time.
    last: AtomicU64,
    suppressed: AtomicU64,
}

impl Every {
    /// Nothing has happened yet.
    #[allow(clippy::new_without_default)] // it makes statics
    pub const fn new() -> Self {
        Every { last: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// When it is this call's turn, how many were passed over since the last one.
    pub fn turn(&self, every: Duration) -> Option<u64> {
        let now = clock::monotonic_ns().max(1);
        let last = self.last.load(Ordering::Relaxed);
        let is_due = last == 0 || u128::from(now.saturating_sub(last)) >= every.as_nanos();
        // Of several threads at once, one has the turn.
        if is_due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Of a statement of which one call in so many is written.
#[derive(Debug)]
pub struct Sample {
    calls: AtomicU64,
    /// Calls when it was written last, this one included.
    written: AtomicU64,
}

impl Sample {
    /// Nothing has happened yet.
    #[allow(clippy::new_without_default)] // it makes statics
    pub const fn new() -> Self {
        Sample { calls: AtomicU64::new(0), written: AtomicU64::new(0) }
    }

    /// When it is this call's turn, how many were passed over since the last one. One in 0 is one in 1.
    pub fn turn(&self, one_in: u64) -> Option<u64> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if !call.is_multiple_of(one_in.max(1)) {
            return None;
        }
        let written = self.written.swap(call + 1, Ordering::Relaxed);
        Some(call.saturating_sub(written))
    }
}

/// Defines a level's three macros. The first argument is `$`, which their own patterns need.
macro_rules! restrained {
    ($d:tt $log:ident $level:ident $once:ident $every:ident $sample:ident) => {
        /// Logs the first time only; the syntax is [`info!`](crate::info!)'s. While the level is off, nothing is used up.
        ///
        /// ```
        #[doc = concat!("kakashi::", stringify!($once), "!(\"the cache is cold\");")]
        /// ```
        #[macro_export]
        macro_rules! $once {
                            ($d template:literal $d($d arg:tt)*) => {{
                                static ONCE: $d crate::__private::Once = $d crate::__private::Once::new();
                                if $d crate::enabled!($d crate::Level::$level) && ONCE.turn() {
                                    $d crate::$log!($d template $d($d arg)*);
                                }
                            }};
                            ($d target:expr, $d($d arg:tt)*) => {{
                                static ONCE: $d crate::__private::Once = $d crate::__private::Once::new();
                                let target = &$d target;
                                if $d crate::enabled!(*target, $d crate::Level::$level) && ONCE.turn() {
                                    $d crate::$log!(target, $d($d arg)*);
                                }
                            }};
                        }
        /// Logs at most every so often: a [`Duration`](core::time::Duration) first, then the syntax of
        /// [`info!`](crate::info!). How many calls of this statement were passed over since, by all threads, stands in the next line
        /// as the field `suppressed`. While the level is off, nothing is used up or counted.
        ///
        /// ```
        /// let every = std::time::Duration::from_secs(1);
        #[doc = concat!("kakashi::", stringify!($every), "!(every, \"queue is {} long\", 7);")]
        /// ```
        #[macro_export]
        macro_rules! $every {
                            ($d every:expr, $d($d arg:tt)*) => {
                                $d crate::__restrained!($log $level Every ($d every) $d($d arg)*)
                            };
                        }
        /// Logs one call in so many, the first one among them: a number (`u64`) first, then the syntax of
        /// [`info!`](crate::info!). How many calls of this statement were passed over since, by all threads, stands in the next line
        /// as the field `suppressed`. While the level is off, nothing is used up or counted.
        ///
        /// ```
        #[doc = concat!("kakashi::", stringify!($sample), "!(1000, \"order {} passed\", 7);")]
        /// ```
        #[macro_export]
        macro_rules! $sample {
                            ($d one_in:expr, $d($d arg:tt)*) => {
                                $d crate::__restrained!($log $level Sample ($d one_in) $d($d arg)*)
                            };
                        }
    };
}

restrained! { $ trace Trace trace_once trace_every trace_sample }
restrained! { $ debug Debug debug_once debug_every debug_sample }
restrained! { $ info Info info_once info_every info_sample }
restrained! { $ warn Warn warn_once warn_every warn_sample }
restrained! { $ error Error error_once error_every error_sample }

/// What the macros of `Every` and `Sample` expand to.
#[doc(hidden)]
#[macro_export]
macro_rules! __restrained {
    ($log:ident $level:ident $rule:ident ($limit:expr) $template:literal $($arg:tt)*) => {{
        static RULE: $crate::__private::$rule = $crate::__private::$rule::new();
        if $crate::enabled!($crate::Level::$level) {
            match RULE.turn($limit) {
                ::core::option::Option::None => {}
                ::core::option::Option::Some(0) => $crate::$log!($template $($arg)*),
                ::core::option::Option::Some(suppressed) => {
                    $crate::$log!(@with (suppressed = suppressed) $template $($arg)*)
                }
            }
        }
    }};
    ($log:ident $level:ident $rule:ident ($limit:expr) $target:expr, $($arg:tt)*) => {{
        static RULE: $crate::__private::$rule = $crate::__private::$rule::new();
        let target = &$target;
        if $crate::enabled!(*target, $crate::Level::$level) {
            match RULE.turn($limit) {
                ::core::option::Option::None => {}
                ::core::option::Option::Some(0) => $crate::$log!(target, $($arg)*),
                ::core::option::Option::Some(suppressed) => {
                    $crate::$log!(@with (suppressed = suppressed) target, $($arg)*)
                }
            }
        }
    }};
}
