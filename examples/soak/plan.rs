//! What the seed decides: the phases, one after the other, each with its backend, its threads and what happens when.
//!
//! The same seed gives the same plan (`--plan 20` prints it). Not decided by it: how the threads' calls fall together, so
//! how much is logged and dropped, and in which batches a sink meets its bad moments.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use kakashi::{Clock, Idle, LevelFilter};

use crate::random::{Random, mix};

/// How a sink behaves: each number is how often, once in so many batches; 0 is never.
#[derive(Clone, Debug)]
pub struct Mood {
    pub seed: u64,
    /// It takes a part only.
    pub part: u64,
    /// It is interrupted.
    pub interrupted: u64,
    /// It has no room, for so many milliseconds.
    pub full: (u64, u64),
    /// It takes so many microseconds.
    pub slow: (u64, u64),
    /// It hangs for so many milliseconds.
    pub hangs: (u64, u64),
    /// It panics.
    pub panics: u64,
}

#[derive(Clone, Debug)]
pub enum SinkPlan {
    File,
    /// A pipe, whose reader takes `chunk` bytes at a time and rests in between; it leaves after so many bytes.
    Pipe {
        chunk: u64,
        rest_us: u64,
        leaves_after: Option<u64>,
    },
    /// Gets records up to this level only.
    UpTo(LevelFilter, Mood),
    /// Panics at last, and is used no more.
    Fragile(Mood),
    /// Fails for longer than the others wait for it.
    Absent(Mood),
}

#[derive(Clone, Debug)]
pub struct BackendPlan {
    /// The sink that the counts are held against: it lives for as long as the backend, but in a doomed one.
    pub reference: Mood,
    pub others: Vec<SinkPlan>,
    pub clock: Clock,
    pub idle: Idle,
    pub pinned: bool,
    pub retry_limit: Duration,
    /// `black_box` is asked for again, if the process has one.
    pub black_box: bool,
}

#[derive(Clone, Debug)]
pub enum Pace {
    /// Calls without a pause.
    Flood,
    /// A call, and a pause of so many microseconds.
    Steady {
        pause: u64,
    },
    Burst {
        calls: u64,
        pause: u64,
    },
    /// A call now and then.
    Idle,
}

#[derive(Clone, Debug)]
pub struct Worker {
    /// The channels that it logs to, by their numbers.
    pub first: u64,
    pub second: u64,
    pub pace: Pace,
    /// The thread ends after so many records, and another one follows.
    pub life: Option<u64>,
    pub prepare: bool,
    /// It flushes after one record in so many.
    pub flush_one_in: u64,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// All threads stand still for a moment.
    Standstill,
    /// They stand still, all is flushed, and everything is checked.
    Check,
    /// The same, and the level is another one from then on.
    Level(LevelFilter),
    Flush,
    Sync,
    /// The backend stops and another one starts, while the threads log.
    Restart {
        backend: BackendPlan,
        silent: Duration,
        impatient: bool,
    },
    /// A forked child logs so many records; `own`: to a sink of its own, after the first few.
    Fork {
        records: u64,
        own: bool,
    },
    /// So many signals, whose handler logs.
    Signals(u64),
}

pub struct Phase {
    pub index: u64,
    pub seed: u64,
    /// Another backend than before.
    pub backend: Option<BackendPlan>,
    pub workers: Vec<Worker>,
    pub events: Vec<(Duration, Event)>,
    pub length: Duration,
    /// System calls go on after a signal's handler.
    pub restart_calls: bool,
}

/// Whether the process has a black box, which it must have from its first call on.
pub fn has_black_box(seed: u64) -> bool {
    mix(seed, 0xb0c5).is_multiple_of(2)
}

pub fn phase(seed: u64, index: u64) -> Phase {
    let seed = mix(seed, index);
    let mut random = Random::new(seed);
    let backend = (index == 0 || random.one_in(2)).then(|| backend(&mut random, index == 0));
    let length = random.range(800, 4_000);
    let workers = (0..random.range(1, 12)).map(|_| worker(&mut random)).collect();
    let mut events: Vec<_> = (0..random.range(1, 2 + length / 300))
        .map(|_| (Duration::from_millis(random.below(length)), event(&mut random)))
        .collect();
    events.sort_by_key(|(at, _)| *at);
    Phase {
        index,
        seed,
        backend,
        workers,
        events,
        length: Duration::from_millis(length),
        restart_calls: !random.one_in(3),
    }
}

fn mood(random: &mut Random) -> Mood {
    let calm = random.one_in(4);
    let mut often = |one_in: u64, from: u64, to: u64| {
        if calm || random.one_in(one_in) { 0 } else { random.range(from, to) }
    };
    Mood {
        part: often(2, 2, 20),
        interrupted: often(2, 2, 20),
        full: (often(3, 50, 400), often(0, 1, 60)),
        slow: (often(2, 3, 60), often(0, 50, 5_000)),
        hangs: (often(2, 500, 3_000), often(0, 50, 400)),
        panics: 0,
        seed: random.next(),
    }
}

fn sink(random: &mut Random) -> SinkPlan {
    match random.below(7) {
        0..2 => SinkPlan::File,
        2..4 => SinkPlan::Pipe {
            chunk: random.range(512, 64 << 10),
            rest_us: if random.one_in(2) { 0 } else { random.range(20, 400) },
            leaves_after: random.one_in(4).then(|| random.range(1, 8 << 20)),
        },
        4 => {
            let level = if random.one_in(2) { LevelFilter::Warn } else { LevelFilter::Info };
            SinkPlan::UpTo(level, mood(random))
        }
        5 => SinkPlan::Fragile(Mood { panics: random.range(50, 2_000), ..mood(random) }),
        _ => SinkPlan::Absent(Mood {
            full: (random.range(100, 600), random.range(500, 1_200)),
            ..mood(random)
        }),
    }
}

fn backend(random: &mut Random, first: bool) -> BackendPlan {
    let mut reference = mood(random);
    let doomed = random.one_in(12) && !first;
    let mut others: Vec<SinkPlan> = Vec::new();
    for _ in 0..random.below(4) {
        let sink = sink(random);
        // One file.
        if !(matches!(sink, SinkPlan::File) && others.iter().any(|other| matches!(other, SinkPlan::File))) {
            others.push(sink);
        }
    }
    let mut retry_limit = Duration::from_secs(30);
    if doomed {
        reference.panics = random.range(20, 1_000);
        others.clear();
    }
    if others.iter().any(|other| matches!(other, SinkPlan::Absent(_))) {
        // The reference must not be suspended.
        reference.full = (0, 0);
        retry_limit = Duration::from_millis(200);
    }
    BackendPlan {
        reference,
        others,
        clock: match random.below(8) {
            0 => Clock::None,
            1 => Clock::Coarse,
            2..4 => Clock::Ordered,
            _ => Clock::Counter,
        },
        idle: if random.one_in(6) { Idle::Spin } else { Idle::Backoff },
        pinned: random.one_in(2),
        retry_limit,
        black_box: random.one_in(2),
    }
}

fn worker(random: &mut Random) -> Worker {
    let first = random.below(8);
    Worker {
        first,
        second: if random.one_in(2) { first } else { random.below(8) },
        pace: match random.below(6) {
            0 => Pace::Flood,
            1..3 => Pace::Steady { pause: random.range(5, 500) },
            3..5 => Pace::Burst { calls: random.range(5, 2_000), pause: random.range(200, 50_000) },
            _ => Pace::Idle,
        },
        life: random.one_in(3).then(|| random.range(1, 2_000)),
        prepare: random.one_in(3),
        flush_one_in: if random.one_in(3) { random.range(200, 5_000) } else { 0 },
    }
}

fn event(random: &mut Random) -> Event {
    match random.below(16) {
        0..3 => Event::Check,
        3..5 => Event::Standstill,
        5 => Event::Flush,
        6 => Event::Sync,
        7..9 => Event::Level(match random.below(6) {
            0 => LevelFilter::Error,
            1 => LevelFilter::Warn,
            2..4 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        }),
        9..11 => Event::Restart {
            backend: backend(random, false),
            silent: Duration::from_millis(if random.one_in(2) { 0 } else { random.below(60) }),
            impatient: random.one_in(3),
        },
        11..13 => Event::Fork { records: random.range(1, 2_000), own: random.one_in(2) },
        _ => Event::Signals(random.range(1, 400)),
    }
}

impl fmt::Display for Phase {
    /// What it is about, in a few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "phase {}: {} threads, {:.1} s",
            self.index,
            self.workers.len(),
            self.length.as_secs_f64()
        )?;
        if let Some(backend) = &self.backend {
            write!(f, ", new backend ({backend})")?;
        }
        let events = self.events.iter().map(|(_, event)| match event {
            Event::Restart { .. } => "restart".to_owned(),
            Event::Fork { .. } => "fork".to_owned(),
            event => format!("{event:?}").to_lowercase(),
        });
        write!(f, ": {}", events.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for BackendPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doomed = if self.reference.panics != 0 { "doomed, " } else { "" };
        write!(f, "{doomed}{:?}, {:?}", self.clock, self.idle)?;
        for sink in &self.others {
            f.write_str(match sink {
                SinkPlan::File => ", file",
                SinkPlan::Pipe { leaves_after: None, .. } => ", pipe",
                SinkPlan::Pipe { .. } => ", breaking pipe",
                SinkPlan::UpTo(..) => ", filtered",
                SinkPlan::Fragile(_) => ", fragile",
                SinkPlan::Absent(_) => ", absent",
            })?;
        }
        Ok(())
    }
}
