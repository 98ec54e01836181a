//! A backend as the plan has it: its sinks, what came out of each, and its end.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kakashi::{BackendError, Clock, FileSink, Guard, Retry, ShutdownError, SinkOptions};

use crate::plan::{BackendPlan, SinkPlan};
use crate::sinks::{self, Moody, Tail};
use crate::stream::{LEVELS, Stream, Sums, difference};
use crate::{PATIENCE, load, report};

/// What all reference sinks have taken, one after the other.
pub fn reference() -> &'static Arc<Stream> {
    static REFERENCE: OnceLock<Arc<Stream>> = OnceLock::new();
    REFERENCE.get_or_init(|| Arc::new(Stream::new("reference".to_owned())))
}

/// Odd while no backend runs.
static STOPS: AtomicU64 = AtomicU64::new(1);

/// Changes when a backend is about to stop, and when another one has started; odd in between.
pub fn stops() -> u64 {
    STOPS.load(Ordering::SeqCst)
}

/// What sinks have gone through, as `on_error` was told.
pub static RETIRED: AtomicU64 = AtomicU64::new(0);
pub static SUSPENDED: AtomicU64 = AtomicU64::new(0);
pub static RESUMED: AtomicU64 = AtomicU64::new(0);

fn on_error(error: &BackendError<'_>) {
    let count = match error {
        BackendError::Retired { .. } => &RETIRED,
        BackendError::Suspended { .. } => &SUSPENDED,
        BackendError::Resumed { .. } => &RESUMED,
        _ => return,
    };
    count.fetch_add(1, Ordering::Relaxed);
}

/// A sink beside the reference.
struct Other {
    stream: Arc<Stream>,
    /// It gets records up to this level.
    levels: u8,
    /// It misses lines while it is suspended.
    absent: bool,
    tail: Option<Tail>,
    reader: Option<JoinHandle<()>>,
}

impl Other {
    /// What it has not got of what the reference has; waits a little for a reader that lags.
    fn difference(&mut self, base: &Sums) -> Option<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(tail) = &mut self.tail {
                tail.read_on();
            }
            if self.stream.is_over() {
                return None;
            }
            let (got, reference) = (self.stream.sums(), reference().sums());
            let difference = if self.absent {
                let (got, should) = (got.lines() + got.missed, reference.lines() - base.lines());
                (got != should).then(|| format!(" {got} lines came or were missed, of {should}"))
            } else {
                difference(&got, base, &reference, self.levels)
            };
            if difference.is_none() || Instant::now() > end {
                return difference;
            }
            if report::failed() {
                // It may never come.
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether records of several lanes are in order.
fn is_in_order(plan: &BackendPlan) -> bool {
    matches!(plan.clock, Clock::Counter | Clock::Ordered)
}

pub struct Backend {
    guard: Option<Guard>,
    pub plan: BackendPlan,
    others: Vec<Other>,
    /// What the reference had got when it began, and what the backend had written.
    base: Sums,
    base_bytes: u64,
}

impl Backend {
    /// Starts it. `black_box` is the process's, if it has one; no backend of it may run but the default one.
    pub fn start(plan: &BackendPlan, folder: &Path, black_box: Option<&PathBuf>) -> Result<Backend, String> {
        static RUN: AtomicU64 = AtomicU64::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let base = reference().sums();
        let base_bytes = kakashi::get_async_stats().bytes_written;
        reference().begin(is_in_order(plan));
        let mut builder = kakashi::builder()
            .sink(Moody::new(reference(), &plan.reference))
            .clock(plan.clock)
            .idle(plan.idle)
            .retry(Retry::default().limit(plan.retry_limit).pauses(
                Duration::from_millis(1),
                // Shorter than the limit by far: else a sink that works again would be found out too late.
                Duration::from_millis(20),
            ))
            .shutdown_timeout(PATIENCE)
            .on_error(on_error);
        if !plan.pinned {
            builder = builder.writer_core(None);
        }
        if let Some(path) = black_box {
            builder = builder.black_box(path);
        }
        let mut others = Vec::new();
        for (at, sink) in plan.others.iter().enumerate() {
            let kind = match sink {
                SinkPlan::File => "file",
                SinkPlan::Pipe { .. } => "pipe",
                SinkPlan::UpTo(..) => "filtered",
                SinkPlan::Fragile(_) => "fragile",
                SinkPlan::Absent(_) => "absent",
            };
            let stream = Arc::new(Stream::new(format!("{kind}-{run}-{at}")));
            stream.begin(is_in_order(plan));
            let mut other = Other {
                stream: Arc::clone(&stream),
                levels: LEVELS as u8,
                absent: matches!(sink, SinkPlan::Absent(_)),
                tail: None,
                reader: None,
            };
            builder = match sink {
                SinkPlan::File => {
                    let path = folder.join("soak.log");
                    // There when it is opened below; the sink empties it.
                    std::fs::write(&path, "").map_err(|error| format!("{}: {error}", path.display()))?;
                    other.tail = Some(Tail::new(&path, &stream).map_err(|error| error.to_string())?);
                    builder.sink(FileSink::append(&path))
                }
                &SinkPlan::Pipe { chunk, rest_us, leaves_after } => {
                    let (sink, reader) = sinks::pipe(&stream, chunk, rest_us, leaves_after);
                    other.reader = Some(reader);
                    builder.sink(sink)
                }
                SinkPlan::UpTo(level, mood) => {
                    other.levels = *level as u8;
                    builder.sink_with(Moody::new(&stream, mood), SinkOptions::default().level(*level))
                }
                SinkPlan::Fragile(mood) | SinkPlan::Absent(mood) => builder.sink(Moody::new(&stream, mood)),
            };
            others.push(other);
        }
        let guard = builder.start().map_err(|error| format!("the backend does not start: {error}"))?;
        STOPS.fetch_add(1, Ordering::SeqCst);
        Ok(Backend { guard: Some(guard), plan: plan.clone(), others, base, base_bytes })
    }

    /// Before its sinks, the default backend has written that.
    pub fn begins_behind(&mut self, said: &Sums) {
        reference().absorb(said);
        self.base.absorb(said);
        self.base_bytes = said.bytes;
    }

    /// Whether its only sink panics at last.
    pub fn is_doomed(&self) -> bool {
        self.plan.reference.panics != 0
    }

    /// Whether a forked child may log to its sinks: two processes tear each other's lines in a pipe.
    pub fn can_be_inherited(&self) -> bool {
        self.others.iter().any(|other| other.tail.is_some())
            && self.others.iter().all(|other| other.reader.is_none())
    }

    /// In a forked child: the rest of a line that a sink has got a part of is the parent's.
    pub fn forget_partial(&self) {
        // The reader of a pipe may have been at it, and is not there.
        let others = self.others.iter().filter(|other| other.reader.is_none()).map(|other| &other.stream);
        others.chain([reference()]).for_each(|stream| stream.forget_partial());
    }

    /// The file among its sinks, and what came there.
    pub fn file(&mut self) -> Option<(&mut Tail, &Arc<Stream>)> {
        self.others.iter_mut().find_map(|other| Some((other.tail.as_mut()?, &other.stream)))
    }

    /// Verifies what files have got by now.
    pub fn read_on(&mut self) {
        for tail in self.others.iter_mut().filter_map(|other| other.tail.as_mut()) {
            tail.read_on();
        }
    }

    /// All is flushed and nothing is logged: each sink that lives has what the reference has.
    pub fn check(&mut self) {
        for other in &mut self.others {
            if let Some(difference) = other.difference(&self.base) {
                report::violation(format!("{}:{difference}", other.stream.name()));
            }
        }
        if self.others.iter().any(|other| other.stream.is_over()) {
            // What it took last is lost.
            return;
        }
        let bytes = |sums: Sums| sums.bytes - sums.children_bytes;
        let reference = bytes(reference().sums()) - bytes(self.base);
        let got = reference + self.others.iter().map(|other| bytes(other.stream.sums())).sum::<u64>();
        let counted = kakashi::get_async_stats().bytes_written - self.base_bytes;
        if got != counted {
            report::violation(format!("the sinks got {got} bytes, and {counted} are counted"));
        }
    }

    /// Stops it, and verifies that all sinks have got the rest. `impatient` runs out of time first.
    pub fn stop(mut self, impatient: bool) -> Result<(), String> {
        STOPS.fetch_add(1, Ordering::SeqCst);
        if let Some(guard) = self.guard.take() {
            let first = guard.shutdown(if impatient { Duration::ZERO } else { PATIENCE });
            let result = match first {
                Err(ShutdownError::TimedOut { .. }) if impatient => kakashi::shutdown_async_backend(PATIENCE),
                result => result,
            };
            result.map_err(|error| format!("the backend does not stop: {error}"))?;
        }
        if !reference().is_over() && !reference().is_whole() {
            return Err("the log ends within a line".to_owned());
        }
        for other in &mut self.others {
            if let Some(reader) = other.reader.take() {
                // A sink that is not closed keeps it waiting.
                load::join(reader).map_err(|what| format!("the reader of a closed pipe {what}"))?;
            }
            // One that is suspended can no longer be told what it missed.
            if !other.absent
                && let Some(difference) = other.difference(&self.base)
            {
                report::violation(format!("after the end, {}:{difference}", other.stream.name()));
            }
        }
        Ok(())
    }

    /// Forgets the threads, all of which have ended.
    pub fn forget_senders(&self) {
        reference().forget_senders();
        self.others.iter().for_each(|other| other.stream.forget_senders());
    }
}
