//! The replay: threads that log the lines of the input.
#![forbid(unsafe_code)]

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use kakashi::{
    AsyncStats, Block, BlockFor, Channel, Deferred, DropNewest, DropOldest, Level, LevelFilter, Preformatted,
    PrepareError, ShutdownError, StartError,
};

use crate::Failure;
use crate::args::{Encoding, Options, Policy};
use crate::input::{Input, Line};
use crate::latency::{self, Latency};
use crate::output::Output;
use crate::progress::{Bar, Progress};

/// The source file that stands in each log line.
pub const LOCATION: &str = file!();

/// Threads that can have a ring of their own; further ones share one more.
pub const LANES: usize = 64;

/// Declares a channel for each policy and encoding, each with a log statement of its own: which one it is
/// is decided once per thread, not once per call.
macro_rules! channels {
    ($($name:ident: $policy:ident, $encoding:ident, $policy_type:ty;)*) => {
        $(kakashi::channel!(static $name: Channel<128, 16384, LANES, $policy_type, $encoding>);)*

        /// The name of the channel, as it stands in each log line.
        pub fn channel_name(options: &Options) -> &'static str {
            match (options.policy, options.encoding) {
                $((Policy::$policy, Encoding::$encoding) => stringify!($name),)*
            }
        }

        impl Worker<'_> {
            fn run(&self) -> Result<Worked, Failure> {
                match (self.options.policy, self.options.encoding) {
                    $((Policy::$policy, Encoding::$encoding) => self.log_lines(
                        || $name.prepare_thread(),
                        #[inline(always)]
                        |line: Line<'_>, pass: u32| {
                            kakashi::info!($name, "{}", line.text, file = line.file, line = line.line, pass = pass);
                        },
                    ),)*
                }
            }
        }
    };
}

channels! {
    REPLAY_BLOCK: Block, Preformatted, Block;
    REPLAY_BLOCK_DEFERRED: Block, Deferred, Block;
    REPLAY_BLOCK_FOR: BlockFor, Preformatted, BlockFor<1_000_000>;
    REPLAY_BLOCK_FOR_DEFERRED: BlockFor, Deferred, BlockFor<1_000_000>;
    REPLAY_DROP_NEWEST: DropNewest, Preformatted, DropNewest;
    REPLAY_DROP_NEWEST_DEFERRED: DropNewest, Deferred, DropNewest;
    REPLAY_DROP_OLDEST: DropOldest, Preformatted, DropOldest;
    REPLAY_DROP_OLDEST_DEFERRED: DropOldest, Deferred, DropOldest;
}

/// What came of it, as far as the logger says.
pub struct Outcome {
    /// From the first call until the file was complete.
    pub elapsed: Duration,
    /// From the first call until the last one had returned.
    pub calling: Duration,
    pub stats: AsyncStats,
    pub latency: Latency,
    pub timer_cost: Duration,
    /// Threads without a ring of their own.
    pub sharing: u32,
}

/// Logs all lines, and waits until the file is complete.
pub fn run(options: &Options, input: &Input, output: &Output) -> Result<Outcome, Failure> {
    let mut builder = kakashi::builder().level(LevelFilter::Info).sink(output.sink());
    if let Some(path) = &options.black_box {
        builder = builder.black_box(path);
    }
    let guard = builder.start().map_err(|error| match error {
        StartError::Sink { source, .. } => Failure::new(format_args!(
            "cannot write to {output}: {source}: give --out a file in a directory that exists and is yours to write to"
        )),
        error => Failure::new(format_args!("cannot start the logger: {error}")),
    })?;
    if !kakashi::enabled!(Level::Info) {
        return Err(Failure::new(
            "this build has no level INFO: build it without the features max_level_off, _error and _warn",
        ));
    }
    if output.is_temporary() {
        eprint_line(format_args!("writing to {output}, which is removed at the end: --out PATH keeps it"));
    }
    let timer_cost = latency::timer_cost();
    let (began, worked) = log_all(options, input, output)?;
    let calling = began.elapsed();
    complete(guard, output)?;
    let elapsed = began.elapsed();
    let Worked { latency, sharing } = worked;
    Ok(Outcome { elapsed, calling, stats: kakashi::get_async_stats(), latency, timer_cost, sharing })
}

fn eprint_line(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Shuts the logger down, however long it takes as long as it writes.
fn complete(guard: kakashi::Guard, output: &Output) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut written = kakashi::get_async_stats().bytes_written;
    let mut done = guard.shutdown(PATIENCE);
    loop {
        let unwritten = match done {
            Ok(_) => return output.failure().map_or(Ok(()), Err),
            Err(ShutdownError::TimedOut { unwritten }) => unwritten,
            Err(error) => return Err(Failure::new(format_args!("cannot stop the logger: {error}"))),
        };
        let before = std::mem::replace(&mut written, kakashi::get_async_stats().bytes_written);
        if written == before {
            return Err(Failure::new(format_args!(
                "nothing was written to {output} for {PATIENCE:?}, and {unwritten} records wait: choose another place by --out"
            )));
        }
        done = kakashi::shutdown_async_backend(PATIENCE);
    }
}

/// What a thread, or all, measured.
struct Worked {
    latency: Latency,
    sharing: u32,
}

impl Worked {
    fn new() -> Result<Worked, Failure> {
        let latency = Latency::new().ok_or_else(|| Failure::new("cannot make a histogram of an hour"))?;
        Ok(Worked { latency, sharing: 0 })
    }
}

/// Runs the threads; returns when the first call was made, and what they measured.
fn log_all(options: &Options, input: &Input, output: &Output) -> Result<(Instant, Worked), Failure> {
    let (gate, progress) = (Gate::default(), Progress::default());
    thread::scope(|scope| {
        let (gate, progress) = (&gate, &progress);
        let mut handles = Vec::new();
        let cores = callers_cores();
        for thread in 0..options.threads {
            let core = cores.get(thread as usize % cores.len().max(1)).copied();
            let worker = Worker { thread, core, options, input, output, gate, progress };
            let spawned = thread::Builder::new()
                .name(format!("replay-{thread}"))
                .spawn_scoped(scope, move || worker.run());
            match spawned {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    gate.open(None);
                    return Err(Failure::new(format_args!(
                        "cannot make thread {thread} of {}: {error}: ask for fewer by --threads",
                        options.threads
                    )));
                }
            }
        }
        gate.wait_for(options.threads);
        let bar = Bar::show(scope, progress, input.lines * u64::from(options.repeat));
        let began = Instant::now();
        gate.open(Some(began));
        let mut all = Worked::new();
        for handle in handles {
            let worked = handle.join().unwrap_or_else(|_| Err(Failure::new("a replaying thread panicked")));
            all = all.and_then(|mut all| {
                let worked = worked?;
                all.latency.add(&worked.latency);
                all.sharing += worked.sharing;
                Ok(all)
            });
        }
        if let Some(bar) = bar {
            bar.clear();
        }
        all.map(|all| (began, all))
    })
}

/// All cores but the writer's, which is the last one ([`kakashi::Builder::writer_core`]). Threads that take turns with it
/// there hold it up, and themselves.
fn callers_cores() -> Vec<CoreId> {
    let mut cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.pop();
    cores
}

/// One replaying thread.
struct Worker<'a> {
    thread: u32,
    /// Where it runs; `None`: wherever it may.
    core: Option<CoreId>,
    options: &'a Options,
    input: &'a Input,
    output: &'a Output,
    gate: &'a Gate,
    progress: &'a Progress,
}

impl Worker<'_> {
    /// Logs this thread's lines by `log`, with everything else between the calls.
    fn log_lines(
        &self,
        prepare: impl FnOnce() -> Result<(), PrepareError>,
        log: impl Fn(Line<'_>, u32),
    ) -> Result<Worked, Failure> {
        const REPORT_EVERY: u64 = 1024;
        if let Some(core) = self.core {
            core_affinity::set_for_current(core);
        }
        let worked = Worked::new();
        let prepared = prepare();
        let began = self.gate.wait();
        let mut worked = worked?;
        let Some(began) = began else { return Ok(worked) };
        match prepared {
            Ok(()) => {}
            Err(PrepareError::AllLanesTaken) => worked.sharing = 1,
            Err(error) => {
                return Err(Failure::new(format_args!("thread {} cannot log: {error}", self.thread)));
            }
        }
        let Options { threads, repeat, rate, latency_sample, .. } = *self.options;
        let mut number = u64::from(self.thread);
        let mut until_timed = 0;
        let mut unreported = 0;
        for pass in 0..repeat {
            for line in self.input.share(self.thread, threads) {
                if self.output.has_failed() {
                    return Ok(worked);
                }
                if let Some(rate) = rate {
                    wait_until(began, number, rate);
                }
                let from = (until_timed == 0).then(Instant::now);
                log(line, pass);
                if let Some(from) = from {
                    worked.latency.record(from.elapsed());
                    until_timed = latency_sample;
                }
                until_timed -= 1;
                number += u64::from(threads);
                unreported += 1;
                if unreported == REPORT_EVERY || rate.is_some() {
                    self.progress.add(unreported);
                    unreported = 0;
                }
            }
        }
        Ok(worked)
    }
}

/// Waits until it is time for the record of that number, at so many a second. Sleeps where there is time.
fn wait_until(began: Instant, number: u64, rate: u64) {
    const SPIN: Duration = Duration::from_micros(100);
    let nanos = u128::from(number % rate) * 1_000_000_000 / u128::from(rate);
    let due = Duration::new(number / rate, nanos as u32);
    loop {
        let left = due.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        if left > SPIN * 2 {
            thread::sleep(left - SPIN);
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Lets all threads begin at one time.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    waiting: u32,
    opened: bool,
    began: Option<Instant>,
}

impl Gate {
    /// Waits for the gate to open; `None` when there is nothing to do.
    fn wait(&self) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        self.changed.notify_all();
        let opened = self.changed.wait_while(state, |state| !state.opened);
        opened.unwrap_or_else(PoisonError::into_inner).began
    }

    fn wait_for(&self, threads: u32) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(state, |state| state.waiting < threads));
    }

    fn open(&self, began: Option<Instant>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.opened = true;
        state.began = began;
        self.changed.notify_all();
    }
}
