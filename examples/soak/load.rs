//! The threads that log: in bursts, steadily, hardly, or without pause; some for the whole phase, some for a few records,
//! each followed by another.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kakashi::{Level, LevelFilter};

use crate::channels::{CHANNELS, is_lossless, on_channel};
use crate::gate::Gate;
use crate::plan::{Pace, Worker};
use crate::random::{Random, mix};
use crate::record::{Call, STRETCH, Series, Shape};
use crate::{PATIENCE, backend, report};

/// Calls that were begun, by channel.
pub static BEGUN: [AtomicU64; CHANNELS] = [const { AtomicU64::new(0) }; CHANNELS];
/// Calls that have returned.
pub static RETURNED: AtomicU64 = AtomicU64::new(0);
/// Calls of which a value panicked.
pub static PANICKED: AtomicU64 = AtomicU64::new(0);

pub static GATE: Gate = Gate::new();

/// Held by who forks: a lock that another thread holds then would be held for ever in the child.
pub static FORKS: RwLock<()> = RwLock::new(());

static LEVEL: AtomicU8 = AtomicU8::new(LevelFilter::Info as u8);
static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Records up to this level are logged.
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        _ => Level::Debug,
    }
}

/// Changes the level. No thread may be logging.
pub fn set_level(level: LevelFilter) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    kakashi::set_level(level);
}

pub fn calls() -> u64 {
    BEGUN.iter().map(|calls| calls.load(Ordering::SeqCst)).sum()
}

/// A thread that logs.
pub struct Sender {
    pub id: u64,
    /// The kernel's id of the thread; 0 before it runs, and when it is about to end.
    pub tid: AtomicU32,
    /// Its calls, of all series.
    pub logged: AtomicU64,
    /// The next record of the signal handler.
    pub signals: AtomicU64,
}

impl Sender {
    pub fn new(first: u64, second: u64, flags: u64) -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Sender {
            id: serial << 8 | first << 5 | second << 2 | flags,
            tid: AtomicU32::new(0),
            logged: AtomicU64::new(0),
            signals: AtomicU64::new(0),
        }
    }
}

pub fn count_call(sender: &Sender, call: &Call, log: impl FnOnce()) {
    sender.logged.fetch_add(1, Ordering::Relaxed);
    BEGUN[call.channel()].fetch_add(1, Ordering::SeqCst);
    if call.shape == Shape::Panics {
        PANICKED.fetch_add(1, Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(log)).is_ok() {
            report::violation(format!("the panic of a value did not come through: {call:?}"));
        }
    } else {
        log();
    }
    RETURNED.fetch_add(1, Ordering::SeqCst);
}

thread_local! {
    /// The sender whose calls a signal interrupts; without a destructor, as a handler needs it.
    static CURRENT: Cell<*const Sender> = const { Cell::new(std::ptr::null()) };
}

/// The handler's: logs a record of the thread that it interrupted.
pub fn log_from_handler() {
    let current = CURRENT.with(Cell::get);
    // SAFETY: the thread keeps its sender alive for as long as it is named there.
    if let Some(sender) = unsafe { current.as_ref() } {
        let number = sender.signals.fetch_add(1, Ordering::Relaxed);
        let stretch = STRETCH.load(Ordering::Relaxed);
        sender.call(Call { id: sender.id, number, stretch, shape: Shape::Signal });
    }
}

/// What the threads of a phase have in common.
pub struct Load {
    slots: Vec<JoinHandle<()>>,
    senders: Arc<Mutex<Vec<Arc<Sender>>>>,
}

impl Load {
    pub fn start(workers: &[Worker], seed: u64) -> Load {
        GATE.run();
        let senders = Arc::new(Mutex::new(Vec::new()));
        let slot = |(at, worker): (usize, &Worker)| {
            let (worker, senders) = (worker.clone(), Arc::clone(&senders));
            let random = Random::new(mix(seed, at as u64));
            thread::Builder::new()
                .name(format!("slot-{at}"))
                .stack_size(256 << 10)
                .spawn(move || run_slot(&worker, &senders, random))
                .expect("a thread can be made")
        };
        Load { slots: workers.iter().enumerate().map(slot).collect(), senders }
    }

    pub fn threads(&self) -> usize {
        self.slots.len()
    }

    /// All threads so far.
    pub fn senders(&self) -> Vec<Arc<Sender>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the threads.
    pub fn end(&mut self) {
        GATE.end();
        for slot in self.slots.drain(..) {
            if let Err(what) = join(slot) {
                report::violation(format!("a thread of the load {what}: {}", kakashi::get_async_stats()));
            }
        }
    }
}

/// Waits for a thread's end, and not for ever.
pub fn join(thread: JoinHandle<()>) -> Result<(), &'static str> {
    let end = Instant::now() + PATIENCE;
    while !thread.is_finished() {
        if Instant::now() > end {
            return Err("hangs");
        }
        thread::sleep(Duration::from_millis(1));
    }
    thread.join().map_err(|_| "panicked")
}

/// Threads one after the other, of which one is alive at a time.
fn run_slot(worker: &Worker, senders: &Mutex<Vec<Arc<Sender>>>, mut random: Random) {
    while GATE.pass() {
        let sender = Arc::new(Sender::new(worker.first, worker.second, 0));
        senders.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&sender));
        let (worker, seed) = (worker.clone(), random.next());
        let life = thread::Builder::new().name(format!("w{}", sender.id));
        let life = life.spawn(move || live(&worker, &sender, Random::new(seed)));
        life.expect("a thread can be made").join().expect("it does not panic");
    }
}

fn live(worker: &Worker, sender: &Sender, mut random: Random) {
    // SAFETY: gettid has no arguments.
    sender.tid.store(unsafe { libc::syscall(libc::SYS_gettid) } as u32, Ordering::Release);
    CURRENT.with(|current| current.set(sender));
    if worker.prepare {
        // No lane may be free, or no backend run: then it goes on without.
        let _ = on_channel!(worker.first, |to| to.prepare_thread());
    }
    let mut number = 0;
    while GATE.pass() && worker.life.is_none_or(|life| number < life) {
        let (calls, pause) = match worker.pace {
            Pace::Flood => (64, None),
            Pace::Steady { pause } => (1, Some(pause)),
            Pace::Burst { calls, pause } => (calls, Some(pause)),
            Pace::Idle => (1, Some(20_000 + random.below(60_000))),
        };
        for _ in 0..calls {
            let stops = backend::stops();
            let logged = sender.send(number);
            if logged && random.one_in(worker.flush_one_in) {
                flush(sender, number, stops);
            }
            number += 1;
        }
        match pause {
            None => thread::yield_now(),
            Some(micros) => GATE.idle(Duration::from_micros(micros)),
        }
    }
    CURRENT.with(|current| current.set(std::ptr::null()));
    sender.tid.store(0, Ordering::Release);
}

/// A flush that is Ok: the record is in the log now, unless the backend was stopped, or has been since `stops` was read.
fn flush(sender: &Sender, number: u64, stops: u64) {
    let shape = Shape::of(sender.id, number);
    let channel = crate::record::channel_of(sender.id, number, Series::Main);
    let certain = is_lossless(channel) && !matches!(shape, Shape::Static(_) | Shape::Panics);
    match kakashi::flush(PATIENCE) {
        Ok(()) if certain && stops.is_multiple_of(2) && backend::stops() == stops => {
            let next = {
                let _no_fork = FORKS.read().unwrap_or_else(PoisonError::into_inner);
                backend::reference().next_of(sender.id, channel)
            };
            if next <= number {
                report::violation(format!(
                    "a flush that returned did not flush record {number} of w{} in channel {channel}: the log is at {next}",
                    sender.id
                ));
            }
        }
        Ok(()) | Err(kakashi::FlushError::Sink(_)) => {}
        Err(error) => report::violation(format!("a flush by w{}: {error}", sender.id)),
    }
}
