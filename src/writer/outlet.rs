//! One sink: what is staged for it, what it has taken, and how it fares.
#![forbid(unsafe_code)]

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::deliver::Config;
use super::tenure;
use crate::error::{BackendError, Failure};
use crate::format::{LineCache, Out, Plans};
use crate::journal::SinkEntry;
use crate::level::Level;
use crate::region;
use crate::sink::{Sink, SinkOptions, Target, is_permanent};
use crate::sync::{Ordering, add_owned};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    Live,
    /// It fails, and the others go on.
    Suspended,
    /// It is not used any more.
    Retired,
}

/// A sink, its staging, and how it fares.
pub(crate) struct Outlet {
    /// Its place among them.
    pub(super) at: usize,
    pub(super) sink: Box<dyn Sink>,
    pub(super) name: String,
    pub(super) options: SinkOptions,
    pub(super) line: LineCache,
    pub(super) staging: &'static mut [u8],
    /// Its entry in the journal, which says to who comes after us what it has taken.
    pub(super) entry: Option<&'static SinkEntry>,
    /// Bytes in staging, and how many of them were taken.
    pub(super) staged: usize,
    pub(super) taken: usize,
    pub(super) life: Life,
    /// It is alive, and its format has plans: what rows are rendered for.
    pub(super) takes_rows: bool,
    pub(super) failing_since: Option<Instant>,
    pub(super) next_try: Option<Instant>,
    pub(super) pause: Duration,
    /// Records it did not get while it was suspended.
    pub(super) missed: u64,
    pub(super) last_error: Option<Failure>,
}

impl Outlet {
    pub(crate) fn new(sink: Box<dyn Sink>, name: String, options: SinkOptions) -> Self {
        Outlet {
            at: 0,
            sink,
            name,
            options,
            line: LineCache::new(options.zone),
            staging: &mut [],
            entry: None,
            staged: 0,
            taken: 0,
            life: Life::Live,
            takes_rows: Plans::are_for(options.format),
            failing_since: None,
            next_try: None,
            pause: Duration::ZERO,
            missed: 0,
            last_error: None,
        }
    }

    /// Its sink, for who has something for it before the writer runs.
    pub(crate) fn target(&mut self) -> Target<'_> {
        let SinkOptions { level, filter, .. } = self.options;
        Target { sink: &mut *self.sink, level, filter, look: self.options.look(), name: &self.name }
    }

    pub(super) fn lives(&mut self, life: Life) {
        self.life = life;
        self.takes_rows = life == Life::Live && Plans::are_for(self.options.format);
    }

    pub(super) fn is_live(&self) -> bool {
        self.life == Life::Live
    }

    pub(super) fn wants<'a>(&self, level: Level, target: impl FnOnce() -> &'a str) -> bool {
        self.life != Life::Retired && self.options.wants(level, target)
    }

    /// Notes where the next bytes go, for the black box: a system call.
    pub(super) fn note_place(&self) {
        if let Some(entry) = self.entry
            && region::is_shown()
        {
            debug_assert!(
                self.staged == 0 || entry.is_staged(self.staged),
                "what is given is in the journal"
            );
            match self.sink.place() {
                Some(place) => {
                    let path = place.path.as_os_str().as_bytes();
                    entry.note_place(self.taken, place.device, place.inode, place.offset, path);
                }
                None => entry.note_no_place(),
            }
        }
    }

    pub(super) fn note_taken(&self) {
        if let Some(entry) = self.entry {
            entry.note_taken(self.taken);
        }
    }

    /// Gives the sink what is staged. False when some of it is left.
    pub(super) fn give(&mut self, config: &Config, alone: bool) -> bool {
        let mut interrupted = 0;
        while self.taken < self.staged {
            if !self.prepare(config, self.staged) {
                return true;
            }
            self.note_place();
            let rest = &self.staging[self.taken..self.staged];
            let given = rest.len();
            let sink = &mut self.sink;
            tenure::writing();
            let result = catch_unwind(AssertUnwindSafe(|| sink.write_batch(rest)));
            if let Ok(Ok(taken)) = result {
                tenure::SINKS[self.at].took(self.taken + taken.min(given));
            }
            tenure::wrote();
            let error = match result {
                Ok(Ok(0)) => {
                    io::Error::new(io::ErrorKind::WriteZero, "it took none of the bytes it was given")
                }
                Ok(Ok(taken)) if taken <= given => {
                    add_owned(&region::totals().bytes_written, taken as u64);
                    self.taken += taken;
                    self.note_taken();
                    if self.taken == self.staged {
                        self.works_again();
                    }
                    continue;
                }
                Ok(Ok(_)) => {
                    self.retire(
                        config,
                        io::Error::other("it says to have taken more bytes than it was given"),
                    );
                    return true;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted && interrupted < 1000 => {
                    interrupted += 1;
                    continue;
                }
                Ok(Err(error)) if is_permanent(&error) => {
                    self.retire(config, error);
                    return true;
                }
                Ok(Err(error)) => error,
                Err(panic) => {
                    self.retire(config, panic_error(&*panic));
                    return true;
                }
            };
            self.fails(config, &error, alone);
            return false;
        }
        true
    }

    /// Lets the sink go on in another file before it gets what is staged up to `end`. False when it panicked.
    pub(super) fn prepare(&mut self, config: &Config, end: usize) -> bool {
        let next = &self.staging[self.taken..end];
        let sink = &mut self.sink;
        match catch_unwind(AssertUnwindSafe(|| sink.prepare(next))) {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                add_owned(&region::totals().sink_errors, 1);
                config.tell(&BackendError::Rotation { sink: &self.name, error: &error });
                true
            }
            Err(panic) => {
                self.retire(config, panic_error(&*panic));
                false
            }
        }
    }

    pub(super) fn fails(&mut self, config: &Config, error: &io::Error, alone: bool) {
        add_owned(&region::totals().sink_errors, 1);
        let now = Instant::now();
        let since = *self.failing_since.get_or_insert(now);
        self.pause = (self.pause * 2).clamp(config.retry.first_pause, config.retry.longest_pause);
        self.next_try = now.checked_add(self.pause);
        self.last_error = Some(Failure::new(&self.name, error));
        if self.is_live() {
            if !alone && now.duration_since(since) >= config.retry.limit {
                self.lives(Life::Suspended);
                config.tell(&BackendError::Suspended {
                    sink: &self.name,
                    error,
                    after: now.duration_since(since),
                });
            } else {
                config.tell(&BackendError::Retrying { sink: &self.name, error });
            }
        }
    }

    pub(super) fn works_again(&mut self) {
        self.failing_since = None;
        self.next_try = None;
        self.pause = Duration::ZERO;
    }

    pub(super) fn has_been_away(&self) -> bool {
        self.life == Life::Suspended || self.missed != 0
    }

    /// It has taken what it was given before it was suspended: it is told what it missed.
    pub(super) fn resume(&mut self, config: &Config) {
        self.lives(Life::Live);
        self.staged = 0;
        self.taken = 0;
        config.tell(&BackendError::Resumed { sink: &self.name, missed: self.missed });
        if self.missed == 0 {
            return;
        }
        let mut out = Out::at(self.staging, 0);
        let now = crate::clock::wall_ns();
        crate::format::missed_line(&mut self.line, &mut out, self.options.format, now, self.missed);
        self.staged = out.len();
        tenure::SINKS[self.at].stage(self.staged);
        self.missed = 0;
        if let (Some(entry), Some(journal)) = (self.entry, region::journal()) {
            entry.missed.store(0, Ordering::Relaxed);
            entry.stage_line(journal.sealed.load(Ordering::Relaxed), self.staged);
        }
        add_owned(&region::totals().notices, 1);
    }

    pub(super) fn retire(&mut self, config: &Config, error: io::Error) {
        add_owned(&region::totals().sink_errors, 1);
        self.lives(Life::Retired);
        tenure::SINKS[self.at].close();
        self.staged = 0;
        self.taken = 0;
        if let Some(entry) = self.entry {
            entry.give_up();
        }
        self.next_try = None;
        self.last_error = Some(Failure::new(&self.name, &error));
        config.tell(&BackendError::Retired { sink: &self.name, error: &error });
    }
}

pub(super) fn panic_error(panic: &(dyn std::any::Any + Send)) -> io::Error {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    io::Error::other(format!("the sink panicked: {message}"))
}
