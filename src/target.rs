//! Where a log statement's records go: a channel, or a [`Logger`] of the default channel.

use crate::callsite::ON;
use crate::channel::{ChannelSpec, DEFAULT, Handle};
use crate::context::BoundLogger;
use crate::level::Level;
use crate::logger::{self, Logger};

/// What a log statement can be directed to: a channel or a [`Logger`].
///
/// The handle is a pointer rather than an argument of a closure, as `LocalKey::with` has it: that call is
/// not inlined around a whole log call, and spills every value to the stack (11 ns).
///
/// # Safety
/// `handle` returns the calling thread's handle of the channel, valid until the thread has ended.
#[doc(hidden)]
pub unsafe trait Target {
    type Channel: ChannelSpec;
    fn channel(&self) -> &'static Self::Channel;
    fn handle() -> *const Handle<Self::Channel>;
    fn logger(&self) -> u16;
    /// Whether records of a statement with that switch and level are wanted: for a channel the switch knows.
    fn wants(&self, switch: u8, level: Level) -> bool;
    fn level_enabled(&self, level: Level) -> bool;

    /// Whether it has fields of its own.
    const BOUND: bool = false;
    /// Runs `call` with these fields in the thread's context.
    #[inline(always)]
    fn bound<R>(&self, call: impl FnOnce() -> R) -> R {
        call()
    }
}

// SAFETY: that of `T`.
unsafe impl<T: Target> Target for &T {
    type Channel = T::Channel;

    #[inline(always)]
    fn channel(&self) -> &'static T::Channel {
        (**self).channel()
    }

    #[inline(always)]
    fn handle() -> *const Handle<T::Channel> {
        T::handle()
    }

    #[inline(always)]
    fn logger(&self) -> u16 {
        (**self).logger()
    }

    #[inline(always)]
    fn wants(&self, switch: u8, level: Level) -> bool {
        (**self).wants(switch, level)
    }

    #[inline(always)]
    fn level_enabled(&self, level: Level) -> bool {
        (**self).level_enabled(level)
    }

    const BOUND: bool = T::BOUND;

    #[inline(always)]
    fn bound<R>(&self, call: impl FnOnce() -> R) -> R {
        (**self).bound(call)
    }
}

// SAFETY: that of the default channel.
unsafe impl Target for Logger {
    type Channel = <DEFAULT as Target>::Channel;

    #[inline(always)]
    fn channel(&self) -> &'static Self::Channel {
        DEFAULT.channel()
    }

    #[inline(always)]
    fn handle() -> *const Handle<Self::Channel> {
        <DEFAULT as Target>::handle()
    }

    #[inline(always)]
    fn logger(&self) -> u16 {
        self.index()
    }

    #[inline(always)]
    fn wants(&self, switch: u8, level: Level) -> bool {
        self.wants_own(level).unwrap_or(switch & ON != 0)
    }

    #[inline(always)]
    fn level_enabled(&self, level: Level) -> bool {
        self.is_enabled(level)
    }
}

// SAFETY: that of the default channel.
unsafe impl Target for BoundLogger {
    type Channel = <Logger as Target>::Channel;

    #[inline(always)]
    fn channel(&self) -> &'static Self::Channel {
        DEFAULT.channel()
    }

    #[inline(always)]
    fn handle() -> *const Handle<Self::Channel> {
        <DEFAULT as Target>::handle()
    }

    #[inline(always)]
    fn logger(&self) -> u16 {
        Target::logger(&BoundLogger::logger(self))
    }

    #[inline(always)]
    fn wants(&self, switch: u8, level: Level) -> bool {
        BoundLogger::logger(self).wants(switch, level)
    }

    #[inline(always)]
    fn level_enabled(&self, level: Level) -> bool {
        BoundLogger::logger(self).level_enabled(level)
    }

    const BOUND: bool = true;

    fn bound<R>(&self, call: impl FnOnce() -> R) -> R {
        let _context = self.enter();
        call()
    }
}

/// The default channel, for a record of which it is not known yet whether it is wanted.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) struct Fated(pub(crate) logger::Fate);

// SAFETY: that of the default channel.
#[cfg(any(feature = "log", feature = "tracing"))]
unsafe impl Target for Fated {
    type Channel = <DEFAULT as Target>::Channel;

    #[inline(always)]
    fn channel(&self) -> &'static Self::Channel {
        DEFAULT.channel()
    }

    #[inline(always)]
    fn handle() -> *const Handle<Self::Channel> {
        <DEFAULT as Target>::handle()
    }

    #[inline(always)]
    fn logger(&self) -> u16 {
        self.0.bits()
    }

    #[inline(always)]
    fn wants(&self, _: u8, _: Level) -> bool {
        true
    }

    #[inline(always)]
    fn level_enabled(&self, _: Level) -> bool {
        true
    }
}

/// Whether a channel wants records of statements with that switch; `channel!`'s expansion calls it.
#[doc(hidden)]
#[inline(always)]
pub fn channel_wants(switch: u8) -> bool {
    switch & ON != 0
}

/// Whether a channel's statements of that level are on; `channel!`'s expansion calls it.
#[doc(hidden)]
#[inline(always)]
pub fn channel_level_enabled(level: Level) -> bool {
    logger::level_enabled(level)
}
