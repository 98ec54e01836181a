//! From staging into the sinks: short writes, errors, pauses, and what is done with a sink that fails.
//!
//! | what a sink says | what is done |
//! |---|---|
//! | fewer bytes taken | the rest is given at once |
//! | `Interrupted` | again at once |
//! | `BrokenPipe`, EBADF, a panic, more bytes taken than given | *retired*: never used again |
//! | any other error, or 0 bytes taken | *retried* with growing pauses; no further round takes records |
//! | that, for longer than the limit, while other sinks are alive | *suspended*: the others go on; tried from time to time, and told what it missed when it works |
//!
//! A sink that was given part of a batch is given exactly the rest, whenever that is: nothing is doubled,
//! and no line torn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::outlet::{Life, Outlet, panic_error};
use super::tenure;
use crate::error::{BackendError, Failure};
use crate::format::{Format, LineCache, Out};
use crate::journal::{LookNote, MAX_SINKS};
use crate::level::{Level, LevelFilter};
use crate::region;
use crate::sink::{Retry, SinkOptions, reopens};
use crate::sync::{Ordering, add_owned};

/// What the program is told of errors.
pub(crate) type OnError = fn(&BackendError<'_>);

/// How failures are dealt with.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    pub(crate) retry: Retry,
    pub(crate) on_error: Option<OnError>,
}

impl Config {
    pub(super) fn tell(&self, error: &BackendError<'_>) {
        if let Some(on_error) = self.on_error {
            // A panic in there is the program's; the writer goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| on_error(error)));
        }
    }
}

/// The sink for which rows are rendered, and the levels whose records others want, too: these are none of a row's.
#[derive(Clone, Copy)]
pub(crate) struct RowsFor {
    sink: usize,
    pub(crate) shared: LevelFilter,
}

/// All sinks of the backend.
pub(crate) struct Outlets {
    all: Vec<Outlet>,
    config: Config,
    /// Records rendered since the sinks last had taken everything.
    records: u64,
    /// How often files were opened anew.
    reopens: u64,
}

impl Outlets {
    pub(crate) const fn new() -> Self {
        Outlets {
            all: Vec::new(),
            config: Config {
                retry: Retry {
                    limit: Duration::from_secs(5),
                    first_pause: Duration::from_millis(1),
                    longest_pause: Duration::from_millis(250),
                },
                on_error: None,
            },
            records: 0,
            reopens: 0,
        }
    }

    /// Puts new sinks in place of the old ones, which are closed.
    pub(crate) fn install(&mut self, all: Vec<Outlet>, config: Config) {
        self.close();
        self.all = all;
        self.config = config;
        self.adopt();
    }

    /// Gives each sink its staging in the region, empty.
    pub(crate) fn adopt(&mut self) {
        if let Some(journal) = region::journal() {
            journal.clear();
        }
        tenure::SINKS.iter().for_each(tenure::Noted::close);
        for (at, outlet) in self.all.iter_mut().enumerate() {
            outlet.at = at;
            // SAFETY: each outlet has a number of its own, and there is one set of outlets, which
            // only one writer has at a time.
            outlet.staging = unsafe { region::staging(at) };
            outlet.entry = region::sink_entry(at);
            if let Some(entry) = outlet.entry {
                let SinkOptions { level, format, zone, filter } = outlet.options;
                let pattern = format.pattern_text().as_bytes();
                entry.note_look(LookNote { format: format.code(), pattern, zone: zone.changes() });
                entry.note_filter(filter.text().as_bytes());
                entry.open(level as u32, outlet.name.as_bytes());
                outlet.note_place();
            }
            if outlet.life != Life::Retired {
                let descriptor = outlet.sink.descriptor();
                tenure::SINKS[at].open(descriptor, outlet.options, outlet.staging);
            }
            outlet.staged = 0;
            outlet.taken = 0;
            outlet.failing_since = None;
            outlet.next_try = None;
            outlet.missed = 0;
            if outlet.life == Life::Suspended {
                outlet.lives(Life::Live);
            }
        }
        // What an earlier writer rendered and left behind has no sink any more.
        region::totals().drops.add(crate::lane::Cause::Sink, self.records);
        self.records = 0;
        region::totals().staged.store(0, Ordering::Relaxed);
    }

    /// Forgets what is staged, in a forked child: it is the parent's.
    pub(crate) fn forget_staged(&mut self) {
        self.records = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Leaves the sinks as they are without closing them: in a forked child that found them in use.
    pub(crate) fn abandon(&mut self) {
        tenure::SINKS.iter().for_each(tenure::Noted::close);
        std::mem::forget(std::mem::take(&mut self.all));
        self.records = 0;
    }

    /// Notes what is staged now, for the moment at which slots are given back.
    pub(super) fn seal(&self) {
        for outlet in &self.all {
            tenure::SINKS[outlet.at].prepare(outlet.staged, outlet.taken);
        }
    }

    /// Closes the sinks. One that panics at that does not keep the others from it.
    pub(crate) fn close(&mut self) {
        tenure::SINKS.iter().for_each(tenure::Noted::close);
        for outlet in self.all.drain(..) {
            if let (Life::Suspended, Some(failure)) = (outlet.life, &outlet.last_error) {
                // What it missed can no longer be told in its own log.
                self.config.tell(&BackendError::Retired { sink: &outlet.name, error: &failure.to_error() });
            }
            let _ = catch_unwind(AssertUnwindSafe(move || drop(outlet.sink)));
        }
    }

    /// The fullest staging.
    #[inline]
    pub(crate) fn staged_bytes(&self) -> usize {
        if let [only] = &*self.all
            && only.is_live()
        {
            return only.staged;
        }
        self.all
            .iter()
            .filter(|outlet| outlet.is_live())
            .map(|outlet| outlet.staged)
            .max()
            .unwrap_or(self.records as usize)
    }

    /// For which sink rows can be rendered: the one that wants the most levels, if it is alive and its format has plans.
    #[inline]
    pub(crate) fn rows(&self) -> Option<RowsFor> {
        match &*self.all {
            // Its filter was asked when a statement's plan was made, which there is for this sink alone.
            [only] => only.takes_rows.then_some(RowsFor { sink: 0, shared: LevelFilter::Off }),
            _ => self.rows_among_many(),
        }
    }

    fn rows_among_many(&self) -> Option<RowsFor> {
        let all = || self.all.iter().enumerate().filter(|(_, outlet)| outlet.life != Life::Retired);
        let (sink, most) = all().max_by_key(|(_, outlet)| outlet.options.level)?;
        let levels = all().filter(|&(at, _)| at != sink).map(|(_, other)| other.options.level);
        let shared = levels.max().unwrap_or(LevelFilter::Off);
        let has_own = shared < most.options.level && most.options.filter.is_none();
        (most.takes_rows && has_own).then_some(RowsFor { sink, shared })
    }

    /// The records that the sink of rows wants, what it keeps from line to line, and its room.
    #[inline]
    pub(crate) fn room(&mut self, rows: RowsFor) -> Option<(&SinkOptions, &mut LineCache, Out<'_>)> {
        let outlet = self.all.get_mut(rows.sink)?;
        Some((&outlet.options, &mut outlet.line, Out::at(outlet.staging, outlet.staged)))
    }

    /// That many records were rendered in a row, up to `staged`.
    #[inline]
    pub(crate) fn rendered(&mut self, rows: RowsFor, records: u64, staged: usize) {
        self.records += records;
        if let Some(outlet) = self.all.get_mut(rows.sink) {
            outlet.staged = staged;
        }
    }

    /// Renders a line once per format and zone and stages it for every sink that wants it.
    #[inline(always)]
    pub(crate) fn render<'a>(
        &mut self,
        level: Level,
        target: impl Fn() -> &'a str,
        mut render: impl FnMut(&mut LineCache, Format, &mut Out<'_>),
    ) {
        if let [only] = &mut *self.all
            && only.is_live()
        {
            if only.options.wants(level, target) {
                let mut out = Out::at(only.staging, only.staged);
                render(&mut only.line, only.options.format, &mut out);
                only.staged = out.len();
            }
            return;
        }
        self.render_for_many(level, target, render);
    }

    fn render_for_many<'a>(
        &mut self,
        level: Level,
        target: impl Fn() -> &'a str,
        mut render: impl FnMut(&mut LineCache, Format, &mut Out<'_>),
    ) {
        // By sink: where the line lies in its staging.
        let mut rendered: [Option<(usize, usize)>; MAX_SINKS] = [None; MAX_SINKS];
        for at in 0..self.all.len() {
            let outlet = &mut self.all[at];
            if !outlet.wants(level, &target) {
                continue;
            }
            if outlet.life == Life::Suspended {
                outlet.missed += 1;
                if let Some(entry) = outlet.entry {
                    entry.missed.store(outlet.missed, Ordering::Relaxed);
                }
                continue;
            }
            let look = outlet.options.look();
            let (before, rest) = self.all.split_at_mut(at);
            let Some(outlet) = rest.first_mut() else { return };
            let start = outlet.staged;
            let mut out = Out::at(outlet.staging, start);
            let mut others = before.iter().zip(rendered);
            let same = others.find(|(other, line)| line.is_some() && other.options.look() == look);
            match same {
                Some((other, Some((from, to)))) => out.push(&other.staging[from..to]),
                _ => render(&mut outlet.line, look.format, &mut out),
            }
            outlet.staged = out.len();
            rendered[at] = Some((start, outlet.staged));
        }
    }

    /// Notes what was rendered as the batch `batch`. False when there is nothing.
    pub(crate) fn stage(&mut self, batch: u64) -> bool {
        let mut any = false;
        for outlet in self.all.iter().filter(|outlet| outlet.is_live() && outlet.staged != 0) {
            if let Some(entry) = outlet.entry {
                entry.stage(batch, outlet.staged, self.records);
                any = true;
            }
        }
        any
    }

    /// A record was rendered.
    #[inline]
    pub(crate) fn count_record(&mut self) {
        self.records += 1;
    }

    /// Gives every sink what is staged for it. True when all live ones have taken all, so that a further
    /// round may be rendered.
    pub(crate) fn deliver(&mut self) -> bool {
        let totals = region::totals();
        if self.records != totals.staged.load(Ordering::Relaxed) {
            totals.staged.store(self.records, Ordering::Relaxed);
        }
        let mut done = true;
        for at in 0..self.all.len() {
            let alone = !self.all.iter().enumerate().any(|(other, outlet)| other != at && outlet.is_live());
            let outlet = &mut self.all[at];
            if outlet.life == Life::Suspended && alone {
                // The last one alive has gone: this one is waited for again.
                outlet.lives(Life::Live);
            }
            if outlet.life == Life::Retired {
                continue;
            }
            let due = outlet.next_try.is_none_or(|next| next <= Instant::now());
            let mut empty = outlet.taken == outlet.staged || (due && outlet.give(&self.config, alone));
            if empty && outlet.life != Life::Retired && outlet.has_been_away() {
                outlet.resume(&self.config);
                empty = outlet.give(&self.config, alone);
            }
            done &= empty || !outlet.is_live();
        }
        // A sink that was suspended or retired just now does not hold up the others.
        done |= self.all.iter().all(|outlet| !outlet.is_live() || outlet.taken == outlet.staged);
        if done {
            self.account();
            self.reopen();
        }
        done
    }

    /// Lets the sinks open their files anew if they are asked to: between two batches, hence between two lines.
    fn reopen(&mut self) {
        let asked = reopens();
        if asked != self.reopens {
            self.reopens = asked;
            for outlet in self.all.iter_mut().filter(|outlet| outlet.is_live()) {
                outlet.prepare(&self.config, outlet.taken);
            }
        }
    }

    /// Every live sink has taken everything.
    fn account(&mut self) {
        let totals = region::totals();
        for outlet in self.all.iter_mut().filter(|outlet| outlet.is_live()) {
            outlet.staged = 0;
            outlet.taken = 0;
        }
        if self.records == 0 {
            return;
        }
        if self.all.iter().any(Outlet::is_live) {
            add_owned(&totals.written, self.records);
        } else {
            totals.drops.add(crate::lane::Cause::Sink, self.records);
        }
        totals.staged.store(0, Ordering::Relaxed);
        self.records = 0;
    }

    /// Whether no live sink has anything to take.
    pub(crate) fn all_taken(&self) -> bool {
        self.records == 0 && self.all.iter().all(|outlet| !outlet.is_live() || outlet.taken == outlet.staged)
    }

    /// When a failing sink is due.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.all.iter().filter(|outlet| outlet.is_live()).filter_map(|outlet| outlet.next_try).min()
    }

    /// Why nothing can be written: the last error, when no sink is alive.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.all.iter().any(Outlet::is_live) {
            return None;
        }
        self.all.iter().filter_map(|outlet| outlet.last_error.clone()).next_back()
    }

    /// Syncs every live sink; the first error is the result.
    pub(crate) fn sync(&mut self) -> Option<Failure> {
        let mut failure = None;
        for outlet in self.all.iter_mut().filter(|outlet| outlet.is_live()) {
            let sink = &mut outlet.sink;
            let error = match catch_unwind(AssertUnwindSafe(|| sink.sync())) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(panic) => panic_error(&*panic),
            };
            add_owned(&region::totals().sink_errors, 1);
            failure = failure.or(Some(Failure::new(&outlet.name, &error)));
        }
        failure
    }
}
